/** `husk.images`: the local images, and those of registries. */
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { BuildHooks, BuildOptions, NamedContext } from '../engine/build-contract.ts';
import type { Engine } from '../engine/contract.ts';
import type { Image, Progress } from '../images/store/contract.ts';

/** One line of `pull` per layer; `current` and `total` in bytes. */
export type PullProgress = Progress;

export class ImageCollection {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * @param options.platform `os/architecture[/variant]`
   * @throws HuskError `not-found`, `unauthorized`, `unavailable`, `corrupt`; the signal's reason
   */
  async pull(
    reference: string,
    options: { platform?: string; onProgress?: (progress: PullProgress) => void; signal?: AbortSignal } = {},
  ): Promise<Image> {
    const { platform, ...same } = options;
    const { parsePlatform } = await import('../images/store/platform.ts');
    return (
      await this.#engine.images.pull(reference, {
        ...same,
        platform: platform === undefined ? undefined : parsePlatform(platform),
      })
    ).image;
  }

  async push(
    reference: string,
    options: { onProgress?: (progress: PullProgress) => void; signal?: AbortSignal } = {},
  ): Promise<{ digest: string; size: number }> {
    return this.#engine.images.push(reference, options);
  }

  /**
   * Builds the Dockerfile of a context, as `husk build` does.
   * @param context a folder, the URL of a tar or a Dockerfile, or a repository, told apart as the command does; or
   * what it is, such as `{ kind: 'tar', input }`
   * @param options those of the command; whatever is left out has its default. A text in `contexts` is what
   * `--build-context` has behind the name
   * @returns the image; undefined where `outputs` has none
   * @throws HuskError when a step fails; the signal's reason
   * @example
   * const image = await husk.images.build('.', { tags: ['app'], onEvent: (event) => console.error(event) });
   */
  async build(
    context: string | URL | BuildOptions['context'],
    options: Partial<Omit<BuildOptions, 'context' | 'contexts'>> & {
      contexts?: Record<string, string | NamedContext>;
    } & BuildHooks = {},
  ): Promise<Image | undefined> {
    const { onEvent, signal, contexts = {}, ...asked } = options;
    const { namedContext, writtenContext } = await import('../engine/build-contexts.ts');
    const named = Object.entries(contexts).map(
      ([name, value]) => [name, typeof value === 'string' ? namedContext(value) : value] as const,
    );
    const text = context instanceof URL && context.protocol === 'file:' ? fileURLToPath(context) : context;
    const { id } = await this.#engine.build(
      {
        context: typeof text === 'string' || text instanceof URL ? writtenContext(String(text)) : text,
        tags: [],
        buildArgs: {},
        contexts: Object.fromEntries(named),
        noCache: false,
        pull: false,
        labels: {},
        annotations: {},
        network: 'default',
        extraHosts: [],
        ulimits: [],
        secrets: [],
        ssh: {},
        allow: [],
        outputs: [],
        isolation: 'auto',
        ...asked,
      },
      { ...(onEvent && { onEvent }), ...(signal && { signal }) },
    );
    return id === undefined ? undefined : this.get(id);
  }

  list(): Image[] {
    return this.#engine.images.list();
  }

  /** @throws HuskError `not-found` */
  get(reference: string): Image {
    return this.#engine.images.get(reference);
  }

  /** @returns undefined when the image is not in the local store */
  find(reference: string): Image | undefined {
    return this.#engine.images.find(reference);
  }

  /** @returns Docker's JSON of `image inspect` */
  inspect(reference: string): object {
    return this.#engine.inspectImage(reference);
  }

  tag(source: string, target: string): void {
    this.#engine.images.tag(source, target);
  }

  /** @throws HuskError `conflict` for an image that containers use, unless `force` */
  remove(reference: string, options: { force?: boolean } = {}): { untagged: string[]; deleted: string[] } {
    return this.#engine.images.remove(reference, { ...options, inUse: (id) => this.#engine.imageUsers(id) });
  }

  /** Removes images without a name that no container uses; with `all` every image that no container uses. */
  prune(options: { all?: boolean } = {}): { untagged: string[]; deleted: string[]; reclaimed: number } {
    return this.#engine.images.prune({
      all: options.all === true,
      inUse: (id) => this.#engine.imageUsers(id).length > 0,
    });
  }

  /** Writes a docker-archive with an OCI layout in it. */
  save(references: string[], output: Writable): Promise<void> {
    return this.#engine.images.save(references, output);
  }

  /** @returns the names of the images that were loaded */
  async load(input: Readable): Promise<string[]> {
    return (await this.#engine.images.load(input)).loaded;
  }

  /**
   * Makes an image of one layer from a file system as a tar, or from the http(s) URL of one.
   * @param options.changes Dockerfile instructions
   */
  import(
    input: Readable | URL,
    options: { reference?: string; message?: string; changes?: string[] } = {},
  ): Promise<Image> {
    return this.#engine.images.import(input, options);
  }
}
