/** Watches that are still there when their process ends. */
import { spawnSync } from 'node:child_process';
import test from 'ava';

const at = (path: string) => JSON.stringify(new URL(`../../../src/host/streams/${path}`, import.meta.url).href);
const PROGRAM = `
  import { writeSync } from 'node:fs';
  import { pipe } from ${at('pipe.ts')};
  import { watchReadable, whenWritable } from ${at('poll.ts')};
  const { read, write } = pipe();
  const told = () => console.log('told');`;

const ENDS: [what: string, program: string][] = [
  [
    'what becomes readable at the exit',
    "watchReadable(read.number, told).unref(); process.on('exit', () => writeSync(write.number, 'x'));",
  ],
  [
    'what is readable when the process ends itself',
    "watchReadable(read.number, told); writeSync(write.number, 'x'); process.exit(0);",
  ],
  ['what is writable then', 'whenWritable(write.number, told); process.exit(0);'],
  ['one of two', 'watchReadable(read.number, told).close(); whenWritable(write.number, told); process.exit(0);'],
];

for (const [what, program] of ENDS)
  test(`no watch ends its process with a signal: ${what}`, (t) => {
    const { status, signal, stdout } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', `${PROGRAM}\n${program}`],
      { encoding: 'utf8' },
    );
    t.deepEqual([status, signal, stdout], [0, null, '']);
  });
