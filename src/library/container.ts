/**
 * One container: its life, commands in it, its logs, files and figures. The object holds no state but the id;
 * everything else is read from the engine for each call.
 */
import type { Readable } from 'node:stream';
import type {
  CommitOptions,
  Container as ContainerRecord,
  ContainerSize,
  ContainerStats,
  CopyOptions,
  CreateOptions,
  Engine,
  ExecOptions as EngineExec,
  LogLine,
  LogOptions,
  ResourceRequest,
} from '../engine/contract.ts';
import { abortable } from './abort.ts';
import { collect, Process, type CollectOptions, type Encoding, type Output } from './process.ts';

export interface ExecOptions extends Partial<
  Pick<EngineExec, 'tty' | 'user' | 'workdir' | 'privileged' | 'consoleSize'>
> {
  env?: Record<string, string> | string[];
  /** Keeps the command's stdin open. @default false */
  stdin?: boolean;
  /** Kills the command when it aborts. */
  signal?: AbortSignal;
}

export interface StartOptions {
  signal?: AbortSignal;
  /**
   * Called with what went wrong and did not keep the container from its start: a network without a way out, published
   * ports that show every client as the gateway. What is a matter of this host alone is told once after each boot.
   */
  onWarning?: (text: string) => void;
}

export class Container implements AsyncDisposable {
  readonly id: string;
  readonly #engine: Engine;
  #owned: boolean;

  /** @param options.owned whether disposing of the object removes the container */
  constructor(engine: Engine, id: string, options: { owned: boolean }) {
    this.#engine = engine;
    this.id = id;
    this.#owned = options.owned;
  }

  /** @throws HuskError `not-found` once the container has been removed, as every method does */
  get name(): string {
    return this.#record.name;
  }

  /** status, pid, exit code, times, health */
  get state(): ContainerRecord['state'] {
    return this.#record.state;
  }

  get #record(): ContainerRecord {
    return this.#engine.get(this.id);
  }

  /** Keeps the container: disposing of the object no longer removes it. */
  keep(): this {
    this.#owned = false;
    return this;
  }

  async start({ signal, onWarning }: StartOptions = {}): Promise<void> {
    await abortable(this.#engine.start(this.id, { onWarning }), signal);
  }

  /**
   * Starts the container with its streams connected before its first byte.
   * @param options.signal kills the container's process when it aborts
   */
  async startAttached({ signal, onWarning }: StartOptions = {}): Promise<Process> {
    signal?.throwIfAborted();
    const { interactive: stdin } = this.#record.config.options;
    const attach = { stdin, stdout: true, stderr: true };
    return new Process((await this.#engine.start(this.id, { attach, onWarning }))!, signal);
  }

  /**
   * Attaches to the streams of the running container.
   * @param options.signal detaches when it aborts; the container continues
   */
  async attach(options: { stdin?: boolean; signal?: AbortSignal } = {}): Promise<Process> {
    const { signal } = options;
    signal?.throwIfAborted();
    return new Process(await this.#engine.attach(this.id, { stdin: options.stdin ?? false }), signal, 'detach');
  }

  /**
   * Runs one more command in the container, with its streams.
   * @throws HuskError `conflict` when the container is not running, `start-failed` with exit code 126 or 127
   * @example
   * const top = await container.exec(['cat'], { stdin: true });
   */
  async exec(command: string[], options: ExecOptions = {}): Promise<Process> {
    const { env = [], stdin = false, signal, ...same } = options;
    signal?.throwIfAborted();
    const attachment = await this.#engine.exec(this.id, {
      tty: false,
      privileged: false,
      ...same,
      command,
      interactive: stdin,
      detach: false,
      env: Array.isArray(env) ? env : Object.entries(env).map(([name, value]) => `${name}=${value}`),
    });
    return new Process(attachment!, signal);
  }

  /**
   * Runs a command in the container to its end. A command that fails is no error.
   * @example
   * const { stdout } = await container.output(['cat', '/etc/hostname']);
   */
  async output<E extends Encoding = 'utf8'>(
    command: string[],
    options: ExecOptions & CollectOptions<E> = {},
  ): Promise<Output<E>> {
    const { input, encoding, maxOutput, ...exec } = options;
    return collect(await this.exec(command, { ...exec, stdin: input !== undefined }), {
      input,
      encoding,
      maxOutput,
      signal: options.signal,
    });
  }

  /**
   * Yields what the container wrote, line by line; with `follow` also new lines, until the container has ended.
   * @example
   * for await (const { text } of container.logs({ follow: true, tail: 10 })) process.stdout.write(text);
   */
  logs(options: LogOptions = {}): AsyncIterable<LogLine> {
    return this.#engine.logs(this.id, options);
  }

  /**
   * Copies a file or folder out of the container, running or not, by the rules of `husk cp`.
   * @returns the path of the copy
   * @example
   * await container.copyFrom('/etc/os-release', './os-release');
   */
  copyFrom(path: string, destination: string, options: CopyOptions & { signal?: AbortSignal } = {}): Promise<string> {
    const { signal, ...copy } = options;
    return abortable(this.#engine.copyFrom(this.id, path, destination, copy), signal);
  }

  /** Copies a file or folder of this host into the container. @returns its path in the container */
  copyTo(source: string, path: string, options: CopyOptions & { signal?: AbortSignal } = {}): Promise<string> {
    const { signal, ...copy } = options;
    return abortable(this.#engine.copyTo(this.id, source, path, copy), signal);
  }

  /** @returns a file or folder of the container as a tar, whose paths begin with the last name of `path` */
  async archive(path: string): Promise<Readable> {
    return (await this.#engine.archive(this.id, path)).tar;
  }

  /** Unpacks a tar, compressed or not, in a folder of the container. */
  extract(path: string, tar: Readable): Promise<void> {
    return this.#engine.extract(this.id, path, tar);
  }

  /** @returns the files that differ from the container's image */
  changes(): Promise<{ kind: 'A' | 'C' | 'D'; path: string }[]> {
    return this.#engine.changes(this.id);
  }

  /** Makes an image of the container as it is. @returns the image's id */
  async commit(options: CommitOptions = {}): Promise<string> {
    return (await this.#engine.commit(this.id, options)).id;
  }

  /**
   * Waits for the container's end, from the call on: nothing that happens after it is missed. @returns its exit code
   * @throws the signal's reason
   */
  async wait(
    options: { condition?: 'not-running' | 'next-exit' | 'removed'; signal?: AbortSignal } = {},
  ): Promise<number> {
    return (await abortable(this.#engine.wait(this.id, options), options.signal)).code;
  }

  /** Sends the container its stop signal (or another), then SIGKILL after `timeout` seconds; -1 waits for ever. */
  stop(options: { timeout?: number; stopSignal?: string; signal?: AbortSignal } = {}): Promise<void> {
    return abortable(
      this.#engine.stop(this.id, { timeout: options.timeout, signal: options.stopSignal }),
      options.signal,
    );
  }

  restart(options: { timeout?: number; stopSignal?: string; signal?: AbortSignal } = {}): Promise<void> {
    return abortable(
      this.#engine.restart(this.id, { timeout: options.timeout, signal: options.stopSignal }),
      options.signal,
    );
  }

  /** @param signal a name or number. @default 'SIGKILL' */
  kill(signal: string = 'SIGKILL'): Promise<void> {
    return this.#engine.kill(this.id, signal);
  }

  /**
   * Gives the container's terminal a size, in characters, whoever is attached to it.
   * @throws HuskError `conflict` when the container is not running
   */
  resize(columns: number, rows: number): Promise<void> {
    return this.#engine.resize(this.id, { columns, rows });
  }

  /**
   * Stops all of its processes until `unpause`.
   * @param options.swapOut the memory of its virtual machine goes back to the host
   * @throws HuskError `unsupported` for `swapOut` in user namespaces
   */
  pause(options?: { swapOut?: boolean }): Promise<void> {
    return this.#engine.pause(this.id, options);
  }

  unpause(): Promise<void> {
    return this.#engine.unpause(this.id);
  }

  /**
   * Copies the running container: the copies go on from this moment, each with its memory, its disk, a name and
   * addresses of its own. For VM isolation.
   * @param options.name of the copy; several are numbered
   * @returns the copies, which run; disposing of one removes it
   * @throws HuskError `unsupported` for user namespaces, and where folders of the host are mounted
   * @example
   * const tries = await container.fork({ count: 10 });
   */
  async fork(
    options: { name?: string; count?: number; onWarning?: (text: string) => void } = {},
  ): Promise<Container[]> {
    const ids = await this.#engine.fork(this.id, options);
    return ids.map((id) => new Container(this.#engine, id, { owned: true }));
  }

  rename(name: string): void {
    this.#engine.rename(this.id, name);
  }

  /** Changes the container's limits and restart policy. @returns warnings */
  update(change: { resources?: ResourceRequest; restart?: CreateOptions['restart'] }): Promise<string[]> {
    return this.#engine.update(this.id, change);
  }

  /** @returns Docker's JSON of `inspect` */
  inspect(options: { size?: boolean } = {}): Promise<object> {
    return this.#engine.inspect(this.id, options);
  }

  /** @returns bytes of the container's own layer, and of that with the image below it */
  size(): Promise<ContainerSize> {
    return this.#engine.size(this.id);
  }

  /**
   * @returns one sample: bytes, nanoseconds, counts
   * @throws HuskError `conflict` when the container is not running
   */
  stats(options: { signal?: AbortSignal } = {}): Promise<ContainerStats> {
    return abortable(this.#engine.stats(this.id), options.signal);
  }

  /**
   * @param options.force removes the container even while it runs
   * @param options.volumes removes its anonymous volumes too
   */
  async remove(options: { force?: boolean; volumes?: boolean } = {}): Promise<void> {
    await this.#engine.remove(this.id, options);
  }

  /**
   * Removes the container with its anonymous volumes, running or not, when this object owns it. A container that is
   * gone already is no error.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#owned) return;
    this.#owned = false;
    try {
      await this.#engine.remove(this.id, { force: true, volumes: true });
    } catch (error) {
      if ((error as { kind?: string }).kind !== 'not-found') throw error;
    }
  }
}
