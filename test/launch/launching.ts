/**
 * Launch plans for tests: a small busybox root, the steps around a case, and a run of a plan to its end, in this
 * process or as an ordinary user through launch-driver.ts.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { deserialize, serialize } from 'node:v8';
import { launch, type LaunchOptions } from '../../src/launch/executor.ts';
import type { LaunchPlan, Step } from '../../src/launch/plan.ts';
import { idMaps, writeIdMaps } from '../../src/rootless/idmap.ts';
import { ordinaryUser, ROOT } from '../fixtures/user.ts';

execFileSync('make', ['-s', '-C', join(ROOT, 'guest/init')]);
export const INIT = join(ROOT, 'dist/husk-init');

/** linux/sched.h */
const CLONE_NEWNS = 0x20000;
const CLONE_NEWUTS = 0x4000000;
const CLONE_NEWIPC = 0x8000000;
const CLONE_NEWUSER = 0x10000000;
const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;
/** sys/mount.h */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REMOUNT = 32;
export const MS_BIND = 4096;
export const MS_REC = 16384;
const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;

const AS_ROOT = process.getuid!() === 0;
const BUSYBOX = '/bin/busybox';

export type As = 'root' | 'user';
export const RUNNERS: readonly As[] = AS_ROOT ? ['root', 'user'] : ['user'];

/** Writes the maps of a new user namespace. */
export const mapIds = (pid: number): Promise<void> => writeIdMaps(pid, idMaps());

/** A name's content: a file, a folder (null) or a symbolic link ({ link }). */
export type Entries = Record<string, string | null | { link: string }>;

export interface Tree extends Disposable {
  readonly path: string;
  /** of the container's uid 0 */
  readonly owner: number;
}

const APPLETS = [
  'sh',
  'cat',
  'echo',
  'id',
  'ls',
  'stat',
  'readlink',
  'hostname',
  'mount',
  'grep',
  'sleep',
  'kill',
  'pwd',
  'env',
  'ps',
  'tty',
  'stty',
  'touch',
  'test',
  'head',
  'wc',
  'true',
  'setsid',
  'seq',
  'ping',
];

/**
 * A root with busybox and mount points, owned by the container's uid 0, with the case's entries (made last, and may
 * replace).
 */
export function tree(as: As, entries: Entries = {}): Tree {
  const user = ordinaryUser();
  const owner = as === 'root' ? idMaps().uid[0]!.hostID : user.uid;
  const path = mkdtempSync('/var/tmp/husk-root-');
  chmodSync(path, 0o755);
  const base: Entries = {
    'bin/': null,
    'proc/': null,
    'dev/': null,
    'tmp/': null,
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
    'etc/group': 'root:x:0:\n',
  };
  for (const applet of APPLETS) base[`bin/${applet}`] = { link: '/bin/busybox' };
  mkdirSync(join(path, 'bin'));
  copyFileSync(BUSYBOX, join(path, 'bin/busybox'));
  const all = Object.entries({ ...base, ...entries });
  const isLink = (content: Entries[string]) => content !== null && typeof content === 'object';
  // links last: nothing is ever written through one, they lead out into the host
  for (const [name, content] of [
    ...all.filter(([, content]) => !isLink(content)),
    ...all.filter(([, content]) => isLink(content)),
  ]) {
    const target = join(path, name);
    const folder = name.endsWith('/') ? target : dirname(target);
    mkdirSync(folder, { recursive: true });
    if (!`${realpathSync(folder)}/`.startsWith(`${path}/`)) throw new Error(`${name} lies outside of the tree`);
    if (name.endsWith('/')) continue;
    rmSync(target, { recursive: true, force: true });
    if (content !== null && typeof content === 'object') symlinkSync(content.link, target);
    else writeFileSync(target, content ?? '', { mode: name.startsWith('bin/') ? 0o755 : 0o644 });
  }
  // chown -P never goes through a link; readdirSync's `recursive` does
  if (AS_ROOT) execFileSync('chown', ['-h', '-R', '-P', `${owner}:${owner}`, '--', path]);
  return {
    path,
    owner,
    [Symbol.dispose]() {
      if (AS_ROOT) rmSync(path, { recursive: true, force: true });
      else spawnSync('unshare', ['--map-auto', '--map-root-user', 'rm', '-rf', path]);
      user[Symbol.dispose]();
    },
  };
}

/** namespaces, id maps, the root bound, and a fork: what comes before a case's own steps */
export function entering(root: string, namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC): Step[] {
  return [
    { op: 'unshare', flags: CLONE_NEWUSER },
    { op: 'await', tag: 'idmap' },
    { op: 'setgroups', gids: [] },
    { op: 'setgid', gid: 0 },
    { op: 'setuid', uid: 0 },
    { op: 'unshare', flags: namespaces },
    { op: 'fork' },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_PRIVATE | MS_REC, data: '' },
    { op: 'mount', source: root, target: root, fstype: '', flags: MS_BIND | MS_REC, data: '' },
    { op: 'setRoot', path: root },
  ];
}

export const PROC: Step = {
  op: 'mount',
  source: 'proc',
  target: '/proc',
  fstype: 'proc',
  flags: MS_NOSUID | MS_NODEV | MS_NOEXEC,
  data: '',
  inRoot: true,
  create: 'directory',
  noSymlinks: true,
};
export const DEV: Step[] = [
  {
    op: 'mount',
    source: 'tmpfs',
    target: '/dev',
    fstype: 'tmpfs',
    flags: MS_NOSUID,
    data: 'mode=755',
    inRoot: true,
    create: 'directory',
  },
  {
    op: 'mount',
    source: 'devpts',
    target: '/dev/pts',
    fstype: 'devpts',
    flags: MS_NOSUID | MS_NOEXEC,
    data: 'newinstance,ptmxmode=0666,mode=0620,gid=5',
    inRoot: true,
    create: 'directory',
  },
  ...['null', 'zero', 'tty'].map((name): Step => ({
    op: 'mount',
    source: `/dev/${name}`,
    target: `/dev/${name}`,
    fstype: '',
    flags: MS_BIND,
    data: '',
    inRoot: true,
    create: 'file',
  })),
  { op: 'symlink', target: '/proc/self/fd/1', path: '/dev/stdout', inRoot: true },
];

export const sh = (script: string): Step[] => [
  { op: 'environment', env: ['PATH=/bin'] },
  { op: 'exec', args: ['sh', '-c', script] },
];

/** The whole plan of a case: before the root is entered, and after. */
export function inContainer(root: Tree, before: Step[], after: Step[]): LaunchPlan {
  return [...entering(root.path), ...before, { op: 'pivotRoot', path: root.path }, ...after];
}

export interface Outcome {
  code: number;
  signal?: number;
  stdout: string;
  stderr: string;
  /** of a LaunchError */
  error?: { message: string; exitCode: number; op: string; step: number; path?: string; errno: number };
}

/** Runs a plan to its end in this process. */
export async function runHere(plan: LaunchPlan, options: Partial<LaunchOptions> = {}): Promise<Outcome> {
  const launched = launch(plan, {
    init: INIT,
    stdin: 'null',
    stdout: 'pipe',
    stderr: 'pipe',
    onAwait: (tag, pid) => (tag === 'idmap' ? mapIds(pid) : undefined),
    ...options,
  });
  const error = launched.started.then(
    () => undefined,
    ({ message, exitCode, op, step, path, errno }) => ({ message, exitCode, op, step, path, errno }),
  );
  const [stdout, stderr, exit] = await Promise.all([text(launched.stdout!), text(launched.stderr!), launched.exited]);
  return { ...exit, stdout, stderr, error: await error };
}

/** Runs a plan to its end as root or as an ordinary user. */
export async function run(as: As, plan: LaunchPlan): Promise<Outcome> {
  if (as === 'root' || !AS_ROOT) return runHere(plan);
  using user = ordinaryUser();
  const { status, stdout, stderr } = user.run(
    [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'launch-driver.ts')],
    { input: serialize(plan) },
  );
  if (status !== 0) throw new Error(`the driver failed: ${stderr}`);
  return deserialize(Buffer.from(stdout, 'base64')) as Outcome;
}
