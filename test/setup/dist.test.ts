/**
 * What `make dist` makes, as users take it: each is installed into an empty root by an ordinary user, and runs a
 * container in user namespaces from there. Without the kernel and the disks, which take a minute to pack: with them,
 * and whether two builds have the same bytes, is test/vmm/dist.test.ts.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';
import { INSTALLED, type Kind } from './installed.ts';

const missing = ['husk.cjs', 'husk.mjs', 'types'].every((name) => existsSync(join(ROOT, 'dist', name)))
  ? missingImageTools()
  : 'needs make build';
const whenBuilt = missing === undefined ? test.serial : test.serial.skip;
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

/** made once, by the first test that asks */
let release: string | undefined;
function released(): string {
  if (release === undefined) {
    release = temporaryFolder('husk-dist-');
    chmodSync(release, 0o755);
    execFileSync('setup/dist', ['--without-vm', release], {
      cwd: ROOT,
      env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }
  return release;
}

/** installs one of them as `user` and returns its husk */
function install(kind: Kind, user: TestUser): string {
  const { script, husk } = INSTALLED[kind];
  const root = join(user.home, 'root');
  const { status, stderr, stdout } = user.run(['sh', '-ec', script, 'sh', released(), root]);
  if (status !== 0) throw new Error(`${kind}: ${stdout}${stderr}`);
  return join(root, husk);
}

for (const kind of Object.keys(INSTALLED) as Kind[])
  whenBuilt(
    `${kind}: installed into an empty root, it runs a container${missing === undefined ? '' : ` (${missing})`}`,
    (t) => {
      using user = ordinaryUser();
      const husk = install(kind, user);
      t.is(user.run([husk, '--version']).stdout, `husk version ${version}\n`);
      t.is(
        user.run(['sh', '-c', '"$0" import --change "CMD [\\"sh\\"]" - busybox <"$1"', husk, busyboxTar()]).status,
        0,
      );
      const { status, stdout, stderr } = user.run([
        husk,
        'run',
        '--rm',
        '--network',
        'none',
        '--isolation=userns',
        'busybox',
        'echo',
        'from',
        kind,
      ]);
      t.deepEqual({ status, stdout }, { status: 0, stdout: `from ${kind}\n` }, stderr);
      if (kind === 'npm') {
        const project = join(user.home, 'project');
        user.run(['mkdir', '-p', project]);
        t.is(
          user.run([
            'npm',
            'install',
            '--offline',
            '--no-audit',
            '--no-fund',
            '--prefix',
            project,
            join(released(), `husk-${version}.tgz`),
          ]).status,
          0,
        );
        const code =
          "import { Husk } from 'husk'; using husk = await Husk.open(); console.log((await husk.run('busybox', ['echo', 'library'], { network: 'none' })).stdout.trim())";
        const ran = user.run([
          'sh',
          '-c',
          'cd "$0" && printf %s "$1" >example.mjs && exec "$2" --disable-warning=ExperimentalWarning example.mjs',
          project,
          code,
          process.execPath,
        ]);
        t.deepEqual([ran.status, ran.stdout], [0, 'library\n'], ran.stderr);
        return;
      }
      const share = join(husk, '../../share');
      t.true(readdirSync(join(share, 'man/man1')).includes('husk-run.1.gz'));
      for (const file of [
        'bash-completion/completions/husk',
        'zsh/site-functions/_husk',
        'fish/vendor_completions.d/husk.fish',
      ])
        t.true(readFileSync(join(share, file), 'utf8').includes('__complete'), file);
      t.regex(
        readFileSync(join(share, 'systemd/user/husk-restart.service'), 'utf8'),
        kind === 'deb' ? /^ExecStart=-\/usr\/bin\/husk /m : /^ExecStart=-\/usr\/local\/bin\/husk /m,
      );
      t.regex(
        readFileSync(join(share, 'systemd/user/husk.service'), 'utf8'),
        kind === 'deb' ? /^ExecStart=\/usr\/bin\/husk serve$/m : /^ExecStart=\/usr\/local\/bin\/husk serve$/m,
      );
      t.is(readlinkSync(husk), '../lib/husk/husk-launch');
      t.true(existsSync(join(share, 'doc/husk/copyright')));
    },
  );

whenBuilt(
  `everything in them is root's, nothing can be written by others, and the .deb depends on what an installed husk needs${missing === undefined ? '' : ` (${missing})`}`,
  (t) => {
    const list = (...command: [string, ...string[]]) =>
      execFileSync(command[0], command.slice(1), { cwd: released(), encoding: 'utf8', maxBuffer: 1 << 24 })
        .trim()
        .split('\n');
    for (const lines of [
      list('tar', '--numeric-owner', '-tvf', `husk-${version}-linux-x64.tar.gz`),
      list('tar', '--numeric-owner', '-tvf', `husk-${version}.tgz`),
    ])
      for (const line of lines) t.regex(line, /^(?:[d-]rw[x-]r-[x-]r-[x-]|lrwx\S+) 0\/0 .* 2023-11-14 /, line);
    for (const line of list('dpkg-deb', '-c', `husk_${version}_amd64.deb`))
      t.regex(line, /^(?:[d-]rw[x-]r-[x-]r-[x-]|lrwx\S+) root\/root .* 2023-11-14 /, line);
    t.deepEqual(list('dpkg-deb', '-f', `husk_${version}_amd64.deb`, 'Depends'), [
      'libc6, libstdc++6, libgcc-s1, uidmap, passt, fuse-overlayfs, procps',
    ]);
    t.is(spawnSync('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: released() }).status, 0);
  },
);

/** in FOLDER, from the sources in ROOT, with temporary files in FOLDER/tmp */
const BUILD = `
  mkdir -p "$2/dist" "$2/tmp"
  cp -r "$1/setup" "$1/src" "$1/package.json" "$1/tsconfig.json" "$2"
  ln -s "$1/node_modules" "$2/node_modules"
  ln -s "$1/dist/husk-init" "$2/dist/husk-init"
  [ -z "$3" ] || sed -i "$3" "$2/setup/practice.ts"
  TMPDIR=$2/tmp exec "$0" --predictable "$2/setup/bundle.ts"`;
/**
 * On a busy machine the practice stands still while a container runs in it; a supervisor has work 2 s after a start.
 */
const HELD_UP =
  's/await run(command)/command.join().startsWith("exec,four,") ' +
  '? (Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500), await run(command)) : await run(command)/';
const whenInit = existsSync(join(ROOT, 'dist/husk-init')) ? test : test.skip;
whenInit(
  'bundles and code cache are the same bytes wherever, by whom and how slowly they are built, and leave nothing',
  (t) => {
    using user = ordinaryUser();
    const build = (folder: string, edit: string, run: (command: string[]) => void) => {
      run(['sh', '-ec', BUILD, process.execPath, ROOT, folder, edit]);
      t.deepEqual(readdirSync(join(folder, 'tmp')), []);
      t.deepEqual(
        readdirSync(join(folder, 'dist')).filter((file) => file.startsWith('packs-')),
        [],
      );
      return Object.fromEntries(
        ['agent.cjs', 'husk-main.cjs', 'husk-main.cache', 'husk.cjs', 'husk.mjs', 're2js.cjs', 'execa.cjs'].map(
          (file) => [file, readFileSync(join(folder, 'dist', file))],
        ),
      );
    };
    const first = build(join(temporaryFolder('husk-bundle-'), 'a'), '', ([program, ...args]) =>
      execFileSync(program!, args, { stdio: ['ignore', 'ignore', 'inherit'] }),
    );
    const second = build(join(user.home, 'another/with a longer name'), HELD_UP, (command) => {
      const { status, stderr } = user.run(command);
      t.is(status, 0, stderr);
    });
    for (const [file, bytes] of Object.entries(first)) t.true(bytes.equals(second[file]!), file);
  },
);

test('what is missing is said, and nothing is left', (t) => {
  const folder = temporaryFolder('husk-dist-none-');
  for (const name of ['setup', 'dist', 'out']) mkdirSync(join(folder, name));
  cpSync(join(ROOT, 'setup/dist'), join(folder, 'setup/dist'));
  writeFileSync(join(folder, 'package.json'), '{}');
  const { status, stderr } = spawnSync(join(folder, 'setup/dist'), [join(folder, 'out')], { encoding: 'utf8' });
  t.deepEqual([status, stderr], [1, `dist: ${folder}/dist/husk.cjs is missing (make vm)\n`]);
  t.deepEqual(readdirSync(join(folder, 'out')), []);
});
