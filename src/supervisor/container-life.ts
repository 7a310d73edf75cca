/**
 * One container's life beside which its supervisor stands: claim the record, open the sandbox, start the command, record it as
 * running, carry its output, record its exit, remove it when it asked for that, start it again when its restart policy says so. Never outlives the
 * container, never serves sockets itself (server.ts does).
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { paths as computePaths, type Paths } from '../paths.ts';
import type { ExitStatus, Sandbox, SandboxProcess } from '../sandbox.ts';
import { ContainerStore, type ContainerState } from '../state/containers.ts';
import { openDatabase } from '../state/database.ts';
import { appendEvent } from '../state/events.ts';
import { identify, identifySelf, isAlive, sameProcess } from '../state/process-identity.ts';
import { rfc3339 } from '../state/time.ts';
import type { ContainerControl } from './conversation.ts';
import { FanOut } from './fan-out.ts';
import { openLog, type LogSink } from './log.ts';
import type { Task } from './protocol.ts';
import { removeRecordAndFolder, volumeUsers } from './removal.ts';
import { RestartBackOff, shouldRestart } from './restart-policy.ts';
import type { OpenSandbox } from './sandboxes.ts';

/** After PID 1's exit its output is over when nothing came for so long: only a shared pid namespace leaves holders. */
const QUIET_MS = 500;
const SIGKILL = 9;
/** ms after a start: most containers that end at once have ended by then */
const SHRINK_AFTER_MS = 2000;
/** seconds; Docker's default grace of stop */
const DEFAULT_STOP_TIMEOUT = 10;

export interface LifeOptions {
  openSandbox: OpenSandbox;
  /** called before the command runs: whoever sees `running` must be able to connect */
  listen(socket: string): Promise<void>;
}

export class ContainerLife implements ContainerControl {
  readonly execs = new Map<string, SandboxProcess>();
  process: SandboxProcess | undefined;
  output = new FanOut();
  /** resolves when nothing is left to supervise: the supervisor then exits */
  readonly over: Promise<void>;
  readonly #options: LifeOptions;
  #task: Task | undefined;
  #paths: Paths | undefined;
  #database: DatabaseSync | undefined;
  #store: ContainerStore | undefined;
  #sandbox: Sandbox | undefined;
  #endOver!: () => void;
  #nextExit = Promise.withResolvers<ExitStatus>();
  #stoppedByUser = false;
  #cancelBackOff: (() => void) | undefined;
  #backOff = new RestartBackOff();
  #restarts = 0;
  #shrink: NodeJS.Timeout | undefined;
  /** no container yet, or none any more because it could not be started */
  #idle = true;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.over = new Promise((resolve) => (this.#endOver = resolve));
  }

  get terminal(): boolean {
    return this.#task?.terminal === true;
  }

  get stdinOnce(): boolean {
    return this.#task?.stdinOnce === true;
  }

  /** containers/<id>; undefined before a client named a container */
  get folder(): string | undefined {
    return this.#task && this.#paths?.container(this.#task.id);
  }

  sandbox(): Sandbox {
    if (!this.#sandbox || !this.process) throw new HuskError(`Container ${this.#task?.id} is not running`, { kind: 'conflict' });
    return this.#sandbox;
  }

  exit(): Promise<ExitStatus> {
    return this.#nextExit.promise;
  }

  /** The client went away before it named a container, or the start failed: nothing to supervise. A start under way goes on. */
  abandon(): void {
    if (this.#idle) this.#endOver();
  }

  async start(task: Task, size: { columns?: number; rows?: number }): Promise<{ pid: number; begin(): void }> {
    if (this.#task) throw new HuskError(`this supervisor is of container ${this.#task.id}`, { kind: 'conflict' });
    this.#task = task;
    this.#paths = computePaths({ dataRoot: task.dataRoot });
    this.#paths.runtimeDir = task.runtimeDir;
    const socket = join(task.runtimeDir, `${task.id.slice(0, 16)}.sock`);
    this.#database = openDatabase(this.#paths.database);
    this.#store = new ContainerStore(this.#database);
    this.#claim(task.id);
    this.#idle = false;
    try {
      // whoever created it may have been killed between the record and the folder
      mkdirSync(this.#paths.container(task.id), { recursive: true, mode: 0o711 });
      await this.#options.listen(socket);
      return await this.#startOnce(size);
    } catch (error) {
      await this.#startFailed(error);
      this.#idle = true;
      throw error;
    }
  }

  async stop(options: { timeout?: number; signal?: number }): Promise<void> {
    this.#stoppedByUser = true;
    const exited = this.exit();
    if (this.#cancelBackOff) return this.#cancelBackOff();
    const process = this.process;
    if (!process) return;
    const timeout = options.timeout ?? this.#task?.stopTimeout ?? DEFAULT_STOP_TIMEOUT;
    this.signal(options.signal ?? this.#task!.stopSignal, true);
    if (this.#status() === 'paused') await this.unpause();
    if (timeout >= 0) {
      const timer = setTimeout(() => this.process === process && this.#sandbox?.signal(SIGKILL), timeout * 1000);
      void exited.then(() => clearTimeout(timer));
    }
    await exited;
  }

  signal(signal: number, byUser: boolean): void {
    if (byUser) this.#stoppedByUser = true;
    if (byUser && this.#cancelBackOff) return this.#cancelBackOff();
    this.sandbox().signal(signal);
  }

  async pause(): Promise<void> {
    await this.sandbox().pause();
    this.#recordStatus('running', 'paused', 'pause');
  }

  async unpause(): Promise<void> {
    await this.sandbox().unpause();
    this.#recordStatus('paused', 'running', 'unpause');
  }

  /** One process wins: the record is checked and claimed in one transaction. */
  #claim(id: string): void {
    const self = identifySelf();
    const record = this.#store!.change(id, (state) => {
      if (state.status === 'removing') throw new HuskError('container is marked for removal and cannot be started', { kind: 'conflict' });
      if (['running', 'paused', 'restarting'].includes(state.status) && isAlive(state.supervisor)) throw new HuskError(`container ${id} is already running`, { kind: 'conflict' });
      if (state.claim && isAlive(state.claim.by)) throw new HuskError(`container ${id} is being ${state.claim.operation === 'start' ? 'started' : 'removed'} by another process`, { kind: 'conflict' });
      return { ...state, claim: { by: self, operation: 'start' } };
    });
    if (!record) throw new HuskError(`No such container: ${id}`, { kind: 'not-found' });
  }

  async #startOnce(size: { columns?: number; rows?: number }): Promise<{ pid: number; begin(): void }> {
    const task = this.#task!;
    const log = openLog(join(this.#paths!.container(task.id), `${task.id}-json.log`), task.log);
    try {
      this.#sandbox = await this.#options.openSandbox(task, this.#paths!);
      await this.#sandbox.prepare({ stdin: task.openStdin, terminal: task.terminal, ...size });
      const process = await this.#sandbox.start();
      this.#running(process);
      return { pid: process.pid, begin: () => this.#begin(process, log) };
    } catch (error) {
      log.end();
      await this.#sandbox?.destroy();
      this.#sandbox = undefined;
      throw error;
    }
  }

  #running(process: SandboxProcess): void {
    const task = this.#task!;
    this.process = process;
    this.output = new FanOut();
    process.stdin?.on('error', () => {});
    this.#store!.change(task.id, (state) => {
      this.#event('start');
      return {
        ...state,
        status: 'running',
        pid: process.pid,
        process: identify(process.pid),
        exitCode: 0,
        error: '',
        oomKilled: false,
        startedAt: rfc3339(),
        restartCount: this.#restarts,
        stoppedByUser: false,
        supervisor: identifySelf(),
        claim: undefined,
      };
    });
    this.#backOff.started();
  }

  #begin(process: SandboxProcess, log: LogSink): void {
    this.output.addSource(process.stdout, 'stdout', (chunk) => log.write('stdout', chunk));
    if (process.stderr) this.output.addSource(process.stderr, 'stderr', (chunk) => log.write('stderr', chunk));
    void this.#untilExit(process, log);
    this.settled();
  }

  /** An idle supervisor is small: once the start is over the text pages it took are given back. */
  settled(): void {
    clearTimeout(this.#shrink);
    this.#shrink = setTimeout(() => void import('../host/file-pages.ts').then(({ releaseFilePages }) => releaseFilePages()).catch(() => {}), SHRINK_AFTER_MS);
    this.#shrink.unref();
  }

  async #untilExit(process: SandboxProcess, log: LogSink): Promise<void> {
    const status = await process.exited;
    await this.output.drained(QUIET_MS);
    log.end();
    this.process = undefined;
    try {
      await this.#sandbox!.destroy();
    } catch (error) {
      status.error ??= error instanceof Error ? error.message : String(error);
    }
    this.#sandbox = undefined;
    const restart = shouldRestart(this.#task!.restart, { exitCode: status.code, stoppedByUser: this.#stoppedByUser, restarts: this.#restarts });
    const announce = this.#nextExit;
    if (restart) {
      this.#recordExit(status, 'restarting');
      this.#nextExit = Promise.withResolvers<ExitStatus>();
      announce.resolve(status);
      await this.#restart();
      return;
    }
    const removing = this.#task!.autoRemove;
    this.#recordExit(status, removing ? 'removing' : 'exited');
    // the name is free and the record gone before a client hears of the exit; the bytes follow
    const deleteBytes = removing ? removeRecordAndFolder({ database: this.#database!, store: this.#store!, paths: this.#paths! }, this.#task!.id, this.#task!.attributes) : undefined;
    announce.resolve(status);
    await deleteBytes?.();
    if (removing) await this.#removeVolumes();
    this.#endOver();
  }

  async #removeVolumes(): Promise<void> {
    const { mounts } = this.#task!;
    if (!mounts.some(({ type }) => type === 'volume')) return;
    const { openVolumes } = await import('../volumes/volumes.ts');
    const inUse = (name: string) => volumeUsers(this.#store!, name);
    await openVolumes({ database: this.#database!, paths: this.#paths!, inUse }).removeAnonymous(mounts);
  }

  async #restart(): Promise<void> {
    const cancelled = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), this.#backOff.next());
      this.#cancelBackOff = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
    this.#cancelBackOff = undefined;
    if (cancelled) {
      this.#store!.change(this.#task!.id, (state) => ({ ...state, status: 'exited', pid: 0, supervisor: undefined, claim: undefined, stoppedByUser: true }));
      this.#nextExit.resolve({ code: 0 });
      return this.#endOver();
    }
    this.#restarts++;
    try {
      (await this.#startOnce({})).begin();
    } catch (error) {
      await this.#startFailed(error);
      this.#nextExit.resolve({ code: EXIT_HUSK_FAILED, error: String(error) });
      this.#endOver();
    }
  }

  #recordExit(status: ExitStatus, next: ContainerState['status']): void {
    const self = identifySelf();
    this.#store!.change(this.#task!.id, (state) => {
      this.#event('die', { exitCode: String(status.code) });
      return {
        ...state,
        status: next,
        pid: 0,
        process: undefined,
        exitCode: status.code,
        error: status.error ?? '',
        oomKilled: status.oomKilled === true,
        finishedAt: rfc3339(),
        stoppedByUser: this.#stoppedByUser,
        supervisor: next === 'restarting' ? self : undefined,
        claim: next === 'removing' ? { by: self, operation: 'remove' } : undefined,
      };
    });
  }

  /** Docker leaves a container whose command could not be started `created` (or `exited`, had it run before), with the reason. */
  async #startFailed(error: unknown): Promise<void> {
    const task = this.#task!;
    const exitCode = error instanceof HuskError && error.kind === 'start-failed' ? error.exitCode : EXIT_HUSK_FAILED + 3;
    const self = identifySelf();
    this.#store!.change(task.id, (state) => {
      if (!sameProcess(state.claim?.by, self) && !sameProcess(state.supervisor, self)) return undefined;
      const claim = task.autoRemove ? ({ by: self, operation: 'remove' } as const) : undefined;
      const status = task.autoRemove ? 'removing' : state.startedAt.startsWith('0001-') ? 'created' : 'exited';
      return { ...state, status, pid: 0, process: undefined, exitCode, error: error instanceof Error ? error.message : String(error), supervisor: undefined, claim };
    });
    if (!task.autoRemove) return;
    await removeRecordAndFolder({ database: this.#database!, store: this.#store!, paths: this.#paths! }, task.id, task.attributes)();
    await this.#removeVolumes();
  }

  #status(): string | undefined {
    return this.#store!.get(this.#task!.id)?.state.status;
  }

  #recordStatus(from: ContainerState['status'], to: ContainerState['status'], action: string): void {
    this.#store!.change(this.#task!.id, (state) => {
      if (state.status !== from) return undefined;
      this.#event(action);
      return { ...state, status: to };
    });
  }

  #event(action: string, attributes: Record<string, string> = {}): void {
    appendEvent(this.#database!, { Type: 'container', Action: action, Actor: { ID: this.#task!.id, Attributes: { ...this.#task!.attributes, ...attributes } } });
  }
}
