/** What the volume room offers to the engine and, through it, to the CLI. Types only. */

export interface Volume {
  name: string;
  /** ms since the epoch */
  createdAt: number;
  /** nobody named it: `rm -v`, `--rm` and a plain `volume prune` take it */
  anonymous: boolean;
  driver: string;
  labels: Record<string, string>;
  options: Record<string, string>;
  /** the folder that containers see */
  mountpoint: string;
}

export interface CreateVolume {
  /** absent: an anonymous one */
  name?: string;
  /** only `local` */
  driver?: string;
  labels?: Record<string, string>;
  /** local driver: none, or `type=none`, `o=bind`, `device=/host/path` */
  options?: Record<string, string>;
}

/** A `-v`, `--mount` or `--tmpfs` as typed; the same shape as the engine's MountRequest. */
export interface MountRequest {
  type: 'bind' | 'volume' | 'tmpfs' | 'image';
  source?: string;
  target: string;
  readonly: boolean;
  options: string[];
  createSource: boolean;
}

/** The same shape as ContainerConfig.mounts: volumes named, host paths absolute. */
export interface ResolvedMount {
  type: 'bind' | 'volume' | 'tmpfs' | 'image';
  /** of a volume alone */
  name?: string;
  /** of type `image`: its id; `source` is the name that was given */
  image?: string;
  source: string;
  destination: string;
  readonly: boolean;
  options: string[];
}

/** Values of one key are or-ed, keys are and-ed, labels are and-ed. */
export type VolumeFilters = Record<string, string[]>;

export interface Volumes {
  /** makes it, or returns what has the name already; @throws HuskError with Docker's texts */
  create(request: CreateVolume): Volume;
  find(name: string): Volume | undefined;
  /** @throws HuskError not-found "get NAME: no such volume" */
  get(name: string): Volume;
  /** by name; filters: dangling, driver, label, name */
  list(filters?: VolumeFilters): Volume[];
  /** @throws HuskError conflict "remove NAME: volume is in use - [ids]"; `force` forgives a volume that is not there */
  remove(name: string, options?: { force?: boolean }): Promise<void>;
  /** unused anonymous volumes, with `all` the named ones too; filters: label, label!; `reclaimed` in bytes */
  prune(options?: { all?: boolean; filters?: VolumeFilters }): Promise<{ deleted: string[]; reclaimed: number }>;
  /** bytes on disk; 0 for a volume that is somebody else's folder */
  size(name: string): Promise<number>;
  /** Docker's JSON of `volume inspect` */
  inspect(name: string): object;
  /** every mount of a new container, in the order they are to be made; makes volumes and missing bind sources */
  resolve(request: ResolveRequest): ResolvedMount[];
  /**
   * Gives each empty volume (or subpath of one) of `mounts` what the image has at its destination (owners, modes,
   * times, xattrs), and chowns the sources that ask for it with the option `U`. Called once a container, when it is
   * created. Other containers may have the volume, and run.
   * @param options.lower the image's unpacked layers, topmost first
   */
  populate(
    mounts: readonly ResolvedMount[],
    options: { lower: readonly string[]; user?: string; kept?: { uid: number; gid: number } },
  ): Promise<void>;
  /** after `rm -v` or `--rm`: the anonymous volumes among `mounts` that no container uses any more */
  removeAnonymous(mounts: readonly ResolvedMount[]): Promise<string[]>;
}

export interface ResolveRequest {
  mounts: readonly MountRequest[];
  /** destinations of `--tmpfs` */
  tmpfs?: readonly string[];
  /** `container[:ro|rw]` */
  volumesFrom?: readonly string[];
  /** mounts of another container; @throws HuskError "No such container: x" */
  mountsOf?: (container: string) => readonly ResolvedMount[];
  /** ids of the images that mounts of type `image` name, by what they are named as */
  images?: ReadonlyMap<string, string>;
  /** keys of the image's `Volumes` */
  imageVolumes?: readonly string[];
}
