/**
 * Real containers for tests of this room: a busybox tree, a spec with Docker's defaults, and a sandbox, in a process of
 * the user's own. Not a test itself.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ordinaryUser, ROOT, TIMEOUT, type Result } from '../fixtures/user.ts';

/** what the code given to `asUser` and `asRoot` finds in scope; runs in the user's home */
export const PRELUDE = `
  const load = (file) => import(${JSON.stringify(ROOT)} + '/src/' + file);
  const { UsernsSandbox } = await load('rootless/sandbox.ts');
  const { runInUserNamespace } = await load('rootless/namespace.ts');
  const { removeTree } = await load('rootless/trees.ts');
  const { defaultMounts, MASKED_PATHS, READONLY_PATHS } = await load('engine/create/spec/defaults.ts');
  const { tweakCapabilities, processCapabilities } = await load('container/capabilities.ts');
  const { seccompFor } = await load('container/seccomp/profile.ts');
  const fs = await import('node:fs');
  const os = await import('node:os');
  const { join, resolve } = await import('node:path');
  const { execFileSync, spawnSync } = await import('node:child_process');
  const { setTimeout: sleep } = await import('node:timers/promises');
  const NOTHING = { stdin: false, terminal: false };
  /** waits for what comes by itself, however busy the machine */
  const within = async (done) => { for (const start = Date.now(); !(await done()) && Date.now() - start < 60000; ) await sleep(50); };

  const busybox = (folder) => {
    fs.mkdirSync(folder + '/bin', { recursive: true });
    for (const name of ['etc', 'proc', 'sys', 'dev', 'root', 'var']) fs.mkdirSync(join(folder, name));
    fs.mkdirSync(folder + '/tmp'); fs.chmodSync(folder + '/tmp', 0o1777);
    fs.copyFileSync('/bin/busybox', folder + '/bin/busybox');
    for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\\n')) if (name !== 'busybox') fs.symlinkSync('busybox', join(folder, 'bin', name));
    fs.writeFileSync(folder + '/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\\nann:x:1000:1000::/home/ann:/bin/sh\\n');
    fs.writeFileSync(folder + '/etc/group', 'root:x:0:\\nann:x:1000:\\n');
    chown(folder, '.');
    return resolve(folder);
  };
  /** as root a tree belongs to the container's root */
  const chown = (folder) => { if (process.getuid() === 0) execFileSync('chown', ['-R', '-h', '1000000000:1000000000', folder]); };
  const makeSpec = (args, change = (spec) => spec) => {
    const capabilities = tweakCapabilities({ add: [], drop: [], privileged: false });
    return change({
      ociVersion: '1.2.0', hostname: 'box', root: { path: 'rootfs' },
      process: { args, env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], cwd: '/', user: { uid: 0, gid: 0, username: '' }, capabilities: processCapabilities(capabilities, { nonRoot: false }) },
      mounts: defaultMounts({ shmSize: 1 << 26, writableSystem: false }),
      linux: {
        namespaces: ['mount', 'cgroup', 'network', 'uts', 'pid', 'ipc', 'user'].map((type) => ({ type })),
        seccomp: seccompFor(undefined, { capabilities, kernel: os.release(), privileged: false }),
        maskedPaths: [...MASKED_PATHS], readonlyPaths: [...READONLY_PATHS],
      },
    });
  };
  let count = 0;
  const makeSandbox = (args, { lower, images, change, init = false, options = {} } = {}) => {
    lower ??= [fs.existsSync('lower') ? resolve('lower') : busybox('lower')];
    const directory = resolve('c' + ++count);
    fs.mkdirSync(directory);
    const rootfs = { kind: 'overlay', lower, upper: directory + '/upper', work: directory + '/work', merged: directory + '/merged' };
    return new UsernsSandbox({ id: String(count).padStart(64, '0'), spec: makeSpec(args, change), rootfs, images, directory, init }, { users: resolve('.'), ...options });
  };
  const text = (stream) => new Promise((done) => { let all = ''; if (!stream) return done(''); stream.setEncoding('utf8').on('data', (data) => (all += data)).on('close', () => done(all)); });
  /** runs a command to its end */
  const run = async (args, how = {}) => {
    const sandbox = makeSandbox(args, how);
    try {
      await sandbox.prepare(how.stdio ?? NOTHING);
      const child = await sandbox.start();
      if (how.input !== undefined) child.stdin.end(how.input);
      const [out, err, exit] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
      return { out, err, exit };
    } finally {
      await sandbox.destroy();
    }
  };
  const sh = (script, how) => run(['sh', '-c', script], how);
`;

const command = (code: string) => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  '--input-type=module',
  '-e',
  PRELUDE + code,
];

/** Runs code as an ordinary user, in a home that is gone afterwards. */
export function asUser(code: string): Result {
  using user = ordinaryUser();
  return user.run(command(code));
}

/** Runs code as root, in a folder that everybody may pass through. */
export function asRoot(code: string): Result {
  const home = mkdtempSync('/var/tmp/husk-root-');
  chmodSync(home, 0o711);
  chownSync(home, 0, 0);
  try {
    const [program, ...args] = command(code);
    const { status, signal, stdout, stderr } = spawnSync(program!, args, {
      cwd: home,
      env: { PATH: process.env['PATH'], HOME: home, HUSK_DATA_ROOT: join(home, 'data') },
      encoding: 'utf8',
      timeout: TIMEOUT,
    });
    return { status, signal, stdout, stderr };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/**
 * As `asUser`, on a machine where everybody may open /dev/fuse and /dev/net/tun: nodes in a mount namespace of the
 * test's own.
 */
export function asUserWithDevices(code: string): Result {
  using user = ordinaryUser();
  const script = `set -e; mount -t tmpfs none /mnt; mknod -m 666 /mnt/fuse c 10 229; mknod -m 666 /mnt/tun c 10 200
    mount --bind /mnt/fuse /dev/fuse; mount --bind /mnt/tun /dev/net/tun; umount -l /mnt
    cd "$HOME"; exec setpriv --reuid ${user.uid} --regid ${user.gid} --init-groups "$@"`;
  const { status, signal, stdout, stderr } = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', ...command(code)], {
    env: user.env,
    encoding: 'utf8',
    timeout: TIMEOUT,
  });
  return { status, signal, stdout, stderr };
}

export const AS_ROOT = process.getuid!() === 0;
