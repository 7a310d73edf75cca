/**
 * Launches with ever fewer descriptors left, and prints how many were lost by each attempt that failed; for
 * descriptors.test.ts, under a small RLIMIT_NOFILE.
 */
import { closeSync, openSync, readdirSync } from 'node:fs';
import { launch } from '../../src/launch/executor.ts';

const init = process.argv[2]!;
const held: number[] = [];
const fill = (): void => {
  for (;;) {
    try {
      held.push(openSync('/dev/null', 'r'));
    } catch {
      return;
    }
  }
};
// the folder's own descriptor is among them, each time
const count = (): number => readdirSync('/proc/self/fd').length;
const run = async (): Promise<boolean> => {
  let launched: ReturnType<typeof launch>;
  try {
    launched = launch([{ op: 'exec', args: ['/bin/true'] }], { init, stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' });
  } catch {
    return false;
  }
  launched.started.catch(() => {});
  await launched.exited;
  for (const stream of [launched.stdin, launched.stdout, launched.stderr]) stream?.destroy();
  return true;
};

// everything that is loaded on first use
await run();
const failed: number[] = [];
for (let left = 1; left <= 12; left++) {
  fill();
  for (const fd of held.splice(0, left)) closeSync(fd);
  const before = count();
  if (await run()) break;
  // a stream's descriptor is closed in the event loop's next round
  await new Promise((resolve) => setImmediate(resolve));
  failed.push(count() - before);
}
process.stdout.write(JSON.stringify(failed));
