/**
 * The contract both isolations fulfil: `src/rootless/` (user namespaces) and `src/vmm/` (a KVM microVM).
 * The supervisor drives one Sandbox and never asks which one it is. Types only.
 */
import type { Readable, Writable } from 'node:stream';
import type { ProcessSpec, Resources, Spec } from './spec.ts';

export type Isolation = 'vm' | 'userns';

export interface SandboxConfig {
  /** the container's id, 64 lower-case hex digits */
  id: string;
  spec: Spec;
  rootfs: Rootfs;
  /** the images that mounts of the spec name, each once. @default none */
  images?: readonly ImageTree[];
  /** containers/<id>: the sandbox's own folder */
  directory: string;
  /** `--init`: a reaper is PID 1 and the command its child */
  init: boolean;
}

/** What the supervisor made of the image for this isolation. */
type Rootfs =
  /**
   * unpacked layer trees, topmost first as in overlay's `lowerdir=`; upper, work and merged lie in the container's
   * folder
   */
  | { kind: 'overlay'; lower: string[]; upper: string; work: string; merged: string }
  /**
   * byte ranges of files that, one after another, are the read-only root disk; `writable` is the ext4 file of the upper
   * layer
   */
  | { kind: 'disk'; root: { path: string; offset: number; length: number }[]; writable: string };

/** What the supervisor made of an image that is mounted into the container (a mount of type `image`). */
export type ImageTree =
  /** unpacked layer trees, for an overlay that nothing is written to: several, or one that is the tree itself */
  | { id: string; kind: 'overlay'; lower: string[] }
  /** byte ranges of files that are a read-only disk, as of the root */
  | { id: string; kind: 'disk'; root: { path: string; offset: number; length: number }[] };

export interface ExitStatus {
  /** the process's exit status, or 128 + signal number */
  code: number;
  signal?: number;
  /** the kernel's OOM killer ended it: memory.events of its cgroup counted a kill */
  oomKilled?: boolean;
  /** the sandbox itself failed (guest panic, VMM killed): one line for `State.Error` */
  error?: string;
}

/** A stream whose chunks may be borrowed. */
export interface Lender {
  /** its `data` listeners keep nothing of a chunk once they return: it is read into again. @default false */
  lend: boolean;
}

/** How a process's stdio is wired. With a terminal stdout carries everything and stderr is null. */
export interface SandboxProcess {
  /** as seen from the host for userns; the VMM's own process for vm */
  readonly pid: number;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable | null;
  /** terminal size in characters */
  resize(columns: number, rows: number): void;
  /** `group`: to its whole process group, which it leads unless it has changed that */
  signal(signal: number, options?: { group?: boolean }): void;
  /** never rejects */
  readonly exited: Promise<ExitStatus>;
}

export interface StdioRequest {
  /** keep the process's stdin open; otherwise it reads end-of-file at once */
  stdin: boolean;
  terminal: boolean;
  columns?: number;
  rows?: number;
}

/** What `top` shows: a title for each column, a row for each process. */
export interface ProcessTable {
  titles: string[];
  processes: string[][];
}

/** Figures of `stats`; bytes, nanoseconds, counts. What is optional is absent where nothing here measures it. */
export interface SandboxStats {
  cpuNanoseconds: number;
  /** of `cpuNanoseconds`: in the container's programs, and in the kernel for them */
  userNanoseconds?: number;
  systemNanoseconds?: number;
  /** how often and for how long a limit of CPU time has held it up */
  throttling?: { periods: number; throttledPeriods: number; throttledNanoseconds: number };
  /** what is used, less what could be dropped at once */
  memoryBytes: number;
  /** with what could be dropped at once */
  memoryUsageBytes?: number;
  /** by the names of memory.stat of cgroup v2: `anon`, `file`, `inactive_file`, … */
  memory?: Record<string, number>;
  memoryLimitBytes: number;
  pids: number;
  pidsLimit: number | undefined;
  networkReceivedBytes: number;
  networkSentBytes: number;
  /** each but loopback, by its name in the container: `eth0`; absent where the network is not its own */
  interfaces?: Record<string, InterfaceStats>;
  blockReadBytes: number;
  blockWrittenBytes: number;
  /** by device */
  blocks?: BlockStats[];
}

export interface InterfaceStats {
  receivedBytes: number;
  receivedPackets: number;
  receiveErrors: number;
  receiveDropped: number;
  sentBytes: number;
  sentPackets: number;
  sendErrors: number;
  sendDropped: number;
}

export interface BlockStats {
  major: number;
  minor: number;
  readBytes: number;
  writtenBytes: number;
}

/**
 * What can be asked about a container's files, whether it runs or not. Paths are the container's, absolute; a slash or
 * `/.` at the end means as much as to the kernel. An answer is bytes: one line of JSON, a FilesHeader, and what the
 * request says.
 */
export type FilesRequest =
  /** what the path is; its last link is not followed */
  | { op: 'stat'; path: string }
  /**
   * a tar of what is there. Members begin with `name`, without one with the path's last name; a path that ends with
   * `/.` is of the folder's contents, and with `follow` a link at its end is what it leads to
   */
  | { op: 'archive'; path: string; follow?: boolean; name?: string }
  /**
   * the input, a tar, is unpacked in the folder `path`; `user`: everything belongs to that user of the container, else
   * to whom the tar says
   */
  | { op: 'extract'; path: string; replaceKinds?: boolean; user?: string }
  /** a tar of the whole root file system, without what is mounted on it */
  | { op: 'export' }
  /** what differs from the image: for each a letter A, C or D, the path, and a NUL byte */
  | { op: 'changes' }
  /** the same as an OCI layer: a tar with whiteouts */
  | { op: 'layer' }
  /** bytes the container's own layer takes */
  | { op: 'size' };

export interface FilesHeader {
  stat?: PathStat;
  size?: number;
}

/** of `stat` and `archive` */
export interface PathStat {
  /** the last name of the path */
  name: string;
  /** bytes */
  size: number;
  /** st_mode of inode(7): type and permissions */
  mode: number;
  /** seconds since 1970, and nanoseconds on top */
  mtime: number;
  mtimeNanoseconds: number;
  /**
   * of a symbolic link: the path it leads to in the container, with every link followed as far as there is something;
   * else ''
   */
  linkTarget: string;
}

export interface Sandbox extends AsyncDisposable {
  /** everything up to, but not including, the exec of the container's command; `State.Pid` is known afterwards */
  prepare(stdio: StdioRequest): Promise<{ pid: number }>;
  /** executes the command; @throws HuskError of kind `start-failed`, with exit code 126 or 127 as Docker gives them */
  start(): Promise<SandboxProcess>;
  exec(process: ProcessSpec, stdio: StdioRequest): Promise<SandboxProcess>;
  /** to the container's PID 1; `all` to every process of it */
  signal(signal: number, options?: { all?: boolean }): void;
  /** instead of `prepare` and `start`: `files` can be asked, and nothing of the container runs */
  open(): Promise<void>;
  /**
   * the bytes' end is success; a failure, also one in the middle, is the stream's error, a HuskError where it can be
   * told
   */
  files(request: FilesRequest, input?: Readable): Readable;
  pause(): Promise<void>;
  unpause(): Promise<void>;
  /**
   * gives a paused container's memory back to the host: what is in it is read from the file again as it is needed;
   * absent where memory cannot be taken from processes
   * @param file is not there yet, and not there any more afterwards
   */
  swapOut?(file: string): Promise<void>;
  /** host (userns) or guest (vm) process ids, as `top` lists them */
  processes(): Promise<number[]>;
  /**
   * rows of `top` for ps(1) options, by our own code. @throws HuskError `unsupported` for an option that cannot be
   * served
   */
  ps(options: readonly string[]): Promise<ProcessTable>;
  stats(): Promise<SandboxStats>;
  update(resources: Resources): Promise<void>;
  /**
   * saves the container as it is at one moment, its processes and its disk, into an empty folder, and goes on; absent
   * where processes cannot be saved
   * @returns ms for which it stood still
   */
  save?(folder: string): Promise<{ standstill: number }>;
  /**
   * kills what is left and gives back everything but the writable layer; idempotent
   * @returns bytes the writable layer takes, where nobody can measure it afterwards
   */
  destroy(): Promise<number | undefined>;
}
