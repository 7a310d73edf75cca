/**
 * `import { Husk } from 'husk'`: what the command line does, from a program. Objects over the engine's contract
 * (src/engine/contract.ts), which they hold open; everything that waits takes an AbortSignal, everything that is made
 * here can be given back by `using`. No logic of its own: the command line opens its engine here too.
 */
import type {
  Container as ContainerRecord,
  Engine,
  EventMessage,
  EventOptions,
  Fact,
  Filters,
} from '../engine/contract.ts';
import { abortable } from './abort.ts';
import { Container } from './container.ts';
import { engineOptions, type ContainerOptions } from './container-options.ts';
import { ImageCollection, type PullProgress } from './images.ts';
import { collect, type Encoding, type Output } from './process.ts';
import { VolumeCollection } from './volumes.ts';

export { HuskError, type ErrorKind } from '../errors.ts';
export { Container } from './container.ts';
export { Process, type Exit, type Output } from './process.ts';
export type { ContainerOptions } from './container-options.ts';
export type { ImageCollection, PullProgress } from './images.ts';
export type { VolumeCollection } from './volumes.ts';
export type {
  Engine,
  EventMessage,
  EventOptions,
  Fact,
  Filters,
  LogLine,
  LogOptions,
  MountRequest,
  ResourceRequest,
  Volume,
} from '../engine/contract.ts';
export type { Image } from '../images/store/contract.ts';

export interface HuskOptions {
  /** where images and containers are kept. @default the config's, else as the command line has it */
  dataRoot?: string;
  /** @default $XDG_CONFIG_HOME/husk/config.json */
  configFile?: string;
}

export interface RunOptions<E extends Encoding = 'utf8'> extends ContainerOptions {
  /** what the command reads from its stdin, to its end */
  input?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** @default 'utf8' */
  encoding?: E;
  /** bytes of stdout and stderr together. @default 64 MiB */
  maxOutput?: number;
}

export class Husk implements Disposable {
  /** all that the command line can do: the contract behind these objects */
  readonly engine: Engine;
  readonly images: ImageCollection;
  readonly volumes: VolumeCollection;

  private constructor(engine: Engine) {
    this.engine = engine;
    this.images = new ImageCollection(engine);
    this.volumes = new VolumeCollection(engine);
  }

  /**
   * Opens the user's data root, as every husk command does: any number may be open at once, in any number of processes.
   * @throws HuskError when it cannot be opened, or the config is wrong
   * @example
   * using husk = await Husk.open();
   */
  static async open(options: HuskOptions = {}): Promise<Husk> {
    loadQuietly();
    const { openEngine } = await import('../engine/assembly/engine.ts');
    return new Husk(await openEngine(options));
  }

  /** Fetches an image, or makes sure that it is the newest. */
  pull(
    reference: string,
    options: { platform?: string; onProgress?: (progress: PullProgress) => void; signal?: AbortSignal } = {},
  ) {
    return this.images.pull(reference, options);
  }

  /**
   * Runs a command in a container of its own to its end, and removes the container.
   * @throws HuskError when it could not be started, and of kind `limit` when it wrote more than `maxOutput`; a command
   * that fails is no error
   * @example
   * const { exitCode, stdout } = await husk.run('alpine', ['uname', '-r']);
   */
  async run<E extends Encoding = 'utf8'>(
    image: string,
    command: string[] = [],
    options: RunOptions<E> = {},
  ): Promise<Output<E>> {
    const { input, encoding, maxOutput, ...wanted } = options;
    await using container = await this.create(image, command, { ...wanted, stdin: input !== undefined });
    const running = await container.startAttached({ signal: options.signal });
    return await collect(running, { input, encoding, maxOutput, signal: options.signal });
  }

  /**
   * A container that runs. It is removed, running or not, when it is disposed of; `container.keep()` lets it stay.
   * @throws HuskError as `create`, or when it could not be started
   * @example
   * await using web = await husk.start('nginx', [], { name: 'web' });
   */
  async start(image: string, command: string[] = [], options: ContainerOptions = {}): Promise<Container> {
    const container = await this.create(image, command, options);
    try {
      await container.start({ signal: options.signal });
      return container;
    } catch (error) {
      await container[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * A container that does not run yet, from an image that is pulled when it is missing. It is removed when it is
   * disposed of.
   * @throws HuskError `not-found` without such an image, `conflict` for a name that is taken, `invalid`, `unsupported`
   */
  async create(image: string, command: string[] = [], options: ContainerOptions = {}): Promise<Container> {
    options.signal?.throwIfAborted();
    const { onProgress, onMessage, signal } = options;
    const { id, warnings } = await this.engine.create(engineOptions(image, command, options), {
      onProgress,
      onMessage,
      signal,
    });
    for (const warning of warnings) onMessage?.(`WARNING: ${warning}`);
    const container = new Container(this.engine, id, { owned: true });
    if (!signal?.aborted) return container;
    await container[Symbol.asyncDispose]();
    throw signal.reason;
  }

  /**
   * One that is there already, by name, id or prefix of its id. Disposing of it leaves it alone. @throws HuskError
   * `not-found`
   */
  container(reference: string): Container {
    return new Container(this.engine, this.engine.get(reference).id, { owned: false });
  }

  /** Those that run, or `all`; filters as `husk ps --filter` has them. */
  containers(options: { all?: boolean; filters?: Filters; last?: number } = {}): ContainerRecord[] {
    return this.engine.list(options);
  }

  /**
   * What happens to containers, images and volumes, as it happens.
   * @example
   * for await (const { Type, Action, Actor } of husk.events({ signal })) console.log(Type, Action, Actor.ID);
   */
  events(options: EventOptions = {}): AsyncIterable<EventMessage> {
    return this.engine.events(options);
  }

  /** What this host can do, tried, and what to change. */
  doctor(options: { signal?: AbortSignal } = {}): Promise<Fact[]> {
    return abortable(this.engine.doctor(), options.signal);
  }

  /** Containers go on; only this program's hold on them ends. */
  [Symbol.dispose](): void {
    this.engine[Symbol.dispose]();
  }
}

/**
 * Node tells whoever loads its SQLite on stderr that it is experimental: husk's own business, and not of a program that
 * uses it.
 */
function loadQuietly(): void {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    process.getBuiltinModule('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}
