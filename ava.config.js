// Node strips the types; no build between a change and its test.
export default {
  files: ['test/**/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--disable-warning=ExperimentalWarning'],
  // a process for each file: what crashes in native code is one file's, and named
  workerThreads: false,
  timeout: '5m',
  concurrency: 2,
};
