/**
 * A container's first process from its start to its last output: sandbox, log, listeners, health probes. There is one
 * for each life of the container; what comes before and after is container-life.ts's.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import { elapsed } from '../../long-timer.ts';
import type { LogSink } from '../../logs/sink.ts';
import type { ExitStatus, Sandbox, SandboxProcess } from '../../sandbox.ts';
import { AwaitedClients } from './awaited-clients.ts';
import type { Size } from './control.ts';
import { FanOut } from './fan-out.ts';
import { HealthMonitor } from './health-monitor.ts';
import type { HeldContainer } from './held-container.ts';
import type { OpenSandbox } from './sandboxes.ts';

/**
 * ms: PID 1 has exited, and nothing came for so long, so its output is over. Only a pid namespace that is shared leaves
 * processes that could still write.
 */
const QUIET_MS = 500;
/** ms for which such a process is listened to that never pauses: the container has ended, and must not wait for it */
const MOST_MS = 10_000;

interface Parts {
  container: HeldContainer;
  sandbox: Sandbox;
  process: SandboxProcess;
  log: LogSink;
  awaited: AwaitedClients;
}

export class RunningCommand {
  readonly sandbox: Sandbox;
  readonly process: SandboxProcess;
  readonly output = new FanOut();
  /** who is to be attached before its first byte is read */
  readonly awaited: AwaitedClients;
  readonly #container: HeldContainer;
  readonly #log: LogSink;
  /** of a clock that nobody sets */
  readonly #startedAt = elapsed();
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
      const networks = await container.openNetworks();
      sandbox = await openSandbox(task, container.paths, {
        networks: networks?.begin(),
        names: container.names,
        // whoever starts it hears of it; a restart tells nobody
        onRefused: (text) => {
          if (restarts === 0) container.warnings.push({ text, ofTemplate: true });
        },
      });
      await sandbox.prepare({ stdin: task.openStdin, terminal: task.terminal, ...size });
      const process = await sandbox.start();
      const awaited = container.record.running(process.pid, { restarts, networks: networks?.state });
      return new RunningCommand({ container, sandbox, process, log, awaited: new AwaitedClients(awaited) });
    } catch (error) {
      // why it did not start is what counts
      await log.end().catch(() => {});
      await sandbox?.destroy().catch(() => {});
      throw error;
    }
  }

  private constructor({ container, sandbox, process, log, awaited }: Parts) {
    this.#container = container;
    this.awaited = awaited;
    this.sandbox = sandbox;
    this.process = process;
    this.#log = log;
    process.stdin?.on('error', () => {});
    // before any client: whoever has seen a line finds it in the log
    this.output.add(log);
  }

  /** Lets the command's output flow to the log and to all listeners, and its health be probed. */
  carry(): void {
    const { stdout, stderr } = this.process;
    this.output.addSource(stdout, 'stdout');
    if (stderr) this.output.addSource(stderr, 'stderr');
    this.#probe();
  }

  /** Reads what the command wrote last, after its exit. */
  async drain(): Promise<void> {
    this.#isOver = true;
    this.#rest();
    this.output.ending();
    await this.output.drained(QUIET_MS, MOST_MS);
    // whoever writes still has nobody who reads, and this life's listeners have heard its end
    this.process.stdout.destroy();
    this.process.stderr?.destroy();
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
    await this.#container.networks?.end();
  }

  /** @param options.swapOut its memory goes back to the host. @throws HuskError `unsupported`; then it runs on */
  async pause({ swapOut = false }: { swapOut?: boolean | undefined } = {}): Promise<void> {
    this.#rest();
    try {
      if (swapOut && !this.sandbox.swapOut)
        throw new HuskError(
          `container ${this.#container.task.id} runs in user namespaces, whose memory the host swaps`,
          {
            kind: 'unsupported',
            fix: 'pause it without --swap-out, or run it with --isolation=vm',
          },
        );
      await this.sandbox.pause();
      if (swapOut) await this.#swapOut();
      this.#container.record.paused();
    } catch (error) {
      this.#probe();
      throw error;
    }
  }

  async #swapOut(): Promise<void> {
    const file = join(this.#container.folder, 'swapped');
    // what a killed supervisor left
    rmSync(file, { force: true });
    try {
      await this.sandbox.swapOut!(file);
    } catch (error) {
      await this.sandbox.unpause();
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
