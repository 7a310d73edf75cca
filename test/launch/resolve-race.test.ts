/**
 * In-root paths while somebody exchanges a folder on the way for a symbolic link that leads out: nothing is ever made
 * outside.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Step } from '../../src/launch/plan.ts';
import { mountSteps } from '../../src/container/mounts.ts';
import { inContainer, PROC, runHere, RUNNERS, sh, tree } from './launching.ts';

const SECONDS = Number(process.env['HUSK_RACE_SECONDS'] ?? 3);
/** ms until one of a great many plans has found a link on its way */
const PATIENCE = 60_000;

/** what a plan makes below the path that is exchanged; [name, step] */
const MAKERS: Record<string, (path: string) => Step> = {
  mkdir: (path) => ({ op: 'mkdir', path, mode: 0o755, inRoot: true }),
  symlink: (path) => ({ op: 'symlink', target: 'x', path, inRoot: true }),
  writeFile: (path) => ({ op: 'writeFile', path, content: 'x', create: true, inRoot: true }),
};

for (const [name, step] of Object.entries(MAKERS)) {
  test.serial(`${name} while a folder and a link out are exchanged`, async (t) => {
    const folder = mkdtempSync('/var/tmp/husk-race-');
    const root = join(folder, 'root');
    // where each of the links would lead if it were followed by the host's rules
    const outside = [join(folder, 'outside'), join(folder, 'above')];
    for (const path of [root, join(root, 'a'), ...outside]) mkdirSync(path);
    symlinkSync(outside[0]!, join(root, 'l'));
    symlinkSync('../above', join(root, 'm'));
    const swappers = ['l', 'm'].map((link) =>
      spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          join(import.meta.dirname, 'swap-forever.ts'),
          join(root, 'a'),
          join(root, link),
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      ),
    );
    t.teardown(async () => {
      const ended = swappers.map((swapper) => once(swapper, 'exit'));
      for (const swapper of swappers) swapper.kill('SIGKILL');
      await Promise.all(ended);
      rmSync(folder, { recursive: true, force: true });
    });
    for (const swapper of swappers) await swapper.stdout.iterator({ destroyOnReturn: false }).next();
    // inside the root the links lead to places of their own, which are made sooner or later
    const made = () => existsSync(join(root, outside[0]!)) || existsSync(join(root, 'above'));
    const start = Date.now();
    for (
      let plans = 0;
      plans < 5 || Date.now() - start < (SECONDS * 1000) / 3 || (!made() && Date.now() - start < PATIENCE);
      plans++
    ) {
      const steps = Array.from({ length: 200 }, (_, index) => step(`/a/${index % 7}/x${plans % 5}-${index}`));
      // a plan may fail (a component was a link to nowhere at that moment): it must only not reach out
      await runHere([{ op: 'setRoot', path: root }, ...steps, { op: 'exec', args: ['/bin/true'] }]);
    }
    for (const path of outside) t.deepEqual(readdirSync(path), []);
    t.true(made());
  });
}

/** starts; without the mend one in ten has the mount writable */
const STARTS = 40;

test.serial('a read-only bind in a volume that another container changes is read-only in every start', async (t) => {
  using root = tree(RUNNERS[0]!, { 'elsewhere/': null });
  // a folder that the container shares with another, where the place of the nested mount is exchanged for a link to a
  // third mount
  const folder = mkdtempSync('/var/tmp/husk-race-');
  const [volume, bound, third] = ['volume', 'bound', 'third'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  chmodSync(folder, 0o755);
  for (const path of [volume, bound, third, join(volume, 'sub')]) mkdirSync(path);
  symlinkSync('/elsewhere', join(volume, 'link'));
  writeFileSync(join(bound, 'file'), '');
  const swapper = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, 'swap-forever.ts'),
      join(volume, 'sub'),
      join(volume, 'link'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.teardown(async () => {
    const ended = once(swapper, 'exit');
    swapper.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  await once(swapper.stdout, 'data');
  const bind = (source: string, destination: string, ...options: string[]) => ({
    type: 'bind',
    source,
    destination,
    options: ['rbind', 'rprivate', ...options],
  });
  const mounts = mountSteps([bind(third, '/elsewhere'), bind(volume, '/v'), bind(bound, '/v/sub', 'rro', 'nosuid')], {
    ownPid: true,
    ownNetwork: true,
    cgroup2: false,
  });
  let started = 0;
  for (let start = 0; start < STARTS || started === 0; start++) {
    const { stdout, error } = await runHere(inContainer(root, [PROC, ...mounts], sh('cat /proc/self/mountinfo')));
    // the link was in the way as its folder was looked for
    if (error && start < 4 * STARTS) continue;
    t.is(error?.message, undefined);
    started++;
    // mountinfo: id, parent, device, root of the mount, its place, its options
    const line = stdout
      .split('\n')
      .map((text) => text.split(' '))
      .find((fields) => fields[3]?.endsWith('/bound'));
    t.regex(line?.[5] ?? 'not mounted', /^ro,nosuid/);
  }
  t.true(started > 0);
});
