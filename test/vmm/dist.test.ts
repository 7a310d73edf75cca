/**
 * What `make dist` makes, whole: the same bytes from another folder, and a container in a machine of its own from each,
 * installed into an empty root by who is no root there. Out here the release is made twice and installed; in the test
 * host containers are started from what was installed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ordinaryUser, type TestUser } from '../fixtures/user.ts';
import { INSTALLED, type Kind } from '../setup/installed.ts';
import { Home, supervisorsLeft } from './home.ts';
import { missingParts, notByItself, onKvmHost, root } from './kvm-host.ts';

/** ms; a boot in the test host takes 10 s, and longer beside others */
const TIMEOUT = 300_000;
/** of the last commit, or what a person set: both builds have the same */
const EPOCH = process.env['SOURCE_DATE_EPOCH'] ?? '1700000000';
const KINDS = Object.keys(INSTALLED) as Kind[];
/** the folder with one that is installed for each, made by the outer run */
const installed = process.env['HUSK_DIST_INSTALLED'];

const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else if (installed !== undefined) register(installed);
else await prepare();

async function prepare(): Promise<void> {
  mkdirSync(join(root, 'build'), { recursive: true });
  // in the checkout: the test host sees it, and it lies on a disk
  const folder = mkdtempSync(join(root, 'build/test-dist-'));
  // who installs is not who makes
  chmodSync(folder, 0o755);
  const user = ordinaryUser();
  const where = join(folder, 'installed');
  mkdirSync(where);
  if (process.getuid!() === 0) chownSync(where, user.uid, user.gid);
  let release: Release;
  test.before('a release is made and installed', () => {
    release = make(root, join(folder, 'release'));
    installAll(user, release.folder, where);
  });
  test.after.always('what was made is taken away', () => {
    user[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  test.serial('another folder gives the same bytes', (t) =>
    t.is(make(copyOf(folder), join(folder, 'again')).sums, release.sums),
  );
  await onKvmHost(import.meta.url, () => register(where), {
    seconds: 900,
    env: { HUSK_DIST_INSTALLED: where },
  });
}

interface Release {
  folder: string;
  /** SHA256SUMS */
  sums: string;
}

function make(from: string, to: string): Release {
  execFileSync(join(from, 'setup/dist'), [to], {
    env: { ...process.env, SOURCE_DATE_EPOCH: EPOCH },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return { folder: to, sums: readFileSync(join(to, 'SHA256SUMS'), 'utf8') };
}

/** This checkout elsewhere, built anew; but for the kernel, whose build is cached by content. */
function copyOf(folder: string): string {
  // without a space: make's own targets cannot have one
  const copy = join(folder, 'elsewhere-with-a-longer-name');
  mkdirSync(copy);
  for (const part of [
    'Makefile',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'LICENSE',
    'CHANGELOG.md',
    'bin',
    'guest',
    'launcher',
    'setup',
    'src',
  ])
    cpSync(join(root, part), join(copy, part), { recursive: true, verbatimSymlinks: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  mkdirSync(join(copy, 'dist'));
  cpSync(join(root, 'dist/vmlinux'), join(copy, 'dist/vmlinux'));
  execFileSync(
    'make',
    [
      '-s',
      '-C',
      copy,
      'dist/husk-init',
      'dist/husk-net',
      'dist/husk-launch',
      'dist/husk.cjs',
      'dist/types/library/husk.d.ts',
      'dist/agent.erofs',
      'dist/writable.disk',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  return copy;
}

function installAll(user: TestUser, release: string, where: string): void {
  for (const kind of KINDS) {
    const { status, stdout, stderr } = user.run([
      'sh',
      '-ec',
      INSTALLED[kind].script,
      'sh',
      release,
      join(where, kind),
    ]);
    if (status !== 0) throw new Error(`${kind}: ${stdout}${stderr}`);
  }
}

function register(where: string): void {
  const home = new Home();
  test.after.always('nothing is left running', async (t) => t.deepEqual(await home.end(), []));
  for (const kind of KINDS)
    test.serial(`${kind}: a container in a machine of its own`, async (t) => {
      const husk = join(where, kind, INSTALLED[kind].husk);
      const run = (isolation: string) =>
        spawnSync(
          husk,
          [
            'run',
            '--rm',
            `--isolation=${isolation}`,
            '--network',
            'none',
            'husk/base',
            'sh',
            '-c',
            `echo from ${kind}; uname -r`,
          ],
          { env: home.env, encoding: 'utf8', timeout: TIMEOUT },
        );
      const { status, stdout, stderr } = run('vm');
      t.is(status, 0, stderr);
      t.regex(stdout, new RegExp(`^from ${kind}\n[0-9.]+-husk\n$`));
      t.regex(run('userns').stdout, new RegExp(`^from ${kind}\n(?!.*-husk\n)`));
      t.regex(
        spawnSync(husk, ['version'], { env: home.env, encoding: 'utf8' }).stdout,
        /^ Guest kernel:\n {2}Version: +[0-9.]+-husk\n Agent disk:\n {2}Version: +\d/m,
      );
      t.deepEqual(await supervisorsLeft(), []);
    });
}
