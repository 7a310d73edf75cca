/**
 * A container's first process from its start to its last output: sandbox, log, listeners, health probes. There is one
 * for each life of the container; what comes before and after is container-life.ts's.
 */
import type { LogSink } from '../../logs/sink.ts';
import type { ExitStatus, Sandbox, SandboxProcess } from '../../sandbox.ts';
import type { Size } from './control.ts';
import { FanOut } from './fan-out.ts';
import { HealthMonitor } from './health-monitor.ts';
import type { HeldContainer } from './held-container.ts';
import type { OpenSandbox } from './sandboxes.ts';

/** After PID 1's exit its output is over when nothing came for so long: only a shared pid namespace leaves holders. */
const QUIET_MS = 500;

interface Parts {
  container: HeldContainer;
  sandbox: Sandbox;
  process: SandboxProcess;
  log: LogSink;
}

export class RunningCommand {
  readonly sandbox: Sandbox;
  readonly process: SandboxProcess;
  readonly output = new FanOut();
  readonly #container: HeldContainer;
  readonly #log: LogSink;
  /** of a clock that nobody sets */
  readonly #startedAt = performance.now();
  /** rests while the container is paused, and after the exit */
  #health: HealthMonitor | undefined;
  #isOver = false;

  /** Starts the command and records that it runs; its output is held until `carry`. */
  static async start(
    container: HeldContainer,
    openSandbox: OpenSandbox,
    { restarts, size }: { restarts: number; size: Size },
  ): Promise<RunningCommand> {
    const { task } = container;
    const log = await container.openLog();
    let sandbox: Sandbox | undefined;
    try {
      sandbox = await openSandbox(task, container.paths);
      await sandbox.prepare({ stdin: task.openStdin, terminal: task.terminal, ...size });
      const process = await sandbox.start();
      container.record.running(process.pid, restarts);
      return new RunningCommand({ container, sandbox, process, log });
    } catch (error) {
      // why it did not start is what counts
      await log.end().catch(() => {});
      await sandbox?.destroy().catch(() => {});
      throw error;
    }
  }

  private constructor({ container, sandbox, process, log }: Parts) {
    this.#container = container;
    this.sandbox = sandbox;
    this.process = process;
    this.#log = log;
    process.stdin?.on('error', () => {});
  }

  /** Its output flows to the log and to who listens, and its health is probed. */
  carry(): void {
    const { stdout, stderr } = this.process;
    this.output.add(this.#log);
    this.output.addSource(stdout, 'stdout');
    if (stderr) this.output.addSource(stderr, 'stderr');
    this.#probe();
  }

  /** After the exit: reads what it wrote last. */
  async drain(): Promise<void> {
    this.#isOver = true;
    this.#rest();
    await this.output.drained(QUIET_MS);
    this.output.delete(this.#log);
    // what its last lines meet, a full disk say, is told by onTrouble; the container has ended all the same
    await this.#log.end().catch((error: unknown) => this.#container.event('log_error', { error: String(error) }));
  }

  /** Gives the sandbox back. A failure becomes part of how the command ended. */
  async giveBack(status: ExitStatus): Promise<void> {
    try {
      this.#container.record.measured(await this.sandbox.destroy());
    } catch (error) {
      status.error ??= error instanceof Error ? error.message : String(error);
    }
  }

  async pause(): Promise<void> {
    this.#rest();
    try {
      await this.sandbox.pause();
      this.#container.record.paused();
    } catch (error) {
      this.#probe();
      throw error;
    }
  }

  async unpause(): Promise<void> {
    await this.sandbox.unpause();
    this.#container.record.unpaused();
    this.#probe();
  }

  #probe(): void {
    const { task, record } = this.#container;
    const check = task.health;
    if (!check || this.#isOver) return;
    this.#rest();
    this.#health = new HealthMonitor({
      check,
      startedAt: this.#startedAt,
      status: record.health?.status,
      exec: (process) => this.sandbox.exec(process, { stdin: false, terminal: false }),
      record: (result, sinceStart) => record.probed(result, check, sinceStart),
    });
  }

  #rest(): void {
    this.#health?.stop();
    this.#health = undefined;
  }
}
