/**
 * Runs one container from claim to exit: claims the record, opens the sandbox, starts the command, records it as running, carries its output, records
 * its exit, removes it when it asked for that, starts it again when its restart policy says so. A supervisor process holds exactly one of these. Never
 * outlives the container, never serves sockets itself (main.ts and conversation.ts do).
 */
import { mkdirSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import type { Readable } from 'node:stream';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { jailedRandomHex } from '../host/random.ts';
import { startTimer } from '../long-timer.ts';
import { openLog } from '../logs/open.ts';
import type { LogSink } from '../logs/sink.ts';
import { paths as computePaths, type Paths } from '../paths.ts';
import type { Resources } from '../container/spec.ts';
import type { ExitStatus, FilesRequest, Sandbox, SandboxProcess } from '../sandbox.ts';
import { ContainerStore } from '../state/containers.ts';
import { openDatabase } from '../state/database.ts';
import { removeAccess, writeAccess } from './access.ts';
import type { ContainerControl } from './conversation.ts';
import { FanOut } from './fan-out.ts';
import { HealthMonitor } from './health-monitor.ts';
import { KeptFiles, KEEP_MACHINE } from './kept-files.ts';
import { LifeRecord } from './life-record.ts';
import type { RestartPolicy, Task } from './protocol.ts';
import { removeRecordAndFolder } from './removal.ts';
import { asksToEnd, mayRestart, RestartBackOff, shouldRestart } from './restart-policy.ts';
import type { OpenSandbox } from './sandboxes.ts';
import { span } from '../trace.ts';

/** After PID 1's exit its output is over when nothing came for so long: only a shared pid namespace leaves holders. */
const QUIET_MS = 500;
const SIGKILL = 9;
/** 256 bits: nobody guesses what a client must say */
const KEY_BYTES = 32;
/** ms after a start, when most containers that end at once have ended; and ms after that, when V8 has collected what the start left, and touched pages of its own again */
const SHRINK_AFTER_MS = [2000, 13_000];
/** seconds; Docker's default grace of stop */
const DEFAULT_STOP_TIMEOUT = 10;

export interface LifeOptions {
  openSandbox: OpenSandbox;
  /** ms; @default KEEP_MACHINE */
  keepFiles?: number | undefined;
  /**
   * Called before the command runs: whoever sees `running` must be able to connect.
   * @param key what a client must say first
   * @returns ends it and takes the socket away
   */
  listen(socket: string, key: string): Promise<() => void>;
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
  #record: LifeRecord | undefined;
  #health: HealthMonitor | undefined;
  /** performance.now() of this life's start */
  #startedAt = 0;
  /** it was told to end, by a person or (a logout, a shutdown) by its host: no restart */
  #ending = false;
  #stoppedByUser = false;
  /** `husk update --restart` has replaced the task's */
  #policy: RestartPolicy | undefined;
  #restarting: Promise<void> | undefined;
  #cancelBackOff: (() => void) | undefined;
  #backOff = new RestartBackOff();
  #restarts = 0;
  #stopListening: () => void = () => {};
  #shrink: NodeJS.Timeout | undefined;
  /** no container yet, or none any more because it could not be started */
  #idle = true;
  /** for its files alone: all ends with the client that asked for them */
  #forFiles = false;
  #kept: KeptFiles | undefined;

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
    if (!this.#sandbox || !this.process)
      throw new HuskError(`container ${this.#task?.id} is not running`, { kind: 'conflict' });
    return this.#sandbox;
  }

  exit(): Promise<ExitStatus> {
    return this.#nextExit.promise;
  }

  /** The client went away before it named a container, or the start failed: nothing to supervise. A start under way goes on. */
  abandon(): void {
    if (this.#idle) this.#endOver();
    else if (this.#forFiles) this.#kept?.leave();
  }

  joinFiles(): void {
    if (!this.#kept?.join())
      throw new HuskError(`the files of container ${this.#task?.id} are not open`, { kind: 'conflict' });
  }

  leaveFiles(): void {
    this.#kept?.leave();
  }

  releaseFiles(): void {
    this.#kept?.release();
  }

  /** A container that does not run is claimed, so that nobody starts or removes it while its files are looked at or written. */
  async open(task: Task): Promise<void> {
    this.#take(task);
    this.#forFiles = true;
    this.#record!.claim('copy');
    this.#idle = false;
    const keep = task.isolation === 'vm' ? (this.#options.keepFiles ?? KEEP_MACHINE) : 0;
    try {
      mkdirSync(this.#paths!.container(task.id), { recursive: true, mode: 0o711 });
      // before the machine runs: from then on this process may open no socket
      if (keep > 0) await this.#listen(task.id);
      this.#sandbox = await this.#options.openSandbox(task, this.#paths!);
      await this.#sandbox.open();
      this.#kept = new KeptFiles(() => void this.#closeFiles(), { keep });
    } catch (error) {
      await this.#releaseFiles().catch(() => {});
      this.#idle = true;
      throw error;
    }
  }

  files(request: FilesRequest, input?: Readable): Readable {
    if (!this.#sandbox || (!this.process && !this.#forFiles))
      throw new HuskError(`container ${this.#task?.id} is not running`, { kind: 'conflict' });
    return this.#sandbox.files(request, input);
  }

  async #closeFiles(): Promise<void> {
    this.#kept = undefined;
    await this.#releaseFiles();
    this.#endOver();
  }

  async #releaseFiles(): Promise<void> {
    const written = await this.#sandbox?.destroy().catch(() => undefined);
    this.#sandbox = undefined;
    // before the record says so: the path is the next one's then
    this.#stopListening();
    this.#record!.released(written);
  }

  #take(task: Task): void {
    if (this.#task) throw new HuskError(`this supervisor is of container ${this.#task.id}`, { kind: 'conflict' });
    this.#task = task;
    this.#paths = computePaths({ dataRoot: task.dataRoot, runtimeDir: task.runtimeDir });
    this.#database = openDatabase(this.#paths.database);
    this.#store = new ContainerStore(this.#database);
    this.#record = new LifeRecord(this.#database, this.#store, task);
  }

  async start(task: Task, size: { columns?: number; rows?: number }): Promise<{ pid: number; begin(): void }> {
    this.#take(task);
    this.#record!.claim('start');
    this.#idle = false;
    try {
      // whoever created it may have been killed between the record and the folder
      mkdirSync(this.#paths!.container(task.id), { recursive: true, mode: 0o711 });
      await this.#listen(task.id);
      return await this.#startOnce(size);
    } catch (error) {
      // what cannot be written now is mended by who looks next: this process and its claim end
      await this.#startFailed(error).catch(() => {});
      this.#idle = true;
      throw error;
    }
  }

  async #listen(id: string): Promise<void> {
    const paths = this.#paths!;
    const access = { socket: paths.socket(id), key: jailedRandomHex(KEY_BYTES) };
    writeAccess(paths, id, access);
    const stop = await this.#options.listen(access.socket, access.key);
    this.#stopListening = () => {
      this.#stopListening = () => {};
      stop();
      removeAccess(paths, id);
    };
  }

  async stop(options: { timeout?: number; signal?: number; byUser?: boolean }): Promise<void> {
    this.#end(options.byUser ?? true);
    if (this.#cancelBackOff) return this.#cancelBackOff();
    // a restart under way: what it starts is what is stopped
    await this.#restarting;
    this.#kept?.release();
    const exited = this.exit();
    const process = this.process;
    if (!process) return;
    const timeout = options.timeout ?? this.#task?.stopTimeout ?? DEFAULT_STOP_TIMEOUT;
    this.#send(options.signal ?? this.#task!.stopSignal);
    await this.#thaw();
    if (timeout >= 0) {
      const cancel = startTimer(timeout * 1000, () => this.process === process && this.#sandbox && this.#send(SIGKILL));
      void exited.then(cancel);
    }
    await exited;
  }

  async signal(signal: number, byUser: boolean): Promise<void> {
    const ending = byUser && asksToEnd(signal, this.#task?.stopSignal ?? SIGKILL);
    if (ending) {
      this.#end(true);
      if (this.#cancelBackOff) return this.#cancelBackOff();
      await this.#restarting;
    }
    this.#send(signal);
    if (ending) await this.#thaw();
  }

  #send(signal: number): void {
    this.sandbox().signal(signal);
    this.record('kill', { signal: String(signal) });
  }

  /** An event of the container. One that cannot be written is lost: the disk may be full, and the container goes on. */
  record(action: string, attributes?: Record<string, string>): void {
    try {
      this.#record!.event(action, attributes);
    } catch {
      // nobody to tell, nothing to undo
    }
  }

  async pause(): Promise<void> {
    const sandbox = this.sandbox();
    this.#rest();
    try {
      await sandbox.pause();
      this.#record!.paused();
    } catch (error) {
      if (this.process) this.#probe();
      throw error;
    }
  }

  async unpause(): Promise<void> {
    await this.sandbox().unpause();
    this.#record!.unpaused();
    if (this.process) this.#probe();
  }

  /** What is frozen cannot end, but of SIGKILL: it may have done so already. */
  async #thaw(): Promise<void> {
    if (this.#record!.status !== 'paused') return;
    await this.unpause().catch((error: unknown) => {
      if (this.process) throw error;
    });
  }

  /** Its restart policy rests from here on. */
  #end(byUser: boolean): void {
    this.#ending = true;
    if (byUser) this.#stoppedByUser = true;
  }

  async update(change: { resources?: Resources; restart?: RestartPolicy }): Promise<void> {
    const task = this.#task!;
    if (change.restart && change.restart.name !== 'no' && !mayRestart(task))
      throw new HuskError(
        `cannot give the running container ${task.id} a restart policy: its virtual machine monitor has given up the right to make another machine`,
        { kind: 'unsupported', fix: 'stop it, update it, start it again' },
      );
    if (change.resources) {
      // none while it waits for its next start
      await this.#sandbox?.update(change.resources);
      // the next start by the restart policy has them too
      task.spec = {
        ...task.spec,
        linux: { ...task.spec.linux, resources: { ...task.spec.linux.resources, ...change.resources } },
      };
    }
    if (change.restart) this.#policy = change.restart;
  }

  async #startOnce(size: { columns?: number; rows?: number }): Promise<{ pid: number; begin(): void }> {
    using _starting = span('start the container');
    const task = this.#task!;
    const log = await openLog(task.log, {
      folder: this.#paths!.container(task.id),
      container: task.log.container,
      confined: task.isolation === 'vm',
      onTrouble: (message) => this.record('log_error', { error: message }),
    });
    try {
      this.#sandbox = await this.#options.openSandbox(task, this.#paths!);
      await this.#sandbox.prepare({ stdin: task.openStdin, terminal: task.terminal, ...size });
      const process = await this.#sandbox.start();
      this.#running(process);
      return { pid: process.pid, begin: () => this.#begin(process, log) };
    } catch (error) {
      await log.end();
      // why it did not start is what counts
      await this.#sandbox?.destroy().catch(() => {});
      this.#sandbox = undefined;
      throw error;
    }
  }

  #running(process: SandboxProcess): void {
    this.process = process;
    this.output = new FanOut();
    process.stdin?.on('error', () => {});
    this.#record!.running(process.pid, this.#restarts);
    this.#startedAt = performance.now();
    this.#backOff.started();
  }

  #begin(process: SandboxProcess, log: LogSink): void {
    this.output.add(log);
    this.output.addSource(process.stdout, 'stdout');
    if (process.stderr) this.output.addSource(process.stderr, 'stderr');
    void this.#untilExit(process, log);
    this.#probe();
    this.settled();
  }

  /** An idle supervisor is small: once a start or an exec is over the text pages and the free heap it took are given back. */
  settled(): void {
    this.#scheduleShrink(SHRINK_AFTER_MS);
  }

  #scheduleShrink([delay, ...later]: readonly number[]): void {
    clearTimeout(this.#shrink);
    if (delay === undefined) return;
    this.#shrink = setTimeout(() => {
      void shrink().catch(() => {});
      this.#scheduleShrink(later);
    }, delay);
    this.#shrink.unref();
  }

  /** Never rejects. Whatever fails on the way, those who wait hear of the exit, and this supervisor ends: the record is mended by who looks next. */
  async #untilExit(process: SandboxProcess, log: LogSink): Promise<void> {
    const status = await process.exited;
    try {
      await this.#exited(status, log);
    } catch (error) {
      status.error ??= error instanceof Error ? error.message : String(error);
      this.#stopListening();
      this.#nextExit.resolve(status);
      this.#endOver();
    }
  }

  async #exited(status: ExitStatus, log: LogSink): Promise<void> {
    using _ending = span('end the container');
    this.#rest();
    await this.output.drained(QUIET_MS);
    this.output.delete(log);
    // what its last lines meet, a full disk say, is told by onTrouble; the container has ended all the same
    await log.end().catch((error: unknown) => this.record('log_error', { error: String(error) }));
    this.process = undefined;
    try {
      this.#record!.measured(await this.#sandbox!.destroy());
    } catch (error) {
      status.error ??= error instanceof Error ? error.message : String(error);
    }
    this.#sandbox = undefined;
    const restart = shouldRestart(this.#policy ?? this.#task!.restart, {
      exitCode: status.code,
      ending: this.#ending,
      restarts: this.#restarts,
    });
    const announce = this.#nextExit;
    if (restart) {
      this.#record!.exited(status, 'restarting', this.#stoppedByUser);
      this.#nextExit = Promise.withResolvers<ExitStatus>();
      announce.resolve(status);
      return this.#restart();
    }
    const removing = this.#task!.autoRemove;
    // while it is its own: once the record says `exited`, the next supervisor may listen at the same path
    this.#stopListening();
    this.#record!.exited(status, removing ? 'removing' : 'exited', this.#stoppedByUser);
    // the name is free and the record gone before a client hears of the exit; the bytes follow
    const deleteBytes = removing ? this.#remove() : undefined;
    using _removing = span('announce the exit and delete the files');
    announce.resolve(status);
    await deleteBytes?.();
    if (removing) await this.#removeVolumes();
    this.#endOver();
  }

  async #removeVolumes(): Promise<void> {
    const { mounts } = this.#task!;
    if (!mounts.some(({ type }) => type === 'volume')) return;
    const { openVolumes } = await import('../volumes/volumes.ts');
    const inUse = (name: string) => this.#store!.usersOfVolume(name);
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
      this.#stopListening();
      this.#record!.restartCancelled(this.#stoppedByUser);
      this.#nextExit.resolve({ code: 0 });
      return this.#endOver();
    }
    this.#restarts++;
    await (this.#restarting = this.#startAgain());
    this.#restarting = undefined;
  }

  /** Never rejects: `stop` waits for it. */
  async #startAgain(): Promise<void> {
    try {
      (await this.#startOnce({})).begin();
    } catch (error) {
      // what cannot be written now is mended by who looks next: this process ends
      await this.#startFailed(error).catch(() => {});
      this.#nextExit.resolve({ code: EXIT_HUSK_FAILED, error: String(error) });
      this.#endOver();
    }
  }

  async #startFailed(error: unknown): Promise<void> {
    this.#stopListening();
    this.#record!.startFailed(error);
    if (!this.#task!.autoRemove) return;
    await this.#remove()();
    await this.#removeVolumes();
  }

  #remove(): () => Promise<void> {
    return removeRecordAndFolder(
      { database: this.#database!, store: this.#store!, paths: this.#paths! },
      this.#task!.id,
      this.#record!.attributes(),
    );
  }

  #probe(): void {
    const check = this.#task!.health;
    if (!check) return;
    this.#health = new HealthMonitor({
      check,
      startedAt: this.#startedAt,
      status: this.#record!.health?.status,
      exec: (process) => this.sandbox().exec(process, { stdin: false, terminal: false }),
      record: (result, sinceStart) => this.#record!.probed(result, check, sinceStart),
    });
  }

  #rest(): void {
    this.#health?.stop();
    this.#health = undefined;
  }
}

async function shrink(): Promise<void> {
  const [{ releaseFilePages }, { trimHeap }] = await Promise.all([
    import('../host/memory/file-pages.ts'),
    import('../host/memory/heap.ts'),
  ]);
  trimHeap();
  releaseFilePages();
}
