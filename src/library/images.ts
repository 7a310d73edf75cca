/** `husk.images`: what is there, and what a registry has. */
import type { Readable, Writable } from 'node:stream';
import type { Engine } from '../engine/contract.ts';
import type { Image, Progress } from '../images/store/contract.ts';

/** One line of `pull` a layer; `current` and `total` in bytes. */
export type PullProgress = Progress;

export class ImageCollection {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * @param options.platform `os/architecture[/variant]`. @throws HuskError `not-found`, `unauthorized`, `unavailable`,
   * `corrupt`; the signal's reason
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

  list(): Image[] {
    return this.#engine.images.list();
  }

  /** @throws HuskError `not-found` */
  get(reference: string): Image {
    return this.#engine.images.get(reference);
  }

  /** undefined when it is not here */
  find(reference: string): Image | undefined {
    return this.#engine.images.find(reference);
  }

  /** Docker's JSON of `image inspect`. */
  inspect(reference: string): object {
    return this.#engine.inspectImage(reference);
  }

  tag(source: string, target: string): void {
    this.#engine.images.tag(source, target);
  }

  /** @throws HuskError `conflict` for one that containers use, unless `force` */
  remove(reference: string, options: { force?: boolean } = {}): { untagged: string[]; deleted: string[] } {
    return this.#engine.images.remove(reference, { ...options, inUse: (id) => this.#engine.imageUsers(id) });
  }

  /** Those without a name that nothing uses, or `all` that no container uses. */
  prune(options: { all?: boolean } = {}): { untagged: string[]; deleted: string[]; reclaimed: number } {
    return this.#engine.images.prune({
      all: options.all === true,
      inUse: (id) => this.#engine.imageUsers(id).length > 0,
    });
  }

  /** A docker-archive with an OCI layout in it. */
  save(references: string[], output: Writable): Promise<void> {
    return this.#engine.images.save(references, output);
  }

  /** @returns the names that came with it */
  async load(input: Readable): Promise<string[]> {
    return (await this.#engine.images.load(input)).loaded;
  }

  /**
   * A file system as a tar, or the http(s) URL of one, becomes an image of one layer. @param options.changes Dockerfile
   * instructions
   */
  import(
    input: Readable | URL,
    options: { reference?: string; message?: string; changes?: string[] } = {},
  ): Promise<Image> {
    return this.#engine.images.import(input, options);
  }
}
