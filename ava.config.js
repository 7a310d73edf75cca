// Node strips the types; no build between a change and its test.
export default {
  files: ['test/**/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--disable-warning=ExperimentalWarning'],
  timeout: '5m',
  concurrency: 2,
};
