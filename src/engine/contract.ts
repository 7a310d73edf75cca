/**
 * What the engine offers to its doors (`src/cli/`, later `src/service/` and the library). Types only.
 * Containers are named by id, unambiguous id prefix, or name, everywhere a `container: string` stands.
 */
import type { NetworkAttachment } from '../notation/network-attachment.ts';
import type { Fact } from '../rootless/doctor.ts';
import type { Refusal } from '../network/egress/refusals.ts';
import type { EndpointRequest, Network, Networks } from '../network/records/contract.ts';
import type { Volume, Volumes } from '../volumes/contract.ts';
import type { Readable, Writable } from 'node:stream';
import type { CacheRow, Image, Images, ImageConfig, PullPolicy, Progress } from '../images/store/contract.ts';
import type { ExitStatus, Isolation, PathStat, SandboxStats } from '../sandbox.ts';
import type { ContainerRecord } from '../state/containers.ts';
import type { TemplateUse } from '../vmm/templates/folder.ts';
import type {
  BuildCheck,
  BuildHooks,
  BuildOptions,
  BuildOutlineAnswer,
  BuildResult,
  BuildTargets,
  CacheMountUsage,
} from './build-contract.ts';
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
  /**
   * the container's stdin ends with that of the first client that has it, where there is no terminal; else it stays
   * open whatever a client does. @default where `attach` has stdin, as Docker's client has it
   */
  stdinOnce?: boolean;
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
  /** of a VM: it boots, rather than going on from a template. @default false */
  coldBoot?: boolean;
  readOnly: boolean;
  tmpfs: Record<string, string>;
  /** `-v` and `--mount`, parsed */
  mounts: MountRequest[];
  volumesFrom: string[];
  /** the first one, or a mode: host, none, container:NAME */
  network: string;
  /** all of them and what the container is to be on them; absent: `network`, and nothing else was said */
  networks?: NetworkAttachment[];
  /** `container:alias`, on the default network */
  links?: string[];
  /** hostname lookups */
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
  /** `name:ip` */
  extraHosts: string[];
  /** where it may go: `none`, `public`, `host`, a name, a container, a subnet, with ports. @default anywhere */
  egress?: string[];
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
  /** a path, a volume's name or, for type `image`, a reference or an id */
  source?: string;
  target: string;
  readonly: boolean;
  /**
   * the rest of `-v`'s third part or `--mount`'s keys: z, Z, U, rprivate, nocopy, tmpfs-size=…, image-subpath=…, …
   */
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
  /** the id of the container of which this one is a copy (`fork`) */
  forkedFrom?: string;
  /** `80/tcp`: the image's ports and those of `--expose`; absent in records of an older husk */
  exposed?: string[];
  /** mounts as resolved: volumes named, host paths absolute */
  mounts: {
    type: 'bind' | 'volume' | 'tmpfs' | 'image';
    /** the volume's; absent for other types */
    name?: string;
    /** the id of the image, for type `image`; `source` is the name that was given */
    image?: string;
    source: string;
    destination: string;
    readonly: boolean;
    options: string[];
  }[];
}

export interface Container extends ContainerRecord<ContainerConfig> {
  /** names of the networks it is to be on, where lists tell them */
  networks?: string[];
}

export interface ContainerSize {
  rw: number;
  rootFs: number;
}

/** What is on disk; bytes. */
export interface DiskUsage {
  /** the layers of all images, each counted once */
  layersSize: number;
  /** `sharedSize` is of layers that other images have as well */
  images: { image: Image; sharedSize: number; containers: number }[];
  containers: (Container & { active: boolean; size: ContainerSize })[];
  volumes: { volume: Volume; links: number; size: number }[];
  buildCache: CacheRow[];
  cacheMounts: CacheMountUsage[];
  /** what machines go on from: one that is not there is made again */
  templates: TemplateUse[];
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
    | 'cgroup'
    | 'template'
    | 'saved';
  name: string;
  problem: string;
  /** what was done about it */
  repaired?: string;
  /** what a person must do, also after a repair */
  fix?: string;
}

/** A live connection to a container's or an exec's stdio. */
export interface Attachment {
  /** null where it was not asked for, or is not open; its end is the process's end-of-file: see `stdinOnce` */
  stdin: Writable | null;
  /** both outputs, where the container has a terminal; what is not read holds the process up, as a full pipe does */
  stdout: Readable;
  stderr: Readable;
  resize(columns: number, rows: number): void;
  signal(signal: number): void;
  readonly exited: Promise<ExitStatus>;
  /**
   * leave it running (Ctrl-P Ctrl-Q), with its stdin open; the streams end, and `exited` never resolves
   * @param options.gone the client went away without a word, of which no event tells. @default false
   */
  detach(options?: { gone?: boolean }): void;
}

/** A client's place at a container's next start. */
export interface AwaitedStart {
  /** 32 hexadecimal digits, by which `attach` and `start` take it */
  readonly token: string;
  /** whether it was started; false where that failed, or it was removed, or the signal is aborted */
  started(signal: AbortSignal): Promise<boolean>;
  /** gives the place up. Never rejects */
  release(): Promise<void>;
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
  /** which of its outputs an attachment carries; what a terminal shows is stdout. @default both */
  attach?: { stdout: boolean; stderr: boolean };
  /** kept for whoever starts it; the engine does not read it */
  detachKeys?: string;
}

/** How a container, or a command in it, ended. */
export interface ContainerExit {
  code: number;
  /** why it could not be started, or be waited for to its end */
  error?: string;
}

/**
 * A command in a container, from its creation until the container's life ends: one that was not started is gone then.
 * Those that ended last, by the end of that life too, tell their exit codes as long as the container is there, and the
 * next lives of it have not put as many others in their place.
 */
export interface ExecRecord {
  /** 64 hexadecimal digits */
  id: string;
  container: string;
  options: ExecOptions;
  running: boolean;
  /** null before the end */
  exitCode: number | null;
  /** of the host, also after the end; 0 before the start, and in a VM */
  pid: number;
}

/** A row of `ps` in values, as Docker's API has it; the command line words it, the service writes it as JSON. */
export interface ContainerSummary {
  id: string;
  /** its name, and those that links give it (`/web/db`); all begin with `/` */
  names: string[];
  /** the reference as typed, or the id of an image that has lost its name */
  image: string;
  imageId: string;
  /** path and arguments in one text, quoted as Docker does */
  command: string;
  /** seconds since the epoch */
  created: number;
  state: string;
  /** `Up 5 minutes (healthy)` */
  status: string;
  /** those published, each address by itself, and those only exposed, which have no `publicPort` */
  ports: { ip?: string; privatePort: number; publicPort?: number; type: 'tcp' | 'udp' | 'sctp' }[];
  labels: Record<string, string>;
  networkMode: string;
  /** as `inspect` has them in NetworkSettings.Networks and in Mounts */
  networks: Record<string, object>;
  mounts: object[];
  /** measured where it was asked for */
  size?: ContainerSize;
}

/** One sample of what a container uses, and of the host's CPUs at the same moment. */
export interface ContainerStats extends SandboxStats {
  /** ns of all CPUs since the host came up, idle or not; and how many there are */
  hostCpu: { nanoseconds: number; online: number };
}

export interface LogLine {
  /** RFC 3339, nanoseconds */
  time: string;
  stream: 'stdout' | 'stderr';
  /** the line with its end, if it had one; bytes that are no UTF-8 are replaced */
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
  /** the stream begins then; without `since` and `until` it begins now */
  since?: Moment;
  /** the stream ends then */
  until?: Moment;
  filters?: Filters;
  signal?: AbortSignal;
}

/** What a container with `--egress` was refused. */
export interface RefusedConnection extends Refusal {
  container: { id: string; name: string };
  /** the container's rules, as typed, of which none lets it through; none where they did not decide */
  rules: readonly string[];
}

export interface RefusalOptions {
  /** a container, or a network */
  of?: string;
  since?: Moment;
  follow?: boolean;
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
  /** settings of the image that go before the container's own, by the rules of `create` for an image's */
  config?: NonNullable<ImageConfig['config']>;
  /** Dockerfile instructions, applied last */
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
      attach?: {
        stdin: boolean;
        stdout: boolean;
        stderr: boolean;
        /** places of `awaitStart` that are taken with it. @default none */
        awaited?: readonly string[];
      };
      consoleSize?: { columns: number; rows: number };
      /** told before the command's first byte of what went wrong and did not keep it from its start */
      onWarning?: (text: string) => void;
      /** told of what only made the start slower than it could have been: for --debug */
      onDetail?: (text: string) => void;
      /** of a VM: it goes on from there, with the disk of that moment. @default it starts anew */
      checkpoint?: { name: string; directory?: string | undefined };
    },
  ): Promise<Attachment | undefined>;
  attach(
    container: string,
    options: {
      stdin: boolean;
      /** @default true */
      stdout?: boolean;
      /** @default true */
      stderr?: boolean;
      consoleSize?: { columns: number; rows: number };
      /** places of `awaitStart` that are taken with it. @default none */
      awaited?: readonly string[];
    },
  ): Promise<Attachment>;
  /**
   * holds a place at the next start of a container that does not run, whichever process starts it: output flows only
   * when `attach`, or that start itself, has taken the place, but after ten seconds all the same
   * @returns undefined where it runs
   * @throws HuskError `limit` beyond 128 of one container
   */
  awaitStart(container: string): Promise<AwaitedStart | undefined>;
  /**
   * gives the terminal of a running container a size; one without a terminal is content
   * @throws HuskError `conflict` where it does not run, `invalid` for what is no size of a terminal
   */
  resize(container: string, size: { columns: number; rows: number }): Promise<void>;
  /** makes a command and starts it */
  exec(container: string, options: ExecOptions): Promise<Attachment | undefined>;
  /**
   * makes a command, of which `execStart` starts one; whether there is such a program is not looked at. Beyond 1024
   * that were not started, the oldest of the container is dropped.
   * @returns its id, 64 hexadecimal digits
   * @throws HuskError `conflict` unless the container runs; `invalid` for an empty command
   */
  execCreate(container: string, options: ExecOptions): Promise<string>;
  /**
   * Starts a command that was not started before; one that its client leaves goes on.
   * @param options.detach it runs when the promise is kept, and nothing is given back; `options.detach` of its creation
   * counts for nothing
   * @param options.tty how the client reads the stream; whether the command has a terminal is said at its creation
   * @param options.consoleSize instead of that of its creation
   * @throws HuskError `conflict` for one that was started before; `start-failed` with exit code 126 or 127
   */
  execStart(
    exec: string,
    options: { detach: boolean; tty?: boolean; consoleSize?: { columns: number; rows: number } },
  ): Promise<Attachment | undefined>;
  /** @throws HuskError `not-found`, also for one that has gone with its container's life */
  execInspect(exec: string): ExecRecord;
  /**
   * Waits for one that was not started, ten seconds at most, as Docker does; one without a terminal has no size.
   * @throws HuskError `not-found` for one that has ended; `unavailable` for one that is not started in time
   */
  execResize(exec: string, size: { columns: number; rows: number }): Promise<void>;
  /** @param options.timeout seconds, -1 for ever; default the container's own, else 10 */
  stop(container: string, options?: { timeout?: number; signal?: string }): Promise<void>;
  restart(container: string, options?: { timeout?: number; signal?: string }): Promise<void>;
  kill(container: string, signal: string): Promise<void>;
  /**
   * @param options.swapOut the memory of its virtual machine goes back to the host, and comes again as it is needed
   * @throws HuskError `unsupported` in user namespaces
   */
  pause(container: string, options?: { swapOut?: boolean | undefined }): Promise<void>;
  unpause(container: string): Promise<void>;
  /** Waits from the call on, not from the promise's first turn: nothing that happens after the call is missed. */
  wait(
    container: string,
    options?: { condition?: 'not-running' | 'next-exit' | 'removed'; signal?: AbortSignal },
  ): Promise<ContainerExit>;
  /**
   * copies of a running container that go on from this moment as containers of their own, with its memory and its disk
   * @param options.name of the copy; several are numbered. @default the container's, `-fork-`, digits of the copy's id
   * @param options.count @default 1
   * @param options.onCopy called with the id of each as soon as it runs
   * @returns ids
   * @throws HuskError `unsupported` for user namespaces, and for one that has folders of the host mounted
   */
  fork(
    container: string,
    options?: {
      name?: string;
      count?: number;
      onCopy?: (id: string) => void;
      onWarning?: ((text: string) => void) | undefined;
    },
  ): Promise<string[]>;
  /**
   * saves a running container under a name, with its disk, and ends it
   * @param options.leaveRunning it goes on. @default false
   * @param options.directory absolute; instead of a folder of husk's
   */
  createCheckpoint(
    container: string,
    name: string,
    options?: { leaveRunning?: boolean; directory?: string | undefined },
  ): Promise<void>;
  /** names, in order */
  checkpoints(container: string, options?: { directory?: string | undefined }): Promise<string[]>;
  removeCheckpoint(container: string, name: string, options?: { directory?: string | undefined }): Promise<void>;
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
  /** rows of `ps`, the newest first; `size` measures each */
  summaries(options?: { all?: boolean; filters?: Filters; last?: number; size?: boolean }): Promise<ContainerSummary[]>;
  /** bytes of the writable layer, and of that with the image below it */
  size(container: string): Promise<ContainerSize>;
  logs(container: string, options?: LogOptions): AsyncIterable<LogLine>;
  /** the same lines, as many at once as were read at once: for whoever passes a whole log on */
  logBatches(container: string, options?: LogOptions): AsyncIterable<LogLine[]>;
  /** rows of `ps` with the given ps(1) options */
  top(container: string, psArguments: string[]): Promise<{ titles: string[]; processes: string[][] }>;
  stats(container: string): Promise<ContainerStats>;
  /** what happens, as it happens; any number of readers. @throws HuskError `invalid` before the first one */
  events(options?: EventOptions): AsyncIterable<EventMessage>;
  /** what rules of `--egress` have refused, the oldest first; the last few thousand of each container */
  refusals(options?: RefusalOptions): AsyncIterable<RefusedConnection>;
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
  archive(
    container: string,
    path: string,
    options?: {
      /** of the topmost member instead: `.` has a member for a folder whose contents are asked for, too */
      name?: string;
    },
  ): Promise<{ stat: PathStat; tar: Readable }>;
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
  /** makes an image, or files, of a Dockerfile. @throws BuildFailed (./build/failure.ts) with the place */
  build(options: BuildOptions, hooks?: BuildHooks): Promise<BuildResult>;
  /**
   * removes the folders of `RUN --mount=type=cache` that no step uses
   * @param usedBefore ms since 1970. @default none is too young
   * @returns bytes given back
   */
  pruneCacheMounts(usedBefore?: number): Promise<number>;
  /** the folders of `RUN --mount=type=cache`; measures each */
  cacheMounts(): Promise<CacheMountUsage[]>;
  /** the lint of a Dockerfile; nothing is pulled or run */
  checkBuild(options: BuildOptions): Promise<BuildCheck>;
  /** what a build can be given; nothing is pulled or run */
  outlineBuild(options: BuildOptions): Promise<BuildOutlineAnswer>;
  /** the stages that a build can be told to make */
  buildTargets(options: BuildOptions): Promise<BuildTargets>;
  prune(options?: { filters?: Filters }): Promise<{ deleted: string[]; reclaimed: number }>;
  /** whether a person has not been told this since the host was started; from now on they have */
  isNews(text: string): boolean;
  /** measures every container and volume: slow where there is much */
  diskUsage(): Promise<DiskUsage>;
  /** Removes the templates of machines, which are made again when they are needed. */
  pruneTemplates(): Promise<TemplateUse[]>;
  /** Removes what forks have left that were killed. @returns bytes given back */
  pruneSaved(): Promise<number>;
  /** named and anonymous volumes */
  volumes(): Promise<Volumes>;
  /** those that every data root has, and those of one's own */
  networks(): Promise<Networks>;
  /** puts a container on a network; one that runs has it at once. @throws HuskError with Docker's texts */
  connect(network: string, container: string, wanted?: EndpointRequest): Promise<void>;
  /** @param options.force also one whose network has gone */
  disconnect(network: string, container: string, options?: { force?: boolean }): Promise<void>;
  /** Docker's JSON of `info`, as its API has it; husk's own fields beside it */
  info(): Promise<object>;
  /** which limits this host can enforce, and whether VMs are fit for containers; with the reasons */
  hostFacts(): Promise<{ limits: Fact; machines: Fact }>;
  /** what this host can do, tried, and what to change */
  doctor(): Promise<Fact[]>;
}

export type { EndpointRequest, Fact, Network, Volume };
