/**
 * VM containers leave nothing behind: a few starts in a row, and restarts inside one supervisor. leaks.ts does the same
 * two hundred times.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { missingParts, notByItself, onKvmHost } from './kvm-host.ts';
import { Home } from './home.ts';
import { census, holdings, leaks, once } from './leaks.ts';

const STARTS = 4;
const RESTARTS = 3;
/** ms for a restart: back-off and a boot */
const PATIENCE = 240_000;

const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 600 });

function register(): void {
  const home = new Home();
  test.after.always('no supervisor is left', async (t) => t.deepEqual(await home.end(), []));

  test.serial('containers started and stopped in a row leave no process, file, mount, cgroup or memory', async (t) => {
    await once(home, 0);
    await once(home, 1);
    const before = await census(home);
    for (let i = 0; i < STARTS; i++) await once(home, i);
    t.deepEqual(leaks(before, await census(home), STARTS), []);
  });

  test.serial('a supervisor that starts its container again and again holds no more each time', async (t) => {
    home.must(
      'run',
      '-d',
      '--name',
      'again',
      '--restart',
      'always',
      '--isolation=vm',
      '--network',
      'none',
      '-v',
      `${home.folder}:/mnt`,
      'husk/base',
      'sh',
      '-c',
      'touch /mnt/up; while test -e /mnt/up; do sleep 0.1; done',
    );
    const seen: ReturnType<typeof holdings>[] = [];
    for (let restart = 0; restart <= RESTARTS; restart++) {
      const start = Date.now();
      while (
        home.must('inspect', '-f', '{{.RestartCount}} {{.State.Running}}', 'again') !== `${restart} true` ||
        !home.exists('up')
      ) {
        if (Date.now() - start > PATIENCE) t.fail(home.must('inspect', '-f', '{{json .State}}', 'again'));
        await sleep(200);
      }
      seen.push(holdings(Number(home.must('inspect', '-f', '{{.State.Pid}}', 'again'))));
      home.remove('up');
    }
    home.must('rm', '-f', 'again');
    t.log(JSON.stringify(seen));
    // the first start is without what a second makes: caches, the pool's threads
    const [first, last] = [seen[1]!, seen.at(-1)!];
    t.true(last.files <= first.files, `open files: ${JSON.stringify(seen)}`);
    t.true(last.threads <= first.threads, `threads: ${JSON.stringify(seen)}`);
    t.true(last.residentKib - first.residentKib < 8192, `memory: ${JSON.stringify(seen)}`);
  });
}
