/**
 * Launches fifty times in a process of its own and says how many descriptors were open after the first and after the
 * last.
 */
import { readdirSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { launch } from '../../src/launch/executor.ts';
import { INIT } from './launching.ts';

const counts: number[] = [];
for (let index = 0; index < 50; index++) {
  const launched = launch([{ op: 'fork' }, { op: 'exec', args: [index % 2 ? '/bin/true' : '/nosuch'] }], {
    init: INIT,
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  launched.stdin!.end();
  await Promise.all([text(launched.stdout!), text(launched.stderr!), launched.exited]);
  counts.push(readdirSync('/proc/self/fd').length);
}
console.log(JSON.stringify([counts[5], counts.at(-1)]));
