/** What `build` takes and gives: the flags of surface.md § Builds as values. Types only. */
import type { Readable } from 'node:stream';
import type { LintWarning } from '../images/build/operations.ts';
import type { BuildParameters, BuildTarget } from '../images/build/plan/parameters.ts';
import type { CacheChoice, CacheCompression, Credentials, LayoutChoice } from '../images/store/contract.ts';
import type { Isolation } from '../sandbox.ts';
import type { BuildEvent } from './build-events.ts';

/** What `-o` asks for. */
export type BuildOutput =
  /** into the image store, with the tags; what is done without `-o` */
  | {
      type: 'image';
      /** further names, parted by commas */
      name?: string;
      /** whether each of its names is pushed to its registry. @default false */
      push?: boolean;
    }
  /** nowhere: the steps are in the cache, and no image is made */
  | { type: 'cacheonly' }
  /** the files of the target in a folder of the caller's */
  | { type: 'local'; folder: string; /** a name in it, where the files go instead */ below?: string }
  /** one tar: of the files, of an OCI layout, or as `husk save` writes one */
  | {
      type: 'tar' | 'oci' | 'docker';
      /** said in progress */
      name: string;
      /** gives the stream that is written into, and makes the file whole afterwards */
      open(write: (output: NodeJS.WritableStream) => Promise<void>): Promise<void>;
    };

export interface BuildSecret {
  id: string;
  /** 500 KiB at most */
  value: Uint8Array;
}

/** A source of files or an image, by the name that stands for it in the Dockerfile. */
export type NamedContext =
  | { kind: 'folder'; path: string }
  | { kind: 'image'; reference: string }
  | { kind: 'stage'; name: string }
  /** an image in an OCI layout of the caller's */
  | ({ kind: 'layout' } & LayoutChoice)
  /** a tar of a folder, compressed or not; read once, and only by a build that uses it */
  | { kind: 'tar'; input: Readable }
  | RemoteContext;

/** A repository, or a file of http(s): a tar of a context, compressed or not, or (for the build's own) a Dockerfile. */
export interface RemoteContext {
  kind: 'remote';
  url: string;
  isGit: boolean;
}

/** Where `--cache-to` writes the cache. */
export type CacheTarget =
  | (CacheChoice & {
      /** `min`: the steps of the image; `max`: those of all stages that were built */
      mode: 'min' | 'max';
      compression: CacheCompression;
      /** whether a cache that cannot be written is told only */
      ignoreError: boolean;
    })
  /** into the image's own config: its steps are found where the image is */
  | { type: 'inline' };

/** As those of a container: bytes, CPUs, microseconds; 0 is no limit. */
export interface BuildLimits {
  memory?: number;
  memorySwap?: number;
  cpus?: number;
  cpuPeriod?: number;
  cpuQuota?: number;
  cpuShares?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
}

export interface BuildOptions {
  /** a folder; a tar of one, compressed or not; something from the network; or nothing but the Dockerfile */
  context: { kind: 'folder'; path: string } | { kind: 'tar'; input: Readable } | RemoteContext | { kind: 'none' };
  /**
   * a path as the caller names it, or the bytes, with the name that messages have. @default Dockerfile (or dockerfile)
   * in the context
   */
  dockerfile?: { path: string } | { bytes: Uint8Array; name?: string };
  tags: string[];
  buildArgs: Record<string, string>;
  contexts: Record<string, NamedContext>;
  /** name of a stage or its number. @default the last one */
  target?: string;
  /** every step is run, and its cache row written again; or those of these stages */
  noCache: boolean | string[];
  /** build caches elsewhere that are asked for what is not in the one here. @default none */
  cacheFrom?: CacheChoice[];
  /** @default none */
  cacheTo?: CacheTarget[];
  /** whether bases are asked for in their registries though they are here */
  pull: boolean;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  network: 'default' | 'none' | 'host';
  /** `name:ip` */
  extraHosts: string[];
  shmSize?: number;
  ulimits: { name: string; soft: number; hard: number }[];
  /** of each RUN step; no part of its key. @default none */
  limits?: BuildLimits;
  /** cgroup below which RUN steps run */
  cgroupParent?: string;
  secrets: BuildSecret[];
  /** by id, sockets of agents, or the private keys themselves: bytes of files and their names */
  ssh: Record<string, string | { name: string; bytes: Uint8Array }[]>;
  /**
   * who the caller is at a registry, for what is pulled and pushed; null is nobody
   * @param host `docker.io`, `localhost:5000`
   * @default what this user's Docker config has
   */
  credentials?: (host: string) => Promise<Credentials | null>;
  /** `network.host`, `security.insecure` */
  allow: string[];
  /**
   * `os/arch[/variant]`, or several with commas between them, whose images go to registries. @default this machine's
   */
  platform?: string;
  outputs: BuildOutput[];
  isolation: 'auto' | Isolation;
}

/** The instructions of a Dockerfile in their order, for whoever tells a build one after the other. */
export interface BuildOutline {
  /** all ARGs before the first FROM (`stage` is -1), and every stage up to the target */
  instructions: {
    stage: number;
    /** the first of its lines, from 1 */ line: number;
    /** as written, in one line */ text: string;
  }[];
  /**
   * once it is planned: the stages that are built, the lines whose instruction is a step, images by the line of FROM
   */
  planned?: { stages: ReadonlySet<number>; steps: ReadonlySet<number>; images: ReadonlyMap<number, string> };
}

export interface BuildHooks {
  onEvent?: (event: BuildEvent) => void;
  /** called when the Dockerfile is read, and again when it is planned, before the first of its steps */
  onOutline?: (outline: BuildOutline) => void;
  signal?: AbortSignal;
}

export interface BuildResult {
  /** of the config: the image's id; undefined where no output was an image; of several platforms the index's digest */
  id: string | undefined;
  /** digest of the image's manifest; of the one in the registry, where it was pushed; or of the index there */
  manifest: string | undefined;
  /** those that this build gave it */
  names: string[];
  warnings: LintWarning[];
}

/** A cache of `RUN --mount=type=cache`. */
export interface CacheMountUsage {
  /** hash of its id */
  name: string;
  /** bytes */
  size: number;
  /** ms since the epoch */
  lastUsed: number;
  /** whether a step has it now */
  inUse: boolean;
}

/** What `--check` found. */
export interface BuildCheck {
  warnings: LintWarning[];
  /** lines of the Dockerfile, for excerpts */
  lines: string[];
  /** its name, as messages have it */
  file: string;
  /** the Dockerfile itself */
  bytes: Uint8Array;
}

/** What `--call outline` says. */
export type BuildOutlineAnswer = BuildParameters & { /** the Dockerfile itself */ bytes: Uint8Array };

/** What `--call targets` says. */
export interface BuildTargets {
  targets: BuildTarget[];
  /** the Dockerfile itself */
  bytes: Uint8Array;
}
