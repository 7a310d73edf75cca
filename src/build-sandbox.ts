/**
 * The contract of a build's RUN steps: a command runs once over a stack of layers, and what it has changed becomes the
 * next layer. `src/rootless/build/` fulfils it in user namespaces; who drives it never asks which isolation it is.
 * Types only.
 */
import type { Layer } from './images/store/contract.ts';
import type { RunOperation } from './images/build/operations.ts';
import type { ExitStatus } from './sandbox.ts';
import type { Resources } from './spec.ts';

/** What a RUN's mount is made of. All but its place in the container is settled: targets are absolute paths there. */
export type BuildMount =
  /**
   * files of an image, of a stage, or a folder of the host's; `source` is the path below that is mounted, and no
   * link in it leads out. Writes are thrown away with the step
   */
  | {
      type: 'bind';
      target: string;
      from: { layers: readonly Layer[] } | { folder: string };
      source?: string;
      readOnly: boolean;
    }
  /**
   * a folder of husk's own that lasts. `folder` is an absolute path on the host that only husk writes to; the cache's
   * files lie in `data` there, made with mode and owner (ids of the container) where it is missing
   */
  | {
      type: 'cache';
      target: string;
      folder: string;
      source?: string;
      readOnly: boolean;
      mode: number;
      uid: number;
      gid: number;
    }
  /** `size` in bytes */
  | { type: 'tmpfs'; target: string; size?: number }
  /** a file that is never on a disk */
  | { type: 'secret'; target: string; data: Uint8Array; mode: number; uid: number; gid: number }
  /** `agent` is the socket of an ssh-agent(1) on the host: keys can be listed there and used, and nothing else */
  | { type: 'ssh'; target: string; agent: string; mode: number; uid: number; gid: number };

export interface BuildRun {
  /** the stack, bottom first; none twice is needed */
  layers: readonly Layer[];
  /** its `mounts` are not looked at: they are `mounts` here */
  operation: Pick<RunOperation, 'argv' | 'env' | 'hidden' | 'cwd' | 'user' | 'network' | 'insecure' | 'files'>;
  mounts?: readonly BuildMount[];
  /** lines of /etc/hosts besides husk's own */
  hosts?: readonly { name: string; ip: string }[];
  /** seconds since 1970: no file of the layer is younger (SOURCE_DATE_EPOCH) */
  epoch?: number;
  /** pieces as they come; the bytes are the callee's */
  output: (chunk: Buffer, stream: 'stdout' | 'stderr') => void;
  /** all processes of the step get SIGTERM, and two seconds later SIGKILL; the step rejects with the signal's reason */
  signal?: AbortSignal;
  /** SIGKILL at once */
  kill?: AbortSignal;
}

export interface BuildRunResult {
  exit: ExitStatus;
  /** present where the exit code is 0; the layer is on the disk, in its place, with its tree where it was made there */
  layer?: Layer & { tree?: string };
  /** what the step made and no layer can have, one line each: sockets, names of whiteouts */
  leftOut: string[];
}

/** What all RUNs of a build have. */
export interface BuildSettings {
  /** bytes. @default 64 MiB */
  shmSize?: number;
  /** `--ulimit` */
  ulimits?: readonly { name: string; soft: number; hard: number }[];
  resources?: Resources;
  /** `--cgroup-parent` */
  cgroupParent?: string;
  /** told once of what hinders no step that does without: that there is no way out of the network */
  problem?: (text: string) => void;
}

export interface BuildSandbox extends AsyncDisposable {
  /**
   * Runs a step. Any number of steps may run at once.
   * @throws HuskError `start-failed` when the command cannot be started, with exit code 126 or 127
   */
  run(step: BuildRun): Promise<BuildRunResult>;
  /** ends what runs, and gives back everything; idempotent */
  close(): Promise<void>;
}
