/**
 * Runs one container from claim to exit: claims the record, opens the sandbox, starts the command, records it as
 * running, carries its output, records its exit, removes it when it asked for that, starts it again when its restart
 * policy says so. A supervisor process holds exactly one of these. Never outlives the container, never serves sockets
 * itself (src/supervisor/conversation/ does).
 */
import type { Readable } from 'node:stream';
import type { Resources } from '../../spec.ts';
import { EXIT_HUSK_FAILED, HuskError, TemplateFailed } from '../../errors.ts';
import { after, startTimer } from '../../long-timer.ts';
import type { ExitStatus, FilesRequest, Sandbox, SandboxProcess } from '../../sandbox.ts';
import { IdleMemory } from '../../host/memory/idle-memory.ts';
import type { ConnectNetwork, ContainerControl, Size, Started } from './control.ts';
import { Execs } from './execs.ts';
import { FanOut } from './fan-out.ts';
import { HeldContainer, type Listen } from './held-container.ts';
import { KeptFiles, KEEP_MACHINE } from './kept-files.ts';
import type { LifeState } from './life-state.ts';
import type { Descriptors } from '../protocol/descriptors.ts';
import type { RestartPolicy, Saved, Task } from '../protocol/protocol.ts';
import { asksToEnd, mayRestart, RestartBackOff, shouldRestart } from './restart-policy.ts';
import { RunningCommand } from './running-command.ts';
import type { OpenSandbox } from './sandboxes.ts';
import { span } from '../../trace.ts';

const SIGKILL = 9;
/** seconds; Docker's default grace of stop */
const DEFAULT_STOP_TIMEOUT = 10;
/** ms after a start, when most containers that end at once have ended; and ms after that (IdleMemory) */
const SHRINK_AFTER = [2000, 13_000];

export interface LifeOptions {
  openSandbox: OpenSandbox;
  /** what this process was born with: of a VM's supervisor */
  descriptors?: Descriptors | undefined;
  /** ms; @default KEEP_MACHINE */
  keepFiles?: number | undefined;
  listen: Listen;
}

export class ContainerLife implements ContainerControl {
  readonly execs = new Execs({ sandbox: () => this.sandbox(), record: () => this.#container?.execs });
  /** resolves when nothing is left to supervise: the supervisor then exits */
  readonly over: Promise<void>;
  readonly #options: LifeOptions;
  readonly #memory = new IdleMemory(SHRINK_AFTER);
  readonly #noOutput = new FanOut();
  #state: LifeState = { is: 'unclaimed' };
  #resolveOver!: () => void;
  /** the container is being saved, for which its sandbox has it stand still */
  #saving: Promise<void> | undefined;
  #nextExit = Promise.withResolvers<ExitStatus>();
  /** who wants the container to end, a person or (a logout, a shutdown) its host: it is not started again */
  #endedBy: 'user' | 'host' | undefined;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.over = new Promise((resolve) => (this.#resolveOver = resolve));
  }

  get process(): SandboxProcess | undefined {
    return this.#command?.process;
  }

  get output(): FanOut {
    return this.#command?.output ?? this.#noOutput;
  }

  get terminal(): boolean {
    return this.#container?.task.terminal === true;
  }

  get stdinOnce(): boolean {
    return this.#container?.task.stdinOnce === true;
  }

  /** containers/<id>; undefined before a client named a container */
  get folder(): string | undefined {
    return this.#container?.folder;
  }

  get #container(): HeldContainer | undefined {
    return this.#state.is === 'unclaimed' ? undefined : this.#state.container;
  }

  /** There is one while there is a first process to speak of. */
  get #command(): RunningCommand | undefined {
    return this.#state.is === 'running' || this.#state.is === 'draining' ? this.#state.command : undefined;
  }

  sandbox(): Sandbox {
    return this.#running().sandbox;
  }

  exit(): Promise<ExitStatus> {
    return this.#nextExit.promise;
  }

  record(action: string, attributes?: Record<string, string>): void {
    this.#container?.event(action, attributes);
  }

  settled(): void {
    this.#memory.settled();
  }

  arrived(tokens: readonly string[]): void {
    this.#command?.awaited.arrived(tokens);
  }

  /**
   * The client went before it named a container, or the start failed: nothing to supervise. A start under way goes on.
   */
  abandon(): void {
    const state = this.#state;
    if (state.is === 'unclaimed' || state.is === 'failed') this.#end();
    else if (state.is === 'open') state.kept.leave();
  }

  async start(task: Task, size: Size): Promise<Started> {
    const container = this.#hold(task, 'start');
    const command = await this.#startCommand(container, { restarts: 0, size });
    return {
      pid: command.process.pid,
      warnings: [...container.warnings, ...(container.networks?.warnings ?? [])],
      begin: () => void this.#run(container, command),
    };
  }

  async stop(options: { timeout?: number; signal?: number; byUser?: boolean }): Promise<void> {
    this.#endBy(options.byUser === false ? 'host' : 'user');
    // what is being started is what is stopped
    await this.#startOver();
    const exited = this.exit();
    const state = this.#state;
    switch (state.is) {
      case 'open':
        return state.kept.release();
      case 'running': {
        const { stopSignal, stopTimeout } = state.container.task;
        const timeout = options.timeout ?? stopTimeout ?? DEFAULT_STOP_TIMEOUT;
        this.#send(options.signal ?? stopSignal);
        await this.#thaw();
        if (timeout >= 0)
          void exited.then(startTimer(timeout * 1000, () => this.#state === state && this.#send(SIGKILL)));
        break;
      }
      case 'waiting':
        state.cancel();
        break;
      case 'draining':
      case 'exiting':
        break;
      default:
        return;
    }
    await exited;
  }

  async signal(signal: number, byUser: boolean): Promise<void> {
    const ending = byUser && asksToEnd(signal, this.#container?.task.stopSignal ?? SIGKILL);
    if (ending) {
      this.#endBy('user');
      await this.#startOver();
      if (this.#state.is === 'waiting') return this.#state.cancel();
    }
    this.#send(signal);
    if (ending) await this.#thaw();
  }

  async pause(options: { swapOut?: boolean | undefined }): Promise<void> {
    await this.#saving;
    await this.#running().pause(options);
  }

  async unpause(): Promise<void> {
    await this.#saving;
    await this.#running().unpause();
  }

  /** One after another: the next would take away what is there of the first. */
  async save(): Promise<Saved> {
    if (this.#saving) throw new HuskError('the container is being saved already', { kind: 'conflict' });
    const command = this.#running();
    const saved = this.#container!.save(command.sandbox);
    // who waits for its end asks whether the container runs, and not whether this went well
    this.#saving = saved.then(
      () => {},
      () => {},
    );
    try {
      return await saved;
    } finally {
      this.#saving = undefined;
      this.settled();
    }
  }

  async update(change: { resources?: Resources; restart?: RestartPolicy }): Promise<void> {
    const container = this.#container;
    if (!container) throw this.#isNotRunning();
    const { task } = container;
    if (change.restart && change.restart.name !== 'no' && !mayRestart(task))
      throw new HuskError(
        `cannot give the running container ${task.id} a restart policy: its virtual machine monitor has given up the right to make another machine`,
        { kind: 'unsupported', fix: 'stop it, update it, start it again' },
      );
    if (change.resources) {
      await this.#startOver();
      // there is none while it waits for its next start
      if (this.#state.is === 'running') await this.#state.command.sandbox.update(change.resources);
      // the next start by the restart policy has them too
      task.spec = {
        ...task.spec,
        linux: { ...task.spec.linux, resources: { ...task.spec.linux.resources, ...change.resources } },
      };
      // its next machine is one for these
      task.size = undefined;
    }
    if (change.restart) container.policy = change.restart;
  }

  async connectNetwork(asked: ConnectNetwork): Promise<void> {
    await this.#startOver();
    const { process } = this.#running();
    const container = this.#container!;
    const networks = await container.openNetworks(asked.networks);
    await networks?.connect(process.pid, asked);
    container.record.onNetworks(networks?.state);
  }

  async disconnectNetwork(networkId: string): Promise<void> {
    await this.#startOver();
    const { process } = this.#running();
    const { networks, record } = this.#container!;
    await networks?.disconnect(process.pid, networkId);
    record.onNetworks(networks?.state);
  }

  /** A container that does not run is claimed, so that nobody starts or removes it while its files are used. */
  async open(task: Task): Promise<void> {
    const container = this.#hold(task, 'copy');
    this.#state = { is: 'opening', container };
    const keep = task.isolation === 'vm' ? (this.#options.keepFiles ?? KEEP_MACHINE) : 0;
    let sandbox: Sandbox | undefined;
    try {
      container.makeFolder();
      // before the machine runs: from then on this process may open no socket
      if (keep > 0) container.listen(this.#options.listen);
      sandbox = await this.#options.openSandbox(task, container.paths);
      await sandbox.open();
    } catch (error) {
      await container.releaseFiles(sandbox).catch(() => {});
      this.#state = { is: 'failed', container };
      throw error;
    }
    const close = () => void this.#close(container, sandbox);
    this.#state = { is: 'open', container, sandbox, kept: new KeptFiles(close, { keep }) };
  }

  files(request: FilesRequest, input?: Readable): Readable {
    const state = this.#state;
    return (state.is === 'open' ? state.sandbox : this.sandbox()).files(request, input);
  }

  joinFiles(): void {
    if (this.#state.is !== 'open' || !this.#state.kept.join())
      throw new HuskError(`the files of container ${this.#container?.task.id} are not open`, { kind: 'conflict' });
  }

  leaveFiles(): void {
    if (this.#state.is === 'open') this.#state.kept.leave();
  }

  releaseFiles(): void {
    if (this.#state.is === 'open') this.#state.kept.release();
  }

  /** @throws HuskError `conflict` for a second container, and for one that another process holds */
  #hold(task: Task, operation: 'start' | 'copy'): HeldContainer {
    if (this.#state.is !== 'unclaimed')
      throw new HuskError(`this supervisor is of container ${this.#container?.task.id}`, { kind: 'conflict' });
    const container = new HeldContainer(task, this.#options.descriptors);
    try {
      container.record.claim(operation, { given: task.machine !== undefined });
    } catch (error) {
      this.#state = { is: 'failed', container };
      throw error;
    }
    return container;
  }

  /** After a failure the container is `failed`, and its record says why. */
  async #startCommand(container: HeldContainer, start: { restarts: number; size: Size }): Promise<RunningCommand> {
    using _starting = span('start the container');
    const over = Promise.withResolvers<void>();
    this.#state = { is: 'starting', container, over: over.promise };
    try {
      if (start.restarts === 0) {
        container.makeFolder();
        container.listen(this.#options.listen);
      }
      const command = await RunningCommand.start(container, this.#options.openSandbox, start);
      this.#state = { is: 'running', container, command };
      return command;
    } catch (error) {
      // what cannot be written now is put right by whoever looks next: this process and its claim end
      const isOver = error instanceof TemplateFailed && start.restarts === 0;
      await (isOver ? container.startAgain() : container.startFailed(error)).catch(() => {});
      this.#state = { is: 'failed', container };
      throw error;
    } finally {
      over.resolve();
    }
  }

  /**
   * The lives of a container, one after another, to the end of the last. Never rejects: whatever fails on the way,
   * whoever waits hears of it, and this supervisor ends; the record is put right by whoever looks next.
   */
  async #run(container: HeldContainer, first: RunningCommand): Promise<void> {
    const backOff = new RestartBackOff();
    /** how the life ended that exited last; undefined while there is another */
    let status: ExitStatus | undefined;
    try {
      let command = first;
      for (let restarts = 0; ; restarts++) {
        backOff.started();
        await command.awaited.all();
        command.carry();
        this.settled();
        status = await command.process.exited;
        await this.#endCommand(container, command, status);
        const ending = this.#endedBy !== undefined;
        if (!shouldRestart(container.policy, { exitCode: status.code, ending, restarts })) {
          await this.#recordEnd(container, status);
          break;
        }
        if (!(await this.#waitForRestart(container, status, backOff.next()))) {
          container.stopListening();
          await container.networks?.release();
          container.record.restartCancelled(this.#endedBy === 'user');
          this.#nextExit.resolve({ code: 0 });
          break;
        }
        status = undefined;
        command = await this.#startCommand(container, { restarts: restarts + 1, size: {} });
      }
    } catch (error) {
      container.stopListening();
      if (status) status.error ??= error instanceof Error ? error.message : String(error);
      this.#nextExit.resolve(status ?? { code: EXIT_HUSK_FAILED, error: String(error) });
    }
    this.#end();
  }

  async #endCommand(container: HeldContainer, command: RunningCommand, status: ExitStatus): Promise<void> {
    using _ending = span('end the container');
    this.#state = { is: 'draining', container, command };
    await command.drain();
    this.#state = { is: 'exiting', container };
    await command.giveBack(status);
    await this.execs.endAll();
  }

  /** @returns true when the time has come, false when the restart was cancelled */
  #waitForRestart(container: HeldContainer, status: ExitStatus, delay: number): Promise<boolean> {
    container.record.exited(status, 'restarting', this.#endedBy === 'user');
    const announced = this.#nextExit;
    this.#nextExit = Promise.withResolvers();
    announced.resolve(status);
    setImmediate(() => container.networks?.clear());
    const cancelled = new AbortController();
    this.#state = { is: 'waiting', container, cancel: () => cancelled.abort() };
    return after(delay, { signal: cancelled.signal }).then(
      () => true,
      () => false,
    );
  }

  async #recordEnd(container: HeldContainer, status: ExitStatus): Promise<void> {
    const removing = container.task.autoRemove;
    container.stopListening();
    await container.networks?.release();
    container.record.exited(status, removing ? 'removing' : 'exited', this.#endedBy === 'user');
    // the name is free and the record gone before a client hears of the exit; the bytes follow
    const deleteBytes = removing ? container.remove() : undefined;
    // as are its anonymous volumes, which are seen, where the container's own bytes are not
    if (removing) await container.removeVolumes();
    using _removing = span('announce the exit and delete the files');
    this.#nextExit.resolve(status);
    // clients hear of it in this turn of the event loop: no byte is deleted while they wait
    await new Promise((heard) => setImmediate(heard));
    container.networks?.clear();
    await deleteBytes?.();
  }

  /**
   * Never rejects: what cannot be written now is put right by whoever looks next, since this process and its claim end.
   */
  async #close(container: HeldContainer, sandbox: Sandbox): Promise<void> {
    this.#state = { is: 'closing', container };
    await container.releaseFiles(sandbox).catch(() => {});
    this.#end();
  }

  #end(): void {
    this.#state = { is: 'ended', container: this.#container };
    this.#resolveOver();
  }

  /** The restart policy rests from here on. What a person has ended stays ended by that person. */
  #endBy(who: 'user' | 'host'): void {
    if (this.#endedBy !== 'user') this.#endedBy = who;
  }

  async #startOver(): Promise<void> {
    if (this.#state.is === 'starting') await this.#state.over;
  }

  #send(signal: number): void {
    this.sandbox().signal(signal);
    this.record('kill', { signal: String(signal) });
  }

  /** What is frozen cannot end, but of SIGKILL: it may have done so already. */
  async #thaw(): Promise<void> {
    if (this.#container?.record.status !== 'paused') return;
    await this.unpause().catch((error: unknown) => {
      if (this.process) throw error;
    });
  }

  #running(): RunningCommand {
    if (!this.#command) throw this.#isNotRunning();
    return this.#command;
  }

  #isNotRunning(): HuskError {
    return new HuskError(`container ${this.#container?.task.id} is not running`, { kind: 'conflict' });
  }
}
