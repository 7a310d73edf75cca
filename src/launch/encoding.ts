/**
 * Encodes a launch plan into the binary form that `husk-init run` reads. guest/init/plan.h has the layout, the bounds
 * and the same numbers. The encoder returns bytes and performs nothing.
 */
import { EXIT_NOT_EXECUTABLE, HuskError } from '../errors.ts';
import type { AwaitTag, LaunchPlan, SocketKind, Step } from './plan.ts';

const MAGIC = 0x504c4b48;
const VERSION = 2;
const HEADER_BYTES = 16;
const STEP_HEADER_BYTES = 8;
export const MAX_PLAN_BYTES = 16 << 20;
/** most bytes of one argument or variable, its NUL included: MAX_ARG_STRLEN of include/uapi/linux/binfmts.h */
const MAX_ARGUMENT_BYTES = 128 << 10;

const OPS = [
  'setns',
  'setnsPid',
  'unshare',
  'await',
  'fork',
  'reaper',
  'parentDeathSignal',
  'setsid',
  'newSessionKeyring',
  'loopbackUp',
  'setRoot',
  'mount',
  'mountAttributes',
  'umount',
  'mkdir',
  'symlink',
  'mknod',
  'chown',
  'chmod',
  'writeFile',
  'maskPath',
  'readonlyPath',
  'pivotRoot',
  'chdir',
  'umask',
  'sethostname',
  'setdomainname',
  'rlimit',
  'setgroups',
  'setgid',
  'setuid',
  'setuser',
  'capabilities',
  'noNewPrivileges',
  'seccomp',
  'openPty',
  'chownStdio',
  'closeFrom',
  'environment',
  'exec',
  'holdTree',
  'placeTree',
  'sockets',
  'mapUsers',
  'exit',
  'tap',
] as const satisfies readonly Step['op'][];

/** opcodes count from 1 in the order of `enum opcode` */
const OPCODES = new Map<Step['op'], number>(OPS.map((op, index) => [op, index + 1]));

/** Turns a number of `enum opcode` back into a step's name, for error records. */
export const opName = (opcode: number): Step['op'] | undefined => OPS[opcode - 1];

export const AWAIT_TAGS: readonly AwaitTag[] = ['idmap', 'cgroup', 'network', 'exec'];

/**
 * bits of a `sockets` step's mask, in the order in which the descriptors come: SOCKET_* of guest/init/plan.h; the last
 * is a `tap` step's
 */
const SOCKET_KINDS: readonly SocketKind[] = [
  'rtnetlink',
  'netfilter',
  'udp',
  'tcp',
  'network-namespace',
  'user-namespace',
  'tap',
];

/** @returns the kinds of a mask, in the order of their descriptors */
export const socketKinds = (mask: number): SocketKind[] => SOCKET_KINDS.filter((_, bit) => mask & (1 << bit));

const IN_ROOT = 1;
const CREATE_DIRECTORY = 2;
const CREATE_FILE = 4;
const NO_SYMLINKS = 8;
const RECURSIVE = 16;
const CREATE = 32;
const CONSOLE = 64;
const MODE_FROM_TARGET = 128;
const ROOT_ONLY = 256;
const CREATE_LIKE_SOURCE = 512;
const VISIBLE = 1024;
const ASKING = 2048;

const CREATE_FLAGS = { directory: CREATE_DIRECTORY, file: CREATE_FILE, 'like-source': CREATE_LIKE_SOURCE } as const;
const NO_ATTRIBUTES = { set: 0, clear: 0 };

/** Little-endian output that grows; each plan has one writer. */
class PlanWriter {
  #bytes = Buffer.allocUnsafe(16384);
  #length = 0;

  #reserve(more: number): number {
    const at = this.#length;
    const needed = at + more;
    if (needed > MAX_PLAN_BYTES)
      throw new HuskError(`the launch plan is longer than ${MAX_PLAN_BYTES} bytes`, {
        kind: 'limit',
        fix: 'pass a smaller environment or fewer arguments',
      });
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    this.#length = needed;
    return at;
  }

  get length(): number {
    return this.#length;
  }

  u16(value: number): void {
    const at = this.#reserve(2); // The reservation comes first, because it may replace #bytes.
    this.#bytes.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  /** Patches a length that was not known when it was written. */
  u32At(offset: number, value: number): void {
    this.#bytes.writeUInt32LE(value, offset);
  }

  u16At(offset: number, value: number): void {
    this.#bytes.writeUInt16LE(value, offset);
  }

  u64(value: number | bigint): void {
    const at = this.#reserve(8);
    this.#bytes.writeBigUInt64LE(BigInt(value), at);
  }

  string(value: string): void {
    if (value.includes('\0')) throw new HuskError(`${JSON.stringify(value)} contains a NUL byte`, { kind: 'invalid' });
    const length = Buffer.byteLength(value);
    this.u32(length + 1);
    const at = this.#reserve(length + 1);
    this.#bytes.write(value, at, length, 'utf8');
    this.#bytes[at + length] = 0;
  }

  blob(value: Uint8Array | string): void {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    this.u32(bytes.length);
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  strings(values: readonly string[]): void {
    this.u32(values.length);
    for (const value of values) this.string(value);
  }

  u32s(values: readonly number[]): void {
    this.u32(values.length);
    for (const value of values) this.u32(value);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Writes a step's fields in the order of its signature in guest/init/plan.c. @returns the step's flags */
function writeFields(out: PlanWriter, step: Step): number {
  const inRoot = 'inRoot' in step && step.inRoot ? IN_ROOT : 0;
  switch (step.op) {
    case 'setns':
      out.string(step.path);
      out.u32(step.type);
      return step.visible ? VISIBLE : 0;
    case 'setnsPid':
      out.u32(step.pid);
      out.u32(step.types);
      return 0;
    case 'unshare':
      out.u32(step.flags);
      return 0;
    case 'await':
      out.u32(AWAIT_TAGS.indexOf(step.tag));
      return 0;
    case 'fork':
    case 'reaper':
    case 'setsid':
    case 'newSessionKeyring':
    case 'loopbackUp':
    case 'noNewPrivileges':
    case 'chownStdio':
    case 'exit':
      return 0;
    case 'mapUsers':
      out.string(step.uid);
      out.string(step.gid);
      return 0;
    case 'sockets':
      out.string(step.address ?? '');
      out.u32(step.make.reduce((mask, kind) => mask | (1 << SOCKET_KINDS.indexOf(kind)), 0));
      return step.asking ? ASKING : 0;
    case 'tap':
      out.string(step.name);
      return 0;
    case 'parentDeathSignal':
      out.u32(step.signal);
      return 0;
    case 'setRoot':
    case 'maskPath':
    case 'readonlyPath':
    case 'pivotRoot':
      out.string(step.path);
      return 0;
    case 'mount':
      out.string(step.source);
      out.string(step.target);
      out.string(step.fstype);
      out.u32(step.flags >>> 0);
      out.string(step.data);
      for (const { set, clear } of [step.attributes ?? NO_ATTRIBUTES, step.recursive ?? NO_ATTRIBUTES]) {
        out.u64(set);
        out.u64(clear);
      }
      out.u32s(step.propagation ?? []);
      return (
        inRoot |
        (step.create ? CREATE_FLAGS[step.create] : 0) |
        (step.noSymlinks ? NO_SYMLINKS : 0) |
        (step.modeFromTarget ? MODE_FROM_TARGET : 0)
      );
    case 'mountAttributes':
      out.string(step.target);
      out.u64(step.set);
      out.u64(step.clear);
      out.u64(step.propagation ?? 0);
      return inRoot | (step.recursive ? RECURSIVE : 0);
    case 'holdTree':
      out.string(step.source);
      out.string(step.beneath ?? '');
      out.u32(step.tree);
      return step.recursive ? RECURSIVE : 0;
    case 'placeTree':
      out.string(step.target);
      out.u32(step.tree);
      return inRoot;
    case 'umount':
      out.string(step.target);
      out.u32(step.flags);
      return inRoot;
    case 'mkdir':
    case 'chmod':
      out.string(step.path);
      out.u32(step.mode);
      return inRoot;
    case 'symlink':
      out.string(step.target);
      out.string(step.path);
      return inRoot;
    case 'mknod':
      out.string(step.path);
      out.u32(step.mode);
      out.u32(step.major);
      out.u32(step.minor);
      return inRoot;
    case 'chown':
      out.string(step.path);
      out.u32(step.uid);
      out.u32(step.gid);
      return inRoot;
    case 'writeFile':
      out.string(step.path);
      out.blob(step.content);
      out.u32(step.mode ?? 0o644);
      return inRoot | (step.create ? CREATE : 0);
    case 'chdir':
      out.string(step.path);
      out.u32(step.uid ?? 0);
      out.u32(step.gid ?? 0);
      return step.create ? CREATE : 0;
    case 'umask':
      out.u32(step.mask);
      return 0;
    case 'sethostname':
    case 'setdomainname':
      out.string(step.name);
      return 0;
    case 'rlimit':
      out.u32(step.resource);
      out.u64(step.soft);
      out.u64(step.hard);
      return 0;
    case 'setgroups':
      out.u32s(step.gids);
      return 0;
    case 'setgid':
      out.u32(step.gid);
      return 0;
    case 'setuid':
      out.u32(step.uid);
      return 0;
    case 'setuser':
      out.string(step.user);
      out.strings(step.additionalGroups);
      return 0;
    case 'capabilities':
      for (const mask of [step.bounding, step.effective, step.permitted, step.inheritable, step.ambient]) out.u64(mask);
      return step.rootOnly ? ROOT_ONLY : 0;
    case 'seccomp':
      out.blob(step.filter);
      out.u32(step.flags);
      return 0;
    case 'openPty':
      out.u32(step.columns);
      out.u32(step.rows);
      return step.console ? CONSOLE : 0;
    case 'closeFrom':
      out.u32(step.fd);
      return 0;
    case 'environment':
      out.strings(fitting(step.env, (variable) => `the environment variable ${variable.slice(0, 80).split('=')[0]}`));
      return 0;
    case 'exec':
      out.strings(fitting(step.args, (_, index) => `argument ${index}`));
      return 0;
    default:
      // TypeScript does not know such a step; `never` makes a forgotten case a type error.
      throw new HuskError(`unknown launch step ${JSON.stringify(step satisfies never)}`, { kind: 'internal' });
  }
}

/** @throws HuskError `limit` naming the first string that execve(2) would refuse */
function fitting(strings: readonly string[], what: (value: string, index: number) => string): readonly string[] {
  const index = strings.findIndex(
    (value) => value.length >= MAX_ARGUMENT_BYTES / 4 && Buffer.byteLength(value) >= MAX_ARGUMENT_BYTES,
  );
  if (index === -1) return strings;
  const value = strings[index]!;
  throw new HuskError(
    `${what(value, index)} has ${Buffer.byteLength(value)} bytes: Linux gives a program at most ${MAX_ARGUMENT_BYTES - 1} in one`,
    {
      kind: 'start-failed',
      exitCode: EXIT_NOT_EXECUTABLE,
      fix: 'pass it in a file: -v or cp',
    },
  );
}

/**
 * Encodes the plan for `husk-init run`. The encoder checks what it writes (NUL bytes, the total length); husk-init
 * checks the other bounds before the first step runs, and reports them as a LaunchError of op `plan`.
 * @throws HuskError `invalid` for a string with a NUL byte, `limit` for a plan over 16 MiB, or for a string that is too
 * long for any program
 */
export function encodePlan(plan: LaunchPlan): Uint8Array {
  const out = new PlanWriter();
  out.u32(MAGIC);
  out.u16(VERSION);
  out.u16(0);
  out.u32(0);
  out.u32(plan.length);
  for (const step of plan) {
    const start = out.length;
    out.u16(OPCODES.get(step.op)!);
    out.u16(0);
    out.u32(0);
    const flags = writeFields(out, step);
    out.u16At(start + 2, flags);
    out.u32At(start + 4, out.length - start - STEP_HEADER_BYTES);
  }
  out.u32At(HEADER_BYTES - 8, out.length);
  return out.finish();
}
