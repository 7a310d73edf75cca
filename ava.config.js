// Node strips the types; no build between a change and its test.
export default {
  files: ['test/**/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--disable-warning=ExperimentalWarning'],
  // what was compiled once is kept, and what each file costs is listed by setup/run-tests
  require: ['./test/fixtures/compile-cache.ts', './test/fixtures/file-times.ts'],
  // a process for each file: what crashes in native code is one file's, and named
  workerThreads: false,
  // for what hangs: a busy machine takes minutes for a start of ten seconds
  timeout: '15m',
  concurrency: 2,
};
