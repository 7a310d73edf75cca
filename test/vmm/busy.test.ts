/**
 * A host whose CPUs are all taken: a machine gets a small part of one, and each of its waits takes as much longer. None of its containers may be lost for it.
 * On demand, because twenty boots beside others take half an hour in the test host: HUSK_BUSY_STARTS=20.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import test from 'ava';
import { Home } from './home.ts';
import { missingParts, onKvmHost } from './kvm-host.ts';

const STARTS = Number(process.env['HUSK_BUSY_STARTS'] ?? 0);
/** programs that never wait, for each CPU */
const HOGS = Number(process.env['HUSK_BUSY_HOGS'] ?? 4);
/** s; a boot of ten seconds beside four hogs takes fifty, and the end of a machine as long again */
const SECONDS_EACH = 240;

const missing = missingParts() ?? (STARTS > 0 ? undefined : 'takes half an hour: HUSK_BUSY_STARTS=20');
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 300 + STARTS * SECONDS_EACH, env: { HUSK_BUSY_STARTS: String(STARTS), HUSK_BUSY_HOGS: String(HOGS) } });

function register(): void {
  test.serial(`${STARTS} starts beside ${HOGS} busy programs a CPU: each says what it has to, and ends as it should`, async (t) => {
    t.timeout((300 + STARTS * SECONDS_EACH) * 1000);
    const home = new Home();
    const hogs = Array.from({ length: HOGS * availableParallelism() }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
    try {
      for (let i = 0; i < STARTS; i++) {
        const start = performance.now();
        // its own time limit would say nothing of the machine's
        const { status, stdout, stderr } = await home.feed(`fed ${i}\n`, 'run', '--rm', '-i', '--isolation=vm', '--network', 'none', 'husk/base', 'sh', '-c', `cat; echo out ${i}; echo err ${i} >&2; exit ${i + 1}`);
        t.log(`start ${i}: ${Math.round((performance.now() - start) / 1000)} s`);
        t.deepEqual({ status, stdout, stderr }, { status: i + 1, stdout: `fed ${i}\nout ${i}\n`, stderr: `err ${i}\n` });
      }
    } finally {
      for (const hog of hogs) hog.kill('SIGKILL');
      t.deepEqual(await home.end(), []);
    }
  });
}
