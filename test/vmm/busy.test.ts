/**
 * A host whose CPUs are all taken: a machine gets a small part of one, and each of its waits takes as much longer. None
 * of its containers may be lost for it. On demand, because twenty boots beside others take half an hour in the test
 * host: HUSK_BUSY_STARTS=20.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import test from 'ava';
import { Home } from './home.ts';
import { missingParts, onKvmHost } from './kvm-host.ts';

const STARTS = Number(process.env['HUSK_BUSY_STARTS'] ?? 0);
/** programs that never wait, for each CPU: one leaves no time that nobody wants */
const HOGS = Number(process.env['HUSK_BUSY_HOGS'] ?? 1);
/**
 * s; only for what hangs. Of a start beside four hogs on a test host that is itself on a busy machine 250 were measured
 */
const SECONDS_EACH = 900;
/** s for all of them, of which few are so slow */
const SECONDS = 300 + SECONDS_EACH + STARTS * 240;

const missing = missingParts() ?? (STARTS > 0 ? undefined : 'takes half an hour: HUSK_BUSY_STARTS=20');
if (missing !== undefined) test.skip(missing, () => {});
else
  await onKvmHost(import.meta.url, register, {
    seconds: SECONDS,
    env: { HUSK_BUSY_STARTS: String(STARTS), HUSK_BUSY_HOGS: String(HOGS) },
  });

function register(): void {
  test.serial(
    `${STARTS} starts beside ${HOGS} busy programs a CPU: each says what it has to, and ends as it should`,
    async (t) => {
      t.timeout(SECONDS * 1000);
      const home = new Home();
      const hogs = Array.from({ length: HOGS * availableParallelism() }, () =>
        spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
      );
      try {
        for (let i = 0; i < STARTS; i++) {
          const start = performance.now();
          const script = `cat; echo out ${i}; echo err ${i} >&2; exit ${i + 1}`;
          const run = ['run', '--rm', '-i', '--isolation=vm', '--network', 'none', 'husk/base', 'sh', '-c', script];
          const { status, stdout, stderr } = await home.feedWithin(SECONDS_EACH * 1000, `fed ${i}\n`, ...run);
          t.log(`start ${i}: ${Math.round((performance.now() - start) / 1000)} s`);
          t.deepEqual(
            { status, stdout, stderr },
            { status: i + 1, stdout: `fed ${i}\nout ${i}\n`, stderr: `err ${i}\n` },
          );
        }
      } finally {
        for (const hog of hogs) hog.kill('SIGKILL');
        t.deepEqual(await home.end(), []);
      }
    },
  );
}
