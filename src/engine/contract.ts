/**
 * What the engine offers to its doors (`src/cli/`, later `src/service/` and the library). Types only.
 * Containers are named by id, unambiguous id prefix, or name, everywhere a `container: string` stands.
 */
import type { Fact } from '../rootless/doctor.ts';
import type { Volume, Volumes } from '../volumes/contract.ts';
import type { Readable, Writable } from 'node:stream';
import type { Image, Images, ImageConfig, PullPolicy, Progress } from '../images/store/contract.ts';
import type { ExitStatus, Isolation, PathStat, SandboxStats } from '../sandbox.ts';
import type { ContainerRecord } from '../state/containers.ts';
import type { EventRecord } from '../state/events.ts';

/** What `run` and `create` ask for: the flags of surface.md § Containers, parsed and typed, nothing resolved. */
export interface CreateOptions {
  image: string;
  command?: string[];
  entrypoint?: string[];
  name?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  hostname?: string;
  domainname?: string;
  env: string[];
  workdir?: string;
  user?: string;
  groupAdd: string[];
  interactive: boolean;
  /** what `run` is to be attached to, as `inspect` tells it. @default stdout and stderr, and stdin where it is open */
  attach?: { stdin: boolean; stdout: boolean; stderr: boolean };
  tty: boolean;
  autoRemove: boolean;
  init: boolean;
  stopSignal?: string;
  /** seconds */
  stopTimeout?: number;
  restart: { name: 'no' | 'always' | 'unless-stopped' | 'on-failure'; maximumRetryCount: number };
  pull: PullPolicy;
  platform?: string;
  isolation: 'auto' | Isolation;
  readOnly: boolean;
  tmpfs: Record<string, string>;
  /** `-v` and `--mount`, parsed */
  mounts: MountRequest[];
  volumesFrom: string[];
  network: string;
  /** hostname lookups */
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
  /** `name:ip` */
  extraHosts: string[];
  publish: string[];
  publishAll: boolean;
  expose: string[];
  privileged: boolean;
  capAdd: string[];
  capDrop: string[];
  /** `no-new-privileges`, `seccomp=unconfined|<file's JSON text>`, … as Docker spells them */
  securityOpt: string[];
  /** `/dev/x[:/dev/y[:rwm]]`, or `vendor/class=name` of the Container Device Interface */
  devices: string[];
  /** `c 42:* rmw`; only a VM can hold to them */
  deviceRules?: string[];
  /** bytes of the container's own disk; only a VM has one */
  storageSize?: number;
  /** bytes */
  shmSize?: number;
  sysctls: Record<string, string>;
  ulimits: { name: string; soft: number; hard: number }[];
  ipc?: string;
  pid?: string;
  uts?: string;
  userns?: string;
  cgroupns?: string;
  cgroupParent?: string;
  healthcheck?: ImageConfigHealthcheck;
  logDriver: string;
  logOptions: Record<string, string>;
  oomScoreAdj?: number;
  /** resources as Docker's HostConfig has them; 0 or absent is "no limit" */
  resources: ResourceRequest;
  consoleSize?: { columns: number; rows: number };
}

type ImageConfigHealthcheck = NonNullable<NonNullable<ImageConfig['config']>['Healthcheck']>;

export interface MountRequest {
  type: 'bind' | 'volume' | 'tmpfs' | 'image';
  /** of type `image` a reference or an id */
  source?: string;
  target: string;
  readonly: boolean;
  /** the rest of `-v`'s third part or `--mount`'s keys: z, Z, U, rprivate, nocopy, tmpfs-size=…, image-subpath=…, … */
  options: string[];
  /** `-v` makes a missing host folder, `--mount type=bind` refuses it */
  createSource: boolean;
}

export interface ResourceRequest {
  memory?: number;
  memorySwap?: number;
  memoryReservation?: number;
  memorySwappiness?: number;
  oomKillDisable?: boolean;
  /** CPUs, e.g. 1.5 */
  cpus?: number;
  cpuPeriod?: number;
  cpuQuota?: number;
  cpuShares?: number;
  cpusetCpus?: string;
  cpusetMems?: string;
  pidsLimit?: number;
  blkioWeight?: number;
  blkioWeightDevice?: string[];
  deviceReadBps?: string[];
  deviceWriteBps?: string[];
  deviceReadIops?: string[];
  deviceWriteIops?: string[];
}

/** Stored as JSON in `containers.config`: what was asked for, with the image's part resolved at creation. */
export interface ContainerConfig {
  options: CreateOptions;
  /** the reference as typed */
  image: string;
  imageId: string;
  isolation: Isolation;
  /** what is executed: entrypoint and command merged */
  path: string;
  args: string[];
  /** what was asked for and the image's, as `inspect` shows it; PATH, HOSTNAME, TERM and HOME are added at the start */
  env: string[];
  /** path and args before they were merged, as `inspect` shows them */
  entrypoint?: string[];
  command?: string[];
  labels: Record<string, string>;
  workdir: string;
  user: string;
  stopSignal: string;
  /** what was asked for and the image's, as `inspect` shows it */
  healthcheck?: NonNullable<CreateOptions['healthcheck']>;
  hostname: string;
  /** ids of the container that are the caller's (`--userns keep-id`); absent: its root is */
  keptIds?: { uid: number; gid: number };
  /** `80/tcp`: the image's ports and those of `--expose`; absent in records of an older husk */
  exposed?: string[];
  /** mounts as resolved: volumes named, host paths absolute */
  mounts: {
    type: 'bind' | 'volume' | 'tmpfs' | 'image';
    /** of a volume alone */
    name?: string;
    /** of type `image`: its id; `source` is the name that was given */
    image?: string;
    source: string;
    destination: string;
    readonly: boolean;
    options: string[];
  }[];
}

export type Container = ContainerRecord<ContainerConfig>;

export interface ContainerSize {
  rw: number;
  rootFs: number;
}

/** What is on disk; bytes. */
export interface DiskUsage {
  /** of all images' layers, each counted once */
  layersSize: number;
  /** `sharedSize` is of layers that other images have as well */
  images: { image: Image; sharedSize: number; containers: number }[];
  containers: (Container & { active: boolean; size: ContainerSize })[];
  volumes: { volume: Volume; links: number; size: number }[];
}

/** Damage that `system check` has found. */
export interface Finding {
  kind:
    | 'database'
    | 'container'
    | 'volume'
    | 'image'
    | 'blob'
    | 'layer'
    | 'tree'
    | 'disk'
    | 'link'
    | 'socket'
    | 'cgroup';
  name: string;
  problem: string;
  /** what was done about it */
  repaired?: string;
  /** what a person must do, also after a repair */
  fix?: string;
}

/** A live connection to a container's or an exec's stdio. */
export interface Attachment {
  stdin: Writable | null;
  /** with a terminal everything comes here */
  stdout: Readable;
  stderr: Readable;
  resize(columns: number, rows: number): void;
  signal(signal: number): void;
  readonly exited: Promise<ExitStatus>;
  /** leave it running (Ctrl-P Ctrl-Q); the streams end, and `exited` never resolves */
  detach(): void;
}

export interface ExecOptions {
  command: string[];
  interactive: boolean;
  tty: boolean;
  detach: boolean;
  env: string[];
  user?: string;
  workdir?: string;
  privileged: boolean;
  consoleSize?: { columns: number; rows: number };
}

export interface LogLine {
  /** RFC 3339, nanoseconds */
  time: string;
  stream: 'stdout' | 'stderr';
  /** with its line end, if it had one; what is no UTF-8 is replaced */
  text: string;
  /** the bytes as they were written, where the driver kept them (`local`, `journald`) and they are no UTF-8 */
  bytes?: Uint8Array;
  /** `labels`, `env` and `tag` of the log options */
  attributes?: Record<string, string>;
}

/** A time since the epoch: ms as Date has them, or ns as a bigint. */
type Moment = number | bigint;

export interface LogOptions {
  follow?: boolean;
  /** how many last lines; absent is all */
  tail?: number;
  since?: Moment;
  until?: Moment;
  signal?: AbortSignal;
}

/** What happened, as Docker's Engine API has it (types/events.Message). */
export interface EventMessage extends EventRecord {
  /** µs since the epoch */
  time: number;
}

export interface EventOptions {
  /** with neither the stream begins now */
  since?: Moment;
  /** the stream ends then */
  until?: Moment;
  filters?: Filters;
  signal?: AbortSignal;
}

export interface ExtractOptions {
  /** folders and files may take each other's place; Docker's `noOverwriteDirNonDir` is the opposite. @default false */
  replaceKinds?: boolean;
  /** everything belongs to the container's user, not to whom the tar says: the API's `copyUIDGID` */
  containerUser?: boolean;
}

export interface CopyOptions {
  /** a symbolic link named as source is what it leads to */
  followLink?: boolean;
  /**
   * owners are the source's: into a container always, on this host where the caller is root. @default root in a
   * container, the caller here
   */
  archive?: boolean;
  /** bytes of the tar so far */
  onBytes?: (total: number) => void;
  /** what cannot be had on this host: devices */
  onLeftOut?: (path: string, why: string) => void;
}

export interface CommitOptions {
  /** name[:tag] */
  reference?: string;
  author?: string;
  message?: string;
  /** Dockerfile instructions */
  changes?: string[];
  /** the container's processes stand still meanwhile. @default true */
  pause?: boolean;
}

/**
 * Filters combine: values of one key are or-ed, keys are and-ed; labels are and-ed.
 * `{ label: ['a=b'], status: ['exited'] }`
 */
export type Filters = Record<string, string[]>;

export interface Engine extends Disposable {
  readonly images: Images;
  /**
   * resolves the image (pulling by policy), checks everything, writes the record; @returns id and warnings for stderr
   */
  create(
    options: CreateOptions,
    hooks?: { onProgress?: (progress: Progress) => void; onMessage?: (line: string) => void; signal?: AbortSignal },
  ): Promise<{ id: string; warnings: string[] }>;
  /** starts it; with `attach` the streams are connected before the first byte is written */
  start(
    container: string,
    options?: {
      attach?: { stdin: boolean; stdout: boolean; stderr: boolean };
      consoleSize?: { columns: number; rows: number };
    },
  ): Promise<Attachment | undefined>;
  attach(
    container: string,
    options: { stdin: boolean; consoleSize?: { columns: number; rows: number } },
  ): Promise<Attachment>;
  exec(container: string, options: ExecOptions): Promise<Attachment | undefined>;
  /** @param options.timeout seconds, -1 for ever; default the container's own, else 10 */
  stop(container: string, options?: { timeout?: number; signal?: string }): Promise<void>;
  restart(container: string, options?: { timeout?: number; signal?: string }): Promise<void>;
  kill(container: string, signal: string): Promise<void>;
  pause(container: string): Promise<void>;
  unpause(container: string): Promise<void>;
  wait(
    container: string,
    options?: { condition?: 'not-running' | 'next-exit' | 'removed'; signal?: AbortSignal },
  ): Promise<number>;
  remove(container: string, options?: { force?: boolean; volumes?: boolean }): Promise<void>;
  rename(container: string, name: string): void;
  /** other limits (those given; the rest stays), another restart policy; running or not. @returns warnings */
  update(
    container: string,
    change: { resources?: ResourceRequest; restart?: CreateOptions['restart'] },
  ): Promise<string[]>;
  /** names of what is to be started when the host has come up, in ranks: each needs only earlier ones */
  restartable(): string[][];
  /** one container, with its state checked against the truth */
  get(container: string): Container;
  list(options?: { all?: boolean; filters?: Filters; last?: number }): Container[];
  /** bytes of the writable layer, and of that with the image below it */
  size(container: string): Promise<ContainerSize>;
  logs(container: string, options?: LogOptions): AsyncIterable<LogLine>;
  /** rows of `ps` with the given ps(1) options */
  top(container: string, psArguments: string[]): Promise<{ titles: string[]; processes: string[][] }>;
  stats(container: string): Promise<SandboxStats>;
  /** what happens, as it happens; any number of readers. @throws HuskError `invalid` before the first one */
  events(options?: EventOptions): AsyncIterable<EventMessage>;
  /** containers made from an image, or that have it mounted, running or not: what keeps it from being removed */
  imageUsers(imageId: string): { id: string; running: boolean }[];
  /** Docker's JSON of `inspect` */
  inspect(container: string, options?: { size?: boolean }): Promise<object>;
  inspectImage(reference: string): object;
  /** a tar of the container's whole file system */
  export(container: string): Promise<Readable>;
  /**
   * what a path of the container is, its last link not followed. @throws HuskError not-found "Could not find the file X
   * in container Y"
   */
  statPath(container: string, path: string): Promise<PathStat>;
  /** a tar of a path, which begins with its last name; a path that ends with `/.` is of the folder's contents */
  archive(container: string, path: string): Promise<{ stat: PathStat; tar: Readable }>;
  /** a tar, compressed or not, is unpacked in a folder of the container */
  extract(container: string, path: string, tar: Readable, options?: ExtractOptions): Promise<void>;
  /** `cp` to this host, by Docker's rules. @returns where it went */
  copyFrom(container: string, path: string, destination: string, options?: CopyOptions): Promise<string>;
  /** `cp` from this host, by Docker's rules. @returns the path it went to in the container */
  copyTo(container: string, source: string, path: string, options?: CopyOptions): Promise<string>;
  /** what differs from the image, by path */
  changes(container: string): Promise<{ kind: 'A' | 'C' | 'D'; path: string }[]>;
  /** an image of the container as it is; `warnings` for stderr */
  commit(container: string, options?: CommitOptions): Promise<{ id: string; warnings: string[] }>;
  prune(options?: { filters?: Filters }): Promise<{ deleted: string[]; reclaimed: number }>;
  /** whether a person has not been told this since the host was started; from now on they have */
  isNews(text: string): boolean;
  /** measures every container and volume: slow where there is much */
  diskUsage(): Promise<DiskUsage>;
  /** named and anonymous volumes */
  volumes(): Promise<Volumes>;
  /** which limits this host can enforce, and whether VMs are fit for containers; with the reasons */
  hostFacts(): Promise<{ limits: Fact; machines: Fact }>;
  /** what this host can do, tried, and what to change */
  doctor(): Promise<Fact[]>;
}

export type { Fact, Volume };
