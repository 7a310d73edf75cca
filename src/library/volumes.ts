/** `husk.volumes`: named and anonymous volumes. */
import type { Engine, Filters, Volume } from '../engine/contract.ts';

export class VolumeCollection {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Makes a volume, or returns the one that has the name already; without a name it makes an anonymous one. */
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

  /** @throws HuskError `conflict` while containers use the volume */
  async remove(name: string, options: { force?: boolean } = {}): Promise<void> {
    await (await this.#engine.volumes()).remove(name, options);
  }

  /** Removes anonymous volumes that no container uses, with `all` the named ones too; `reclaimed` is in bytes. */
  async prune(options: { all?: boolean; filters?: Filters } = {}): Promise<{ deleted: string[]; reclaimed: number }> {
    return (await this.#engine.volumes()).prune(options);
  }
}
