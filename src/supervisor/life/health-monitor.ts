/**
 * Probes a running container: one probe at a time, by exec in it, for as long as the container runs and is not paused.
 * A probe over its timeout is killed with everything in its process group, and no other begins before it has ended, so
 * probes never pile up. Knows no records.
 */
import type { ProcessSpec } from '../../spec.ts';
import { elapsed, within } from '../../long-timer.ts';
import type { SandboxProcess } from '../../sandbox.ts';
import type { HealthResult, HealthState } from '../../state/containers.ts';
import { rfc3339 } from '../../state/time.ts';
import { FanOut } from './fan-out.ts';
import { NO_EXIT_CODE, probeDelay, ProbeOutput, timeoutMessage } from './health.ts';
import type { HealthCheck } from '../protocol/protocol.ts';

const SIGKILL = 9;
/** ms after a probe's exit in which nothing came: children of it may hold its output open */
const QUIET_MS = 200;
/** ms they are listened to at most: one that never falls silent is no probe any more */
const DRAIN_MS = 1000;

export interface HealthMonitorOptions {
  check: HealthCheck;
  exec(process: ProcessSpec): Promise<SandboxProcess>;
  /** @param sinceStart ms from the container's start to the probe's. @returns what the container is now */
  record(result: HealthResult, sinceStart: number): HealthState['status'];
  /** elapsed() of the container's start: a stepped wall clock changes nothing */
  startedAt: number;
  /** @default 'starting' */
  status?: HealthState['status'];
}

interface Probe {
  /** resolves when its process has ended and been read; never rejects */
  ended: Promise<HealthResult>;
  output: ProbeOutput;
  kill(): void;
}

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #stop = Promise.withResolvers<'stopped'>();
  #stopped = false;
  #probe: Probe | undefined;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
    void this.#run();
  }

  /** No result is recorded afterwards. A probe under way is killed. */
  stop(): void {
    this.#stopped = true;
    this.#stop.resolve('stopped');
    this.#probe?.kill();
  }

  async #run(): Promise<void> {
    const { check, startedAt } = this.#options;
    let status = this.#options.status ?? 'starting';
    for (;;) {
      await this.#within(new Promise(() => {}), probeDelay(status, check, elapsed() - startedAt));
      if (this.#stopped) return;
      const start = rfc3339();
      const sinceStart = elapsed() - startedAt;
      const probe = (this.#probe = this.#begin(start));
      const outcome = await this.#within(probe.ended, check.timeout);
      if (this.#stopped) return;
      if (outcome === 'late') {
        probe.kill();
        status = this.#recorded(
          {
            start,
            end: rfc3339(),
            exitCode: NO_EXIT_CODE,
            output: timeoutMessage(check.timeout, String(probe.output)),
          },
          sinceStart,
          status,
        );
        await this.#within(probe.ended);
      } else if (outcome !== 'stopped') status = this.#recorded(outcome, sinceStart, status);
      if (this.#stopped) return;
      this.#probe = undefined;
    }
  }

  /** What a full disk does not take now, it may take at the next probe: the container goes on. */
  #recorded(result: HealthResult, sinceStart: number, before: HealthState['status']): HealthState['status'] {
    try {
      return this.#options.record(result, sinceStart);
    } catch {
      return before;
    }
  }

  /** Waits for a promise, a number of ms at most, and not beyond `stop`. */
  async #within<T>(promise: Promise<T>, ms?: number): Promise<T | 'late' | 'stopped'> {
    const first = Promise.race([promise, this.#stop.promise]);
    return ms === undefined ? first : within(first, ms);
  }

  #begin(start: string): Probe {
    const output = new ProbeOutput();
    let process: SandboxProcess | undefined;
    let killed = false;
    const kill = () => {
      killed = true;
      process?.signal(SIGKILL, { group: true });
    };
    const run = async (): Promise<HealthResult> => {
      let exitCode = NO_EXIT_CODE;
      try {
        process = await this.#options.exec(this.#options.check.process);
        if (killed) kill();
        const streams = new FanOut();
        for (const stream of [process.stdout, process.stderr])
          if (stream) streams.addSource(stream, 'stdout', (chunk) => output.push(chunk));
        exitCode = (await process.exited).code;
        await this.#within(streams.drained(QUIET_MS), DRAIN_MS);
        process.stdout.destroy();
        process.stderr?.destroy();
      } catch (error) {
        output.push(Buffer.from(error instanceof Error ? error.message : String(error)));
      }
      return { start, end: rfc3339(), exitCode, output: String(output) };
    };
    return { ended: run(), output, kill };
  }
}
