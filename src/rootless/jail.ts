/**
 * The jail a VMM is born in: a launch plan that leaves a Node process with an empty root, of which it sees what it was
 * given and nothing else, no network, a user namespace with the caller's whole id map, few capabilities and no way to
 * new privileges. Node has threads and can unshare none of this itself. The pid namespace stays: records name
 * supervisors by the pid that other commands see, and signals are the filter's work.
 *
 * Started by root, it stays root of the host, with the same few capabilities: root's own records belong to nobody else.
 * Decides only.
 */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { capabilityMask } from '../container/capabilities.ts';
import { FIRST_INHERITED } from '../launch/executor.ts';
import type { LaunchPlan, Step } from '../launch/plan.ts';
import {
  MOUNT_ATTR_RDONLY,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
} from '../launch/mount-options.ts';
import { CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWUTS } from '../container/namespaces.ts';
import { HuskError } from '../errors.ts';
import { SIGKILL } from '../notation/signals.ts';

export interface JailBind {
  /** of the host; symbolic links are followed */
  source: string;
  /** place in the jail; @default source */
  target?: string;
  /** a path beneath the source that is bound instead; no link in it leads out */
  subpath?: string;
  /** `unknown`: it lies where this process cannot look */
  kind: 'directory' | 'file' | 'unknown';
  readOnly: boolean;
  /** a device node, which the mount must let through */
  device?: boolean;
  /** programs and libraries */
  executable?: boolean;
}

export interface Jail {
  binds: readonly JailBind[];
  /** argv, paths of the jail */
  args: readonly string[];
  /** NAME=value, all of it */
  env: readonly string[];
  /** descriptors that the program is to have beside stdio: so many, from FIRST_INHERITED on. @default 0 */
  inherited?: number;
  /** a user namespace of its own: for everybody but root */
  userNamespace: boolean;
  /** whether it ends when this process does; @default it goes on */
  diesWithParent?: boolean;
  /** steps on this host's own files, as root of the user namespace, before anything is mounted */
  prepare?: readonly Step[];
  /** from before the program's first instruction */
  filter: { filter: Uint8Array; flags: number };
}

/** Owners, modes and names in shared folders, whoever they belong to; nothing that is about the system. */
const CAPABILITIES = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID'];
/**
 * Within a user namespace alone: there the kernel binds a file's capabilities to that namespace's root; outside they
 * would be rights on the whole host.
 */
const NAMESPACED_CAPABILITIES = [...CAPABILITIES, 'CAP_SETFCAP'];

/** asm-generic/resource.h */
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = 7;
const RLIMIT_MEMLOCK = 8;
/**
 * a shared folder holds a descriptor for each inode the guest remembers and each file it has open
 * (src/vmm/devices/fs/share/config.ts), eight times
 */
const MAX_FILES = 1_048_576n;

/**
 * Folders that every host has and a share hardly comes from: one is covered by the jail's root, in its own mount
 * namespace.
 */
const PLACES = ['/sys', '/mnt', '/tmp'];

/** linux/limits.h of what the kernel lets an ordinary process have: `ulimit -Hn` */
function fileLimit(limits = readFileSync('/proc/self/limits', 'latin1')): bigint {
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
  return hard === undefined || BigInt(hard) > MAX_FILES ? MAX_FILES : BigInt(hard);
}

/** @throws HuskError `invalid` when what is to be shared leaves no place for the jail itself */
export function jailPlan(jail: Jail): LaunchPlan {
  const covers = (place: string) => jail.binds.some(({ source }) => source === place || source.startsWith(`${place}/`));
  const base = PLACES.find((place) => !covers(place) && existsSync(place));
  if (base === undefined)
    throw new HuskError(`cannot make a jail: folders of ${PLACES.join(', ')} are all to be shared`, {
      kind: 'invalid',
      exitCode: 125,
      fix: 'share fewer of them, or use --isolation=userns',
    });
  const files = fileLimit();
  const capabilities = capabilityMask(jail.userNamespace ? NAMESPACED_CAPABILITIES : CAPABILITIES);
  return [
    // most outlive the command that starts them, and none is part of its terminal
    { op: 'parentDeathSignal', signal: jail.diesWithParent ? SIGKILL : 0 },
    { op: 'setsid' },
    ...(jail.userNamespace ? enterUserNamespace() : leaveGroups()),
    ...(jail.prepare ?? []),
    { op: 'unshare', flags: CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | MS_PRIVATE, data: '' },
    {
      op: 'mount',
      source: 'husk',
      target: base,
      fstype: 'tmpfs',
      flags: MS_NOSUID | MS_NODEV | MS_NOEXEC,
      data: 'mode=755,size=64k,nr_inodes=512',
    },
    { op: 'setRoot', path: base },
    ...jail.binds.flatMap(bindSteps),
    { op: 'pivotRoot', path: base },
    { op: 'mountAttributes', target: '/', set: MOUNT_ATTR_RDONLY, clear: 0, recursive: false },
    { op: 'sethostname', name: 'husk' },
    { op: 'rlimit', resource: RLIMIT_CORE, soft: 0n, hard: 0n },
    { op: 'rlimit', resource: RLIMIT_MEMLOCK, soft: 0n, hard: 0n },
    { op: 'rlimit', resource: RLIMIT_NOFILE, soft: files, hard: files },
    { op: 'umask', mask: 0o022 },
    {
      op: 'capabilities',
      bounding: capabilities,
      effective: capabilities,
      permitted: capabilities,
      inheritable: 0n,
      ambient: 0n,
    },
    { op: 'noNewPrivileges' },
    { op: 'seccomp', ...jail.filter },
    ...(jail.inherited ? [{ op: 'closeFrom' as const, fd: FIRST_INHERITED + jail.inherited }] : []),
    { op: 'environment', env: [...jail.env] },
    { op: 'exec', args: [...jail.args] },
  ];
}

/**
 * The caller's supplementary groups stay, unmapped: /dev/kvm is often open to a group only, and they give nothing that
 * the caller lacks.
 */
function enterUserNamespace(): Step[] {
  return [
    { op: 'unshare', flags: CLONE_NEWUSER },
    { op: 'await', tag: 'idmap' },
    { op: 'setgid', gid: 0 },
    { op: 'setuid', uid: 0 },
  ];
}

/** Host root's own, when it starts the jail. */
function leaveGroups(): Step[] {
  return [{ op: 'setgroups', gids: [] }];
}

function bindSteps(bind: JailBind): Step[] {
  const { source, target = source, kind, readOnly } = bind;
  const flags =
    MS_BIND |
    (kind === 'file' ? 0 : MS_REC) |
    MS_NOSUID |
    (bind.device ? 0 : MS_NODEV) |
    (bind.executable ? 0 : MS_NOEXEC) |
    (readOnly ? MS_RDONLY : 0);
  // what is mounted below comes along, and is not reached by the flags of the one mount
  const recursive = kind !== 'file' && readOnly ? { set: MOUNT_ATTR_RDONLY, clear: 0 } : undefined;
  return [
    {
      op: 'mount',
      source,
      target,
      fstype: '',
      flags,
      data: bind.subpath ?? '',
      recursive,
      inRoot: true,
      create: kind === 'unknown' ? 'like-source' : kind,
    },
  ];
}

/** What Node and koffi are linked against (DT_NEEDED); glibc before 2.34 has more of them than later ones. */
const LIBRARIES = [
  'libc.so.6',
  'libdl.so.2',
  'libm.so.6',
  'libpthread.so.0',
  'librt.so.1',
  'libstdc++.so.6',
  'libgcc_s.so.1',
  'libatomic.so.1',
];
/** System V ABI, AMD64 supplement: PT_INTERP of every dynamic program */
const LOADER = '/lib64/ld-linux-x86-64.so.2';
/** where the libraries are in the jail: LD_LIBRARY_PATH */
const LIBRARY_FOLDER = '/lib';

/** @param maps proc_pid_maps(5) of a process of the same Node: where this host has the libraries */
export function libraryBinds(
  maps: string = readFileSync('/proc/self/maps', 'latin1'),
  exists: (path: string) => boolean = existsSync,
): JailBind[] {
  const folders = new Set([...maps.matchAll(/(\/\S*\.so[.\d]*)$/gm)].map((match) => dirname(match[1]!)));
  const file = (source: string, target: string): JailBind => ({
    source,
    target,
    kind: 'file',
    readOnly: true,
    executable: true,
  });
  const found = LIBRARIES.flatMap((name) => {
    const folder = [...folders].find((at) => exists(join(at, name)));
    return folder === undefined ? [] : [file(join(folder, name), join(LIBRARY_FOLDER, name))];
  });
  return [file(LOADER, LOADER), ...found];
}

/** Node itself, what it is linked against, and the little of /proc and /dev that it and the VMM read. */
export function nodeBinds(node: string): JailBind[] {
  return [
    { source: node, kind: 'file', readOnly: true, executable: true },
    ...libraryBinds(),
    // its own folder alone: threads, descriptors by number, start time; no other process is to be seen
    { source: '/proc/self', kind: 'directory', readOnly: true },
    { source: '/proc/sys/kernel/random/boot_id', kind: 'file', readOnly: true },
    { source: '/dev/null', kind: 'file', readOnly: false, device: true },
  ];
}

/** The whole environment of the process. */
export function nodeEnvironment(): string[] {
  return ['HOME=/', 'PATH=/nonexistent', `LD_LIBRARY_PATH=${LIBRARY_FOLDER}`];
}

/** Paths and what lies behind their links, each at its own place. */
export function partBinds(paths: readonly { path: string; kind: 'directory' | 'file' }[]): JailBind[] {
  const places = new Map<string, JailBind>();
  for (const { path, kind } of paths) {
    if (!existsSync(path)) continue;
    const real = realpathSync(path);
    for (const target of new Set([path, real]))
      places.set(target, { source: real, target, kind, readOnly: true, executable: true });
  }
  const covered = (target: string) =>
    [...places.values()].some((other) => other.kind === 'directory' && target.startsWith(`${other.target}/`));
  return [...places.values()].filter(({ target }) => !covered(target!));
}
