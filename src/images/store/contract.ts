/** What the image room offers to the engine, the supervisor and the CLI. Types only. */

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
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
  /** the verified uncompressed tar */
  tar: string;
  /** bytes of that tar */
  size: number;
}

export interface Image {
  /** sha256:… of the config: Docker's image id */
  id: string;
  /** the config exactly as stored */
  config: ImageConfig;
  /** bottom first */
  layers: Layer[];
  /** `name:tag` references, familiar form (`alpine:latest`) */
  repoTags: string[];
  /** `name@sha256:…`, familiar form */
  repoDigests: string[];
  /** sum of the uncompressed layers, bytes */
  size: number;
}

/** One line of `pull`'s or `push`'s output a layer; `current` and `total` in bytes. */
export interface Progress {
  /** first 12 hex digits of the layer's digest, or absent for a message of the whole operation */
  id?: string;
  status: string;
  current?: number;
  total?: number;
}

export type PullPolicy = 'always' | 'missing' | 'never';

export interface PullOptions {
  platform?: Platform;
  allTags?: boolean;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface Images {
  /** reference, id or unambiguous id prefix; @throws HuskError not-found "No such image: x" */
  get(reference: string): Image;
  find(reference: string): Image | undefined;
  list(): Image[];
  /**
   * Progress has Docker's lines from `latest: Pulling from …` to `Digest:` and `Status:`; what `docker pull` adds of
   * its own (`Using default tag`, the last line with the reference) is the caller's.
   */
  pull(reference: string, options?: PullOptions): Promise<{ image: Image; digest: string; upToDate: boolean }>;
  /**
   * sends the image a tag names; progress as `docker push`. @throws HuskError not-found "An image does not exist
   * locally with the tag: x"
   */
  push(
    reference: string,
    options?: { onProgress?: (progress: Progress) => void; signal?: AbortSignal },
  ): Promise<{ digest: string; size: number }>;
  tag(source: string, target: string): void;
  /**
   * Untags, and deletes what nothing else uses. `inUse` says which containers use an image; it is asked before the
   * transaction, where it may write, and within it, where it only reads. `prune` asks likewise.
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
  /** docker-archive (with an OCI layout in it, as Docker 25 writes) */
  save(references: string[], output: NodeJS.WritableStream): Promise<void>;
  /**
   * @param options.platform loads the images of this platform only; @default this machine's where an index has several,
   * else whatever comes
   */
  load(
    input: NodeJS.ReadableStream,
    options?: { platform?: Platform; onProgress?: (progress: Progress) => void },
  ): Promise<{ loaded: string[] }>;
  /** a layer on top of an image, from a container; `config` is what the container was made with */
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
  /** a flat file system tar (gzip or zstd too), or the http(s) URL of one, becomes a one-layer image */
  import(
    input: NodeJS.ReadableStream | URL,
    options: { reference?: string; message?: string; changes?: string[]; platform?: Platform },
  ): Promise<Image>;
}
