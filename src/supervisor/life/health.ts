/**
 * What the results of health probes make of a container: Docker's rules, as pure functions. Who runs the probes is
 * health-monitor.ts. Source: moby daemon/health.go; the reference of HEALTHCHECK.
 */
import type { HealthResult, HealthState } from '../../state/containers.ts';
import type { HealthCheck } from '../protocol/protocol.ts';

/** results kept */
const MAX_RESULTS = 5;
/** bytes of a probe's output kept; the rest is read and dropped */
const MAX_PROBE_OUTPUT = 4096;
/** exit code of a probe that has none: it timed out, or could not be started */
export const NO_EXIT_CODE = -1;

/** A life begins: the results of the one before are still to be seen. */
export function startingHealth(before: HealthState | undefined): HealthState {
  return { status: 'starting', failingStreak: 0, log: before?.log ?? [] };
}

/** Nobody probes: stopped, paused, or without a supervisor. Docker calls that unhealthy. */
export function restingHealth(health: HealthState): HealthState {
  return { ...health, status: 'unhealthy' };
}

/**
 * @param sinceStart ms from the container's start to the probe's: failures in the start period do not count until one
 * has succeeded
 */
export function healthAfter(
  health: HealthState,
  result: HealthResult,
  check: Pick<HealthCheck, 'retries' | 'startPeriod'>,
  sinceStart: number,
): HealthState {
  const log = [...health.log, result].slice(-MAX_RESULTS);
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  if (health.status === 'starting' && sinceStart < check.startPeriod) return { ...health, log };
  const failingStreak = health.failingStreak + 1;
  return { status: failingStreak >= check.retries ? 'unhealthy' : health.status, failingStreak, log };
}

/** @returns ms until the next probe */
export function probeDelay(
  status: HealthState['status'],
  check: Pick<HealthCheck, 'interval' | 'startInterval' | 'startPeriod'>,
  sinceStart: number,
): number {
  return sinceStart < check.startPeriod && status === 'starting' ? check.startInterval : check.interval;
}

/** @returns Docker's words, with the duration as Go writes it (1m30s, 500ms) */
export function timeoutMessage(timeout: number, output: string): string {
  return `Health check exceeded timeout (${goDuration(timeout)})${output === '' ? '' : `: ${output}`}`;
}

/** Go's time.Duration.String, of whole milliseconds. */
export function goDuration(ms: number): string {
  if (ms < 1000) return ms === 0 ? '0s' : `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${(ms % 60_000) / 1000}s`;
}

/** A probe's stdout and stderr as they come, bounded: a probe that floods costs no memory. */
export class ProbeOutput {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #cut = false;

  push(chunk: Buffer): void {
    const kept = chunk.subarray(0, MAX_PROBE_OUTPUT - this.#bytes);
    // a copy: a slice would keep the whole chunk alive
    if (kept.length > 0) this.#chunks.push(Buffer.from(kept));
    this.#bytes += kept.length;
    if (kept.length < chunk.length) this.#cut = true;
  }

  toString(): string {
    return Buffer.concat(this.#chunks).toString('utf8') + (this.#cut ? '...' : '');
  }
}
