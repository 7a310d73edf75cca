/** `husk.volumes`: named and anonymous ones. */
import type { Engine, Filters, Volume } from '../engine/contract.ts';

export class VolumeCollection {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Makes it, or returns what has the name already; without a name an anonymous one. */
  async create(
    name?: string,
    options: { labels?: Record<string, string>; options?: Record<string, string> } = {},
  ): Promise<Volume> {
    return (await this.#engine.volumes()).create({ name, ...options });
  }

  async list(filters: Filters = {}): Promise<Volume[]> {
    return (await this.#engine.volumes()).list(filters);
  }

  /** @throws HuskError `not-found` */
  async get(name: string): Promise<Volume> {
    return (await this.#engine.volumes()).get(name);
  }

  /** @throws HuskError `conflict` while containers use it */
  async remove(name: string, options: { force?: boolean } = {}): Promise<void> {
    await (await this.#engine.volumes()).remove(name, options);
  }

  /** Anonymous ones that nothing uses, with `all` the named ones too; `reclaimed` in bytes. */
  async prune(options: { all?: boolean; filters?: Filters } = {}): Promise<{ deleted: string[]; reclaimed: number }> {
    return (await this.#engine.volumes()).prune(options);
  }
}
