/** What the volume room offers to the engine and, through it, to the CLI. This module has types only. */

export interface Volume {
  name: string;
  /** ms since the epoch */
  createdAt: number;
  /** Whether the volume has no name of the user's: `rm -v`, `--rm` and a plain `volume prune` remove it. */
  anonymous: boolean;
  driver: string;
  labels: Record<string, string>;
  options: Record<string, string>;
  /** the folder on the host that containers see */
  mountpoint: string;
}

export interface CreateVolume {
  /** name; absent for an anonymous volume */
  name?: string;
  /** name of the driver; only `local` exists */
  driver?: string;
  labels?: Record<string, string>;
  /** options of the local driver: none, or `type=none`, `o=bind`, `device=/host/path` */
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
  /** name of the volume; absent for other types */
  name?: string;
  /** id of the image, for type `image`; `source` is the name that was given */
  image?: string;
  source: string;
  destination: string;
  readonly: boolean;
  options: string[];
}

/** Filters by key. A volume matches when it matches one value of every key; of labels it must match all. */
export type VolumeFilters = Record<string, string[]>;

export interface Volumes {
  /** Makes a volume, or returns the one that has the name already. @throws HuskError with Docker's texts */
  create(request: CreateVolume): Volume;
  find(name: string): Volume | undefined;
  /** @throws HuskError not-found "get NAME: no such volume" */
  get(name: string): Volume;
  /** @returns volumes sorted by name; filters: dangling, driver, label, name */
  list(filters?: VolumeFilters): Volume[];
  /**
   * Removes a volume; with `force` one that is not there is no error.
   * @throws HuskError conflict "remove NAME: volume is in use - [ids]"
   */
  remove(name: string, options?: { force?: boolean }): Promise<void>;
  /**
   * Removes unused anonymous volumes, with `all` the named ones too; filters: label, label!. `reclaimed` is in bytes.
   */
  prune(options?: { all?: boolean; filters?: VolumeFilters }): Promise<{ deleted: string[]; reclaimed: number }>;
  /** @returns bytes on disk; 0 for a volume whose option `device` names a folder of the host */
  size(name: string): Promise<number>;
  /** @returns Docker's JSON of `volume inspect` */
  inspect(name: string): object;
  /**
   * @returns every mount of a new container, in the order in which they are to be made; makes volumes and missing bind
   * sources
   */
  resolve(request: ResolveRequest): ResolvedMount[];
  /**
   * Gives each empty volume (or subpath of one) of `mounts` what the image has at its destination (owners, modes,
   * times, xattrs), and chowns the sources that ask for it with the option `U`. The engine calls this once per
   * container, when the container is created. Other containers may have the volume, and run.
   * @param options.lower the image's unpacked layers, topmost first
   */
  populate(
    mounts: readonly ResolvedMount[],
    options: { lower: readonly string[]; user?: string; kept?: { uid: number; gid: number } },
  ): Promise<void>;
  /**
   * Removes the anonymous volumes among `mounts` that no container uses any more, after `rm -v` or `--rm`.
   * @returns their names
   */
  removeAnonymous(mounts: readonly ResolvedMount[]): Promise<string[]>;
}

export interface ResolveRequest {
  mounts: readonly MountRequest[];
  /** destinations of `--tmpfs` */
  tmpfs?: readonly string[];
  /** containers whose volumes are mounted too: `container[:ro|rw]` */
  volumesFrom?: readonly string[];
  /**
   * @returns mounts of another container
   * @throws HuskError "No such container: x"
   */
  mountsOf?: (container: string) => readonly ResolvedMount[];
  /** ids of the images that mounts of type `image` name, by that name */
  images?: ReadonlyMap<string, string>;
  /** keys of the image's `Volumes` */
  imageVolumes?: readonly string[];
}
