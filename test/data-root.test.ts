/** The data root is nobody else's to pass through, whoever made it, and however it was left by an earlier husk. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { closeDataRoot } from '../src/data-root.ts';
import { HUSK, ordinaryUser, ROOT } from './fixtures/user.ts';

const isRoot = process.getuid!() === 0;
const modeOf = (path: string) => statSync(path).mode & 0o7777;
const built = existsSync(join(ROOT, 'dist/husk-main.cjs')) ? test : test.skip; // make build
/** an id that no file here belongs to; only root can become it */
const STRANGER = '65534';
/**
 * Runs a command as that user. By way of a shell: setpriv itself still has root's capabilities when it looks the
 * program up.
 */
const asStranger = (...command: string[]) =>
  spawnSync(
    'setpriv',
    ['--reuid', STRANGER, '--regid', STRANGER, '--clear-groups', 'sh', '-c', 'exec "$0" "$@"', ...command],
    { encoding: 'utf8' },
  );

for (const [what, before, group, after] of [
  ['new', undefined, undefined, 0o700],
  ['left open', 0o711, undefined, 0o700],
  ['left wide open', 0o777, undefined, 0o700],
  ['closed more than it need be', 0o500, undefined, 0o500],
  ['of root, new', undefined, 4_000_000, 0o710],
  ['of root, left open', 0o711, 4_000_000, 0o710],
] as const) {
  // only root can give a folder to another group
  const fit = group !== undefined && !isRoot ? test.skip : test;
  fit(`a data root that is ${what}`, (t) => {
    const folder = join(mkdtempSync(join(tmpdir(), 'husk-root-')), 'data');
    t.teardown(() => rmSync(join(folder, '..'), { recursive: true, force: true }));
    if (before !== undefined) {
      mkdirSync(folder);
      chmodSync(folder, before);
    }
    closeDataRoot(folder, group);
    t.is(modeOf(folder), after);
    if (group !== undefined) t.is(statSync(folder).gid, group);
    closeDataRoot(folder, group);
    t.is(modeOf(folder), after, 'and stays so');
  });
}

built(
  'another user runs no program of a container and reads no volume; the container, its users, and cp still do',
  (t) => {
    using user = ordinaryUser();
    const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
    const root = join(user.home, 'data/husk');
    user.run(['mkdir', '-m', '711', root]);
    t.is(user.run([HUSK, 'import', '-', 'base'], { input: tree }).status, 0);
    t.is(modeOf(root), 0o700, 'an open one was put right');
    const made = user.husk(
      'run',
      '--name',
      'one',
      '--network',
      'none',
      '-v',
      'secrets:/v',
      'base',
      'sh',
      '-c',
      'echo secret >/v/f; chmod 644 /v/f; cp /bin/busybox /suid; chmod 4755 /suid',
    );
    t.is(made.status, 0, made.stderr);
    t.is(
      user.husk('run', '--rm', '--network', 'none', '-u', '1000', '-v', 'secrets:/v', 'base', 'cat', '/v/f').stdout,
      'secret\n',
    );
    t.is(user.husk('cp', 'one:/v/f', 'tmp/f').status, 0);
    const id = user.husk('ps', '-aq', '--no-trunc').stdout.trim();
    const program = join(root, 'containers', id, 'upper/suid');
    const secret = join(root, 'volumes/secrets/_data/f');
    t.is(user.run(['test', '-u', program]).status, 0, 'what is attacked is there');
    if (isRoot) {
      t.regex(asStranger(program, 'id').stderr, /Permission denied/i);
      t.regex(asStranger('cat', secret).stderr, /Permission denied/i);
    }
    user.husk('rm', 'one');
  },
);

const asRoot = isRoot && existsSync(join(ROOT, 'dist/husk-main.cjs')) ? test : test.skip; // root's containers are another user's: run the tests as root
asRoot("root's data root lets the containers' root pass, and nobody else", (t) => {
  const home = mkdtempSync('/var/tmp/husk-root-');
  chmodSync(home, 0o755);
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    HUSK_DATA_ROOT: join(home, 'data'),
    XDG_RUNTIME_DIR: join(home, 'run'),
  };
  mkdirSync(env.XDG_RUNTIME_DIR, { mode: 0o700 });
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const husk = (...args: string[]) => spawnSync(HUSK, args, { env, encoding: 'utf8' });
  const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  t.is(spawnSync(HUSK, ['import', '-', 'base'], { env, input: tree }).status, 0);
  const run = husk(
    'run',
    '--isolation=userns',
    '--name',
    'one',
    '--network',
    'none',
    '-v',
    'vol:/v',
    'base',
    'sh',
    '-c',
    'echo x >/v/f; cp /bin/busybox /suid; chmod 4755 /suid',
  );
  t.is(run.status, 0, run.stderr);
  t.is(
    husk('run', '--isolation=userns', '--rm', '--network', 'none', '-u', '1000', '-v', 'vol:/v', 'base', 'cat', '/v/f')
      .stdout,
    'x\n',
  );
  const program = join(env.HUSK_DATA_ROOT, 'containers', husk('ps', '-aq', '--no-trunc').stdout.trim(), 'upper/suid');
  t.is(modeOf(program), 0o4755);
  t.regex(asStranger(program, 'id').stderr, /Permission denied/i);
  t.is(husk('rm', 'one').status, 0);
});
