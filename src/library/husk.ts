/**
 * `import { Husk } from 'husk'`: what the command line does, from a program. These are objects over the engine's
 * contract (src/engine/contract.ts), which they hold open. Every wait takes an AbortSignal, and everything that is made
 * here can be released by `using`. The objects have no logic of their own: the command line opens its engine here too.
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
import { NetworkCollection } from './networks.ts';
import { collect, type Encoding, type Output } from './process.ts';
import { VolumeCollection } from './volumes.ts';

export { HuskError, type ErrorKind } from '../errors.ts';
export { Container, type StartOptions } from './container.ts';
export { Process, type Exit, type Output } from './process.ts';
export type { ContainerOptions } from './container-options.ts';
export type { ImageCollection, PullProgress } from './images.ts';
export type { NetworkCollection } from './networks.ts';
export type { VolumeCollection } from './volumes.ts';
export type {
  EndpointRequest,
  Engine,
  EventMessage,
  EventOptions,
  Fact,
  Filters,
  LogLine,
  LogOptions,
  MountRequest,
  Network,
  ResourceRequest,
  Volume,
} from '../engine/contract.ts';
export type { BuildHooks, BuildOptions, NamedContext } from '../engine/build-contract.ts';
export type { BuildEvent } from '../engine/build-events.ts';
export type { Image } from '../images/store/contract.ts';

export interface HuskOptions {
  /** folder of images and containers. @default the configuration's, else that of the command line */
  dataRoot?: string;
  /** path of the configuration. @default $XDG_CONFIG_HOME/husk/config.json */
  configFile?: string;
}

export interface RunOptions<E extends Encoding = 'utf8'> extends ContainerOptions {
  /** the command's whole stdin */
  input?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** @default 'utf8' */
  encoding?: E;
  /** limit of bytes of stdout and stderr together. @default 64 MiB */
  maxOutput?: number;
}

export class Husk implements Disposable {
  /** the contract behind these objects, with everything that the command line can do */
  readonly engine: Engine;
  readonly images: ImageCollection;
  readonly networks: NetworkCollection;
  readonly volumes: VolumeCollection;

  private constructor(engine: Engine) {
    this.engine = engine;
    this.images = new ImageCollection(engine);
    this.networks = new NetworkCollection(engine);
    this.volumes = new VolumeCollection(engine);
  }

  /**
   * Opens the user's data root, as every husk command does. Any number may be open at once, in any number of processes.
   * @throws HuskError when it cannot be opened, or the configuration is wrong
   * @example
   * using husk = await Husk.open();
   */
  static async open(options: HuskOptions = {}): Promise<Husk> {
    loadQuietly();
    const { openEngine } = await import('../engine/assembly/engine.ts');
    return new Husk(await openEngine(options));
  }

  /** Fetches an image, or makes sure that the local one is the newest. */
  pull(
    reference: string,
    options: { platform?: string; onProgress?: (progress: PullProgress) => void; signal?: AbortSignal } = {},
  ) {
    return this.images.pull(reference, options);
  }

  /**
   * Runs a command in a container of its own to its end, and removes the container. A command that fails is no error.
   * @throws HuskError when the container could not be started, and of kind `limit` when the command wrote more than
   * `maxOutput`
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
    const running = await container.startAttached({ signal: options.signal, onWarning: warner(options) });
    return await collect(running, { input, encoding, maxOutput, signal: options.signal });
  }

  /**
   * Starts a container. It is removed, running or not, when the object is disposed of; `container.keep()` lets it stay.
   * @throws HuskError as `create`, or when the container could not be started
   * @example
   * await using web = await husk.start('nginx', [], { name: 'web' });
   */
  async start(image: string, command: string[] = [], options: ContainerOptions = {}): Promise<Container> {
    const container = await this.create(image, command, options);
    try {
      await container.start({ signal: options.signal, onWarning: warner(options) });
      return container;
    } catch (error) {
      await container[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Creates a container that does not run yet, from an image that is pulled when it is missing. The container is
   * removed when the object is disposed of.
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
    warnings.forEach(warner(options));
    const container = new Container(this.engine, id, { owned: true });
    if (!signal?.aborted) return container;
    await container[Symbol.asyncDispose]();
    throw signal.reason;
  }

  /**
   * Finds an existing container by its name, id or a prefix of its id. Disposing of the object does not remove it.
   * @throws HuskError `not-found`
   */
  container(reference: string): Container {
    return new Container(this.engine, this.engine.get(reference).id, { owned: false });
  }

  /** @returns the running containers, or with `all` every one; filters are those of `husk ps --filter` */
  containers(options: { all?: boolean; filters?: Filters; last?: number } = {}): ContainerRecord[] {
    return this.engine.list(options);
  }

  /**
   * Yields the events of containers, images and volumes as they happen.
   * @example
   * for await (const { Type, Action, Actor } of husk.events({ signal })) console.log(Type, Action, Actor.ID);
   */
  events(options: EventOptions = {}): AsyncIterable<EventMessage> {
    return this.engine.events(options);
  }

  /** Tries out what this host can do. @returns what was found, and what to change */
  doctor(options: { signal?: AbortSignal } = {}): Promise<Fact[]> {
    return abortable(this.engine.doctor(), options.signal);
  }

  /** Closes the engine; containers continue. */
  [Symbol.dispose](): void {
    this.engine[Symbol.dispose]();
  }
}

/** As `husk run` has them on stderr: of the container's making, and of its start. */
const warner =
  ({ onMessage }: Pick<ContainerOptions, 'onMessage'>) =>
  (text: string): void =>
    onMessage?.(`WARNING: ${text}`);

/**
 * Loads Node's SQLite without the warning on stderr that it is experimental: husk chose it, and the program that uses
 * husk cannot change that.
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
