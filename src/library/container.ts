/**
 * One container: its life, commands in it, its logs, files and figures. Holds no state but its id: what it says is
 * asked for each time.
 */
import type { Readable } from 'node:stream';
import type {
  CommitOptions,
  Container as ContainerRecord,
  ContainerSize,
  CopyOptions,
  CreateOptions,
  Engine,
  ExecOptions as EngineExec,
  LogLine,
  LogOptions,
  ResourceRequest,
} from '../engine/contract.ts';
import type { SandboxStats } from '../sandbox.ts';
import { abortable } from './abort.ts';
import { collect, Process, type CollectOptions, type Encoding, type Output } from './process.ts';

export interface ExecOptions extends Partial<
  Pick<EngineExec, 'tty' | 'user' | 'workdir' | 'privileged' | 'consoleSize'>
> {
  env?: Record<string, string> | string[];
  /** keeps the command's stdin open. @default false */
  stdin?: boolean;
  /** kills the command */
  signal?: AbortSignal;
}

export class Container implements AsyncDisposable {
  readonly id: string;
  readonly #engine: Engine;
  #owned: boolean;

  /** @param options.owned disposing of it removes the container */
  constructor(engine: Engine, id: string, options: { owned: boolean }) {
    this.#engine = engine;
    this.id = id;
    this.#owned = options.owned;
  }

  /** @throws HuskError `not-found` once it has been removed, as every method does */
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

  /** Disposing of it leaves it alone from now on. */
  keep(): this {
    this.#owned = false;
    return this;
  }

  async start(options: { signal?: AbortSignal } = {}): Promise<void> {
    await abortable(this.#engine.start(this.id), options.signal);
  }

  /** Starts it with its streams connected before its first byte. @param options.signal kills it */
  async startAttached(options: { signal?: AbortSignal } = {}): Promise<Process> {
    options.signal?.throwIfAborted();
    const { options: made } = this.#record.config;
    return new Process(
      (await this.#engine.start(this.id, { attach: { stdin: made.interactive, stdout: true, stderr: true } }))!,
      options.signal,
    );
  }

  /** Joins its streams as it runs. @param options.signal leaves them, the container goes on */
  async attach(options: { stdin?: boolean; signal?: AbortSignal } = {}): Promise<Process> {
    const { signal } = options;
    signal?.throwIfAborted();
    return new Process(await this.#engine.attach(this.id, { stdin: options.stdin ?? false }), signal, 'detach');
  }

  /**
   * One more command in it, with its streams.
   * @throws HuskError `conflict` when it is not running, `start-failed` with exit code 126 or 127
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
   * Runs a command in it to its end. A command that fails is no error.
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
   * What it wrote, line by line; with `follow` also what comes, until it has ended.
   * @example
   * for await (const { text } of container.logs({ follow: true, tail: 10 })) process.stdout.write(text);
   */
  logs(options: LogOptions = {}): AsyncIterable<LogLine> {
    return this.#engine.logs(this.id, options);
  }

  /**
   * Copies a file or folder out of it, running or not, by the rules of `husk cp`. @returns where it went
   * @example
   * await container.copyFrom('/etc/os-release', './os-release');
   */
  copyFrom(path: string, destination: string, options: CopyOptions & { signal?: AbortSignal } = {}): Promise<string> {
    const { signal, ...copy } = options;
    return abortable(this.#engine.copyFrom(this.id, path, destination, copy), signal);
  }

  /** Copies a file or folder of this host into it. @returns its path in there */
  copyTo(source: string, path: string, options: CopyOptions & { signal?: AbortSignal } = {}): Promise<string> {
    const { signal, ...copy } = options;
    return abortable(this.#engine.copyTo(this.id, source, path, copy), signal);
  }

  /** A file or folder of it as a tar, which begins with its last name. */
  async archive(path: string): Promise<Readable> {
    return (await this.#engine.archive(this.id, path)).tar;
  }

  /** Unpacks a tar, compressed or not, in a folder of it. */
  extract(path: string, tar: Readable): Promise<void> {
    return this.#engine.extract(this.id, path, tar);
  }

  /** What differs from its image. */
  changes(): Promise<{ kind: 'A' | 'C' | 'D'; path: string }[]> {
    return this.#engine.changes(this.id);
  }

  /** An image of it as it is. @returns the image's id */
  async commit(options: CommitOptions = {}): Promise<string> {
    return (await this.#engine.commit(this.id, options)).id;
  }

  /** Its exit code, once it has ended. @throws the signal's reason */
  wait(options: { condition?: 'not-running' | 'next-exit' | 'removed'; signal?: AbortSignal } = {}): Promise<number> {
    return abortable(this.#engine.wait(this.id, options), options.signal);
  }

  /** Its stop signal (or another), then SIGKILL after `timeout` seconds; -1 waits for ever. */
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

  pause(): Promise<void> {
    return this.#engine.pause(this.id);
  }

  unpause(): Promise<void> {
    return this.#engine.unpause(this.id);
  }

  rename(name: string): void {
    this.#engine.rename(this.id, name);
  }

  /** Other limits, another restart policy. @returns warnings */
  update(change: { resources?: ResourceRequest; restart?: CreateOptions['restart'] }): Promise<string[]> {
    return this.#engine.update(this.id, change);
  }

  /** Docker's JSON of `inspect`. */
  inspect(options: { size?: boolean } = {}): Promise<object> {
    return this.#engine.inspect(this.id, options);
  }

  /** bytes of its own layer, and of that with the image below it */
  size(): Promise<ContainerSize> {
    return this.#engine.size(this.id);
  }

  /** One sample: bytes, nanoseconds, counts. @throws HuskError `conflict` when it is not running */
  stats(options: { signal?: AbortSignal } = {}): Promise<SandboxStats> {
    return abortable(this.#engine.stats(this.id), options.signal);
  }

  /** @param options.force also while it runs. @param options.volumes its anonymous volumes too */
  async remove(options: { force?: boolean; volumes?: boolean } = {}): Promise<void> {
    await this.#engine.remove(this.id, options);
  }

  /**
   * Removes it with its anonymous volumes, running or not, when it was made here and not kept; one that is gone already
   * is fine.
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
