/**
 * The OCI runtime specification 1.2 (config.json), as far as husk reads or writes it. This module has types only.
 * Source: opencontainers/runtime-spec, config.md and config-linux.md. All rooms below the engine run specs, never
 * flags.
 */

export interface Spec {
  ociVersion: string;
  hostname?: string;
  domainname?: string;
  root: {
    path: string;
    readonly?: boolean;
    /** husk's extension: limit of bytes that the container may write, where its layer has a disk of its own (a VM) */
    size?: number;
    /** husk's extension: files that are made empty in the root where they are missing */
    emptyFiles?: string[];
  };
  process: ProcessSpec;
  mounts: Mount[];
  annotations?: Record<string, string>;
  linux: Linux;
}

export interface ProcessSpec {
  terminal?: boolean;
  /** columns and rows in characters */
  consoleSize?: { height: number; width: number };
  user: User;
  args: string[];
  /** NAME=value */
  env: string[];
  cwd: string;
  capabilities?: Capabilities;
  rlimits?: Rlimit[];
  noNewPrivileges?: boolean;
  /** -1000..1000, proc_pid_oom_score_adj(5) */
  oomScoreAdj?: number;
}

export interface User {
  uid: number;
  gid: number;
  umask?: number;
  additionalGids?: number[];
  /**
   * husk's extension: Docker's `--user` string (`name`, `uid`, `name:group`…), to be resolved against the container's
   * own /etc/passwd and /etc/group once its root is mounted; uid, gid and additionalGids above are then ignored.
   */
  username?: string;
  /** husk's extension: names or numbers of Docker's --group-add, resolved likewise */
  additionalGroups?: string[];
}

export interface Capabilities {
  bounding: string[];
  effective: string[];
  permitted: string[];
  inheritable: string[];
  ambient: string[];
}

export interface Rlimit {
  /** RLIMIT_NOFILE … */
  type: string;
  soft: number;
  hard: number;
}

export interface Mount {
  destination: string;
  /**
   * mount type. husk's extension: `image`, the tree of an image whose id is `source`; the sandbox has it
   * (src/sandbox.ts)
   */
  type?: string;
  source?: string;
  /** husk's extension: the path below `source` of a bind or an image that is bound; no link in it may lead out */
  subpath?: string;
  /** mount(8) names: ro, nosuid, rbind, rprivate, rro, mode=755, size=64k … */
  options?: string[];
}

export type NamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time';

export interface Linux {
  namespaces: { type: NamespaceType; path?: string }[];
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
  devices?: Device[];
  /** husk's extension: whether to add every device node of the machine on which the container runs */
  allDevices?: boolean;
  cgroupsPath?: string;
  resources?: Resources;
  seccomp?: Seccomp;
  sysctl?: Record<string, string>;
  rootfsPropagation?: 'shared' | 'slave' | 'private' | 'unbindable' | 'rshared' | 'rslave' | 'rprivate' | 'runbindable';
  maskedPaths?: string[];
  readonlyPaths?: string[];
}

/** one line of /proc/PID/uid_map, user_namespaces(7) */
export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

export interface Device {
  path: string;
  type: 'c' | 'b' | 'u' | 'p';
  major: number;
  minor: number;
  fileMode?: number;
  uid?: number;
  gid?: number;
  /** husk's extension: some of r, w, m, which the device cgroup allows; default all */
  access?: string;
  /** husk's extension: the node's path on the host, where a user namespace has to bind it; default `path` */
  source?: string;
}

export interface Resources {
  devices?: { allow: boolean; type?: string; major?: number; minor?: number; access?: string }[];
  /** bytes; -1 unlimited */
  memory?: { limit?: number; reservation?: number; swap?: number; swappiness?: number; disableOOMKiller?: boolean };
  cpu?: { shares?: number; quota?: number; period?: number; cpus?: string; mems?: string };
  pids?: { limit: number };
  blockIO?: {
    weight?: number;
    weightDevice?: { major: number; minor: number; weight: number }[];
    throttleReadBpsDevice?: ThrottleDevice[];
    throttleWriteBpsDevice?: ThrottleDevice[];
    throttleReadIOPSDevice?: ThrottleDevice[];
    throttleWriteIOPSDevice?: ThrottleDevice[];
  };
  /** cgroup v2 files by name */
  unified?: Record<string, string>;
}

export interface ThrottleDevice {
  major: number;
  minor: number;
  rate: number;
}

export interface Seccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  syscalls?: {
    names: string[];
    action: string;
    errnoRet?: number;
    args?: { index: number; value: number; valueTwo?: number; op: string }[];
  }[];
}
