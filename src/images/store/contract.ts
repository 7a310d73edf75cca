/** What the image room offers to the engine, the supervisor and the CLI. This module has types only. */

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

/** The platform of a manifest in a list, with the fields that only Windows images have. */
export interface ListedPlatform extends Platform {
  osVersion?: string;
  osFeatures?: string[];
}

/** OCI image config, and Docker's superset of it. Source: OCI image-spec config.md; moby docker image spec v1.2. */
export interface ImageConfig {
  created?: string;
  author?: string;
  architecture: string;
  os: string;
  variant?: string;
  config?: {
    User?: string;
    ExposedPorts?: Record<string, object>;
    Env?: string[];
    Entrypoint?: string[] | null;
    Cmd?: string[] | null;
    Volumes?: Record<string, object> | null;
    WorkingDir?: string;
    Labels?: Record<string, string> | null;
    StopSignal?: string;
    Shell?: string[];
    Healthcheck?: {
      Test?: string[];
      Interval?: number;
      Timeout?: number;
      StartPeriod?: number;
      StartInterval?: number;
      Retries?: number;
    };
    OnBuild?: string[] | null;
  };
  rootfs: { type: 'layers'; diff_ids: string[] };
  history?: { created?: string; created_by?: string; author?: string; comment?: string; empty_layer?: boolean }[];
}

export interface Layer {
  /** sha256:… of the uncompressed tar */
  diffId: string;
  /** path of the verified uncompressed tar */
  tar: string;
  /** bytes of that tar */
  size: number;
}

export interface Image {
  /** sha256:… of the config: Docker's image id */
  id: string;
  /** the config exactly as stored */
  config: ImageConfig;
  /** layers, bottom first */
  layers: Layer[];
  /** `name:tag` references, familiar form (`alpine:latest`) */
  repoTags: string[];
  /** `name@sha256:…`, familiar form */
  repoDigests: string[];
  /**
   * tags of other images that stand for those of several platforms, of which this is one, familiar form; absent where
   * there are none
   */
  indexedBy?: string[];
  /** sum of the uncompressed layers, bytes */
  size: number;
}

/** One line of output per layer of `pull` or `push`; `current` and `total` in bytes. */
export interface Progress {
  /**
   * first 12 hex digits of the layer's digest; the tag or digest of what is pulled, in the line `Pulling from x`;
   * absent for any other message of the whole operation
   */
  id?: string;
  status: string;
  current?: number;
  total?: number;
}

export type PullPolicy = 'always' | 'missing' | 'never';

/** Who somebody is at a registry. */
export type Credentials =
  | { kind: 'password'; username: string; password: string }
  /** an OAuth2 refresh token: the `identitytoken` of Docker's config.json, or a helper's `<token>` user */
  | { kind: 'identity'; token: string }
  /** a token that the registry itself takes: `registrytoken` of Docker's API */
  | { kind: 'registry-token'; token: string };

/** Who asks a registry. */
export interface Asking {
  /**
   * who the caller is, told to the host of the reference and to no mirror; null is nobody.
   * @default what this user's Docker config has for each host
   */
  credentials?: Credentials | null;
}

export interface PullOptions extends Asking {
  platform?: Platform;
  /** whether the tag names the image here afterwards, and not its digest alone. @default true */
  isNamed?: boolean;
  allTags?: boolean;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface PushOptions extends Asking {
  /** which image of a tag; the tag names that one alone in the registry */
  platform?: Platform;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface Pushed {
  /** of what the tag names in the registry now */
  digest: string;
  /** bytes of it */
  size: number;
  /** platforms of the tag's index whose images are not here: one image was sent instead of the index. Else absent */
  lacking?: Platform[];
}

/** What a step of a build has made, by the key of all that it read. */
export interface CacheRow {
  /** hex */
  key: string;
  diffId: string;
  /** bytes of the layer's tar */
  size: number;
  /** the step, as progress shows it */
  step: string;
  /** ms since the epoch, as is `lastUsed` */
  made: number;
  lastUsed: number;
  /** how often the row was found */
  uses: number;
  /** whether an image has the layer too, which then stays when the row goes */
  shared: boolean;
}

/** Bytes of layers that no image has; 0 is none. The words are BuildKit's. */
export interface CacheLimits {
  /** may stay in any case */
  reserved?: number;
  /** and no more */
  maxUsed?: number;
  /** of the file system, that are to be free */
  minFree?: number;
}

export interface CachePruneOptions {
  /** rows that were used at this moment or later stay; ms since the epoch */
  usedBefore?: number;
  /** how much may stay, what was used last first. @default nothing */
  limits?: CacheLimits;
  /** @returns whether a row may go */
  filter?: (row: CacheRow) => boolean;
}

/** Where a build cache that travels lies: a tag of a registry's, or an image there; or an OCI layout in a folder. */
export type CacheChoice =
  | { type: 'registry'; reference: string }
  /** `tag` names the cache in the folder. @default latest. `digest` is the manifest's, only where it is read */
  | { type: 'local'; folder: string; tag?: string; digest?: string };

/** An image in an OCI layout: what `tag` or `digest` names. @default the tag latest, or the only image */
export interface LayoutChoice {
  folder: string;
  tag?: string;
  /** of a manifest or an index; it goes before the tag */
  digest?: string;
  /** where its blobs are, if not in a folder of this machine; the digest is there then, and `folder` is but its name */
  blobs?: BlobSource;
}

/** Blobs by their digests (`sha256:…`), of somebody who is not believed. */
export interface BlobSource {
  /** @returns bytes; undefined where there is none */
  size(digest: string): Promise<number | undefined>;
  read(digest: string): AsyncIterable<Uint8Array>;
}

export type CacheCompression = 'gzip' | 'zstd' | 'uncompressed';

/** A step that is done: its key, its layer, and when that was made (ms since the epoch). */
export interface DoneStep {
  /** 64 hex digits */
  key: string;
  made: number;
  layer: Layer;
}

/** A build cache that is elsewhere. */
export interface RemoteCache extends Disposable {
  /** how many steps it has */
  readonly size: number;
  /**
   * Fetches the layer of a step into the store, where it is verified.
   * @returns undefined where the cache does not have this key
   * @throws HuskError `corrupt` for a layer that is not what its digests say, `unavailable`
   */
  fetch(
    key: string,
    options: { onBytes: (current: number, total: number) => void; signal: AbortSignal },
  ): Promise<(Layer & { made: number }) | undefined>;
}

/** What a build needs of the image room. While it is open, no prune takes layers that no image has yet. */
export interface BuildStore extends Disposable {
  /** where archives of ADD are unpacked: a folder for what is half-made, and bytes that one may have */
  readonly unpack: { tmp: string; maxSize: number };
  /** @returns the layer of this key and when it was made, ms since the epoch; undefined for a miss */
  find(key: string): (Layer & { made: number }) | undefined;
  /** Makes a layer of a tar. Without a row or an image it goes with the next prune. */
  ingest(
    source: AsyncIterable<Uint8Array>,
    options?: { signal?: AbortSignal; /** whether it may be compressed as xz or bzip2 */ programs?: boolean },
  ): Promise<Layer>;
  /**
   * Records which layer a key has; the layer lies whole in the store. An older row of that key is replaced.
   * @param row.used when it was used last, ms since the epoch. @default `made`
   */
  keep(row: { key: string; diffId: string; size: number; step: string; made: number; used?: number }): void;
  /**
   * Reads an image out of an OCI layout; its layers go as those of `ingest` do, and the image is recorded nowhere.
   * @param options.onBytes `id` is the beginning of a layer's digest, numbers are bytes
   * @throws HuskError `not-found`, `corrupt`, `limit`, `unsupported`
   */
  readLayout(
    choice: LayoutChoice,
    options: {
      platform: Platform;
      onBytes: (id: string, current: number, total: number) => void;
      signal: AbortSignal;
    },
  ): Promise<Image>;
  /** Reads a build cache that is elsewhere. @throws HuskError `not-found`, `corrupt`, `unsupported`, `unavailable` */
  openCache(choice: CacheChoice, signal: AbortSignal): Promise<RemoteCache>;
  /** Writes a build cache of these steps. @throws HuskError */
  writeCache(
    choice: CacheChoice,
    steps: readonly DoneStep[],
    options: { compression: CacheCompression; onMessage: (text: string) => void; signal: AbortSignal },
  ): Promise<void>;
  /** Records the image. @returns its id, and the digest of its manifest */
  addImage(
    config: Uint8Array,
    layers: readonly Layer[],
    options: { names: readonly string[]; annotations?: Record<string, string> },
  ): { id: string; manifest: string };
  /**
   * Makes names, which have an image, stand for images of several platforms, until they are given to an image anew.
   * @param images in the order of the index, each with the platform that was asked for: a config may say what it likes
   */
  setIndex(names: readonly string[], images: readonly { id: string; platform: Platform }[]): void;
}

/** What a reference names in a registry. */
export interface DistributedImage {
  descriptor: { mediaType: string; digest: string; size: number };
  /** of the list that it is, or of the one image; none of an artifact */
  platforms: ListedPlatform[];
}

/** A repository that a registry has found. */
export interface FoundRepository {
  /** as the registry writes it: `alpine`, `someone/thing` */
  name: string;
  /** one line */
  description: string;
  stars: number;
  official: boolean;
}

export interface SearchAnswer {
  /** the registry that was asked: `docker.io`, `localhost:5000` */
  host: string;
  /** by the registry's own search, or by its catalog, which has names alone */
  by: 'search' | 'catalog';
  results: FoundRepository[];
  /** false where the catalog was longer than what was looked at */
  complete: boolean;
}

/** A manifest that a list names, as a registry has it. */
export interface ListedManifest {
  /** with its host, as it was named: `docker.io/library/alpine:3` */
  reference: string;
  mediaType: string;
  digest: string;
  platform?: ListedPlatform;
  bytes: Buffer;
}

export interface InspectedManifest {
  /** JSON: a manifest as the registry has it, with line breaks; or a list */
  text: string;
  isList: boolean;
  /** the manifest itself, or those of the list; of a registry's list only where they were asked for */
  manifests: ListedManifest[];
}

interface RegistryOptions {
  /** whether plain HTTP and unverified TLS are allowed for this registry */
  insecure?: boolean;
  signal?: AbortSignal;
}

/**
 * Lists of manifests of several platforms (Docker manifest lists, OCI indexes): made here of manifests that a registry
 * has, and pushed as a whole. A list keeps the order in which its manifests were named. Methods throw HuskError
 * `not-found` "No such manifest: x" for what is not here, and "no such manifest: x" for what a registry has not.
 */
export interface ManifestLists {
  /**
   * Finds a list that was made here, else what a registry has.
   * @param options.list a list that was made here, of which `reference` names a manifest
   * @param options.all whether the manifests of a registry's list are fetched
   */
  inspect(reference: string, options?: RegistryOptions & { list?: string; all?: boolean }): Promise<InspectedManifest>;
  /** Makes a list, or with `amend` adds to one. @returns its name, with its host */
  create(list: string, references: readonly string[], options?: RegistryOptions & { amend?: boolean }): Promise<string>;
  /** Changes the platform of a manifest in a list; a part that is absent stays. */
  annotate(list: string, reference: string, platform: Partial<ListedPlatform>): void;
  /**
   * Sends a list, and before it manifests and blobs that the list's repository has not.
   * @param options.onPushed called for each manifest that was sent, with its new name
   * @returns the list's digest
   */
  push(
    list: string,
    options?: RegistryOptions & { purge?: boolean; onPushed?: (reference: string, digest: string) => void },
  ): Promise<string>;
  /** Forgets a list. */
  remove(list: string): void;
}

export interface Images {
  /**
   * Finds an image by a reference, an id or an unambiguous prefix of one.
   * @throws HuskError not-found "No such image: x"
   */
  get(reference: string): Image;
  /**
   * @param platform of a tag that stands for images of several platforms, the one that is wanted; where there is none
   * for it, the tag's own
   */
  find(reference: string, platform?: Platform): Image | undefined;
  list(): Image[];
  /**
   * Pulls an image. Progress has Docker's lines from `latest: Pulling from …` to `Digest:` and `Status:`; the caller
   * prints what `docker pull` adds on its own (`Using default tag`, the last line with the reference).
   */
  pull(reference: string, options?: PullOptions): Promise<{ image: Image; digest: string; upToDate: boolean }>;
  /**
   * Sends what a tag names; progress is that of `docker push`. Where the tag stands for images of several platforms
   * that is all of them, and an index.
   * @throws HuskError `not-found` "An image does not exist locally with the tag: x", or it has not the platform;
   * `conflict` where some of an index's images are not here, and which of the others is meant is not clear
   */
  push(reference: string, options?: PushOptions): Promise<Pushed>;
  /**
   * Sends images that are here, one for each platform, and an index of them by a tag.
   * @param ids the images, in the order of the index; none needs a name
   * @returns digest and bytes of the index
   */
  pushIndex(
    reference: string,
    ids: readonly string[],
    options?: Omit<PushOptions, 'platform'>,
  ): Promise<{ digest: string; size: number }>;
  /**
   * Asks a registry what a reference names there, and for which platforms; nothing is fetched but manifests.
   * @throws HuskError `not-found`, `unauthorized`, `unavailable`
   */
  distribution(reference: string, options?: Asking & { signal?: AbortSignal }): Promise<DistributedImage>;
  /**
   * Asks a registry for repositories.
   * @param text `TERM`, or `HOST/TERM` for another registry than the hub
   * @param options.limit results at most
   */
  search(text: string, options: Asking & { limit: number; signal?: AbortSignal }): Promise<SearchAnswer>;
  /**
   * Asks a registry whether it takes credentials; nothing is stored.
   * @param server a host, or a URL of one; empty is the hub
   * @throws HuskError `unauthorized`, `unavailable`
   */
  checkCredentials(server: string, credentials: Credentials, options?: { signal?: AbortSignal }): Promise<void>;
  manifestLists(): Promise<ManifestLists>;
  tag(source: string, target: string): void;
  /**
   * Untags an image, and deletes what nothing else uses. `inUse` returns the containers that use an image; it is called
   * before the transaction, where it may write, and within it, where it only reads. `prune` calls it likewise.
   */
  remove(
    reference: string,
    options: { force?: boolean; noPrune?: boolean; inUse: (imageId: string) => { id: string; running: boolean }[] },
  ): { untagged: string[]; deleted: string[] };
  prune(options: { all: boolean; inUse: (imageId: string) => boolean; filters?: (image: Image) => boolean }): {
    deleted: string[];
    untagged: string[];
    reclaimed: number;
  };
  /** @returns the images of several platforms that names of an image stand for, those that were removed too */
  platforms(id: string): { id: string; platform: Platform }[];
  /**
   * Writes a docker-archive (with an OCI layout in it, as Docker 25 writes); of a name that stands for several
   * platforms all that are here.
   * @param options.platform the only one of a name. @default all
   */
  save(references: string[], output: NodeJS.WritableStream, options?: { platform?: Platform }): Promise<void>;
  /** Writes the same of images of several platforms, which need no name. */
  saveIndex(images: readonly { id: string; platform: Platform }[], output: NodeJS.WritableStream): Promise<void>;
  /**
   * Loads the images of an archive. A name that has an index there stands for all its images that the archive has.
   * @param options.platform loads the images of this platform only. @default any
   */
  load(
    input: NodeJS.ReadableStream,
    options?: { platform?: Platform; onProgress?: (progress: Progress) => void },
  ): Promise<{ loaded: string[] }>;
  /**
   * Makes an image of a base image and one more layer, which comes from a container. `config` is the config that the
   * container was made with.
   */
  commit(
    layer: NodeJS.ReadableStream,
    options: {
      base: string;
      config: NonNullable<ImageConfig['config']>;
      createdBy?: string;
      reference?: string;
      author?: string;
      message?: string;
      changes?: string[];
    },
  ): Promise<Image>;
  /** Makes a one-layer image of a flat file system tar (gzip or zstd too), or of the tar behind an http(s) URL. */
  import(
    input: NodeJS.ReadableStream | URL,
    options: {
      reference?: string;
      message?: string;
      changes?: string[];
      platform?: Platform;
      /** of the URL's archive; bytes, and `total` where the server tells it */
      onBytes?: (current: number, total?: number) => void;
      signal?: AbortSignal;
    },
  ): Promise<Image>;
  /** What a build needs: its cache, and layers and images made of its steps. The caller disposes of it. */
  building(): Promise<BuildStore>;
  /** @returns every row of the build cache, the one used last first */
  buildCache(): Promise<CacheRow[]>;
  /** Deletes rows of the build cache, and the layers that nothing else needs. @returns the rows */
  pruneBuildCache(options: CachePruneOptions): Promise<CacheRow[]>;
  /**
   * Does what `builder.gc` of the config says, unless a build or a pull is under way.
   * @returns the rows that went; and the moment, ms since the epoch, before which caches of mounts must have been used
   * to go too, by a rule that is about age alone
   * @throws HuskError `invalid` for a config that cannot be read
   */
  collectBuildCache(): Promise<{ rows: CacheRow[]; mountsUsedBefore: number | undefined }>;
}
