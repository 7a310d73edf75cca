/**
 * Health checks: the image's and what was asked for as one, checked, with Docker's defaults. Pure.
 * Source: moby daemon/commit.go `merge`, daemon/container.go validateHealthCheck, daemon/health.go.
 */
import type { Spec } from '../../../spec.ts';
import { HuskError } from '../../../errors.ts';
import type { ImageConfig } from '../../../images/store/contract.ts';
import type { HealthCheck } from '../../../supervisor/protocol/protocol.ts';
import type { ContainerConfig } from '../../contract.ts';
import { buildExec } from './build.ts';

/**
 * Docker's health check of an image: Test is `NONE`, `CMD` and words, or `CMD-SHELL` and a line; durations are in ns; 0
 * and absent mean the default.
 */
export type Healthcheck = NonNullable<NonNullable<ImageConfig['config']>['Healthcheck']>;

const NS_PER_MS = 1e6;
/** ms */
const DEFAULT_INTERVAL = 30_000;
const DEFAULT_TIMEOUT = 30_000;
const DEFAULT_START_INTERVAL = 5000;
const DEFAULT_RETRIES = 3;
/** ms; beyond 31 bits a timer of Node's fires at once */
const MAX_DURATION = 2 ** 31 - 1;
const DEFAULT_SHELL = ['/bin/sh', '-c'];

/** Fields that were not asked for are the image's. @returns undefined when neither has any */
export function mergeHealthcheck(
  asked: Healthcheck | undefined,
  image: Healthcheck | null | undefined,
): Healthcheck | undefined {
  if (!asked || !image) return asked ?? image ?? undefined;
  return {
    Test: asked.Test?.length ? asked.Test : image.Test,
    Interval: asked.Interval || image.Interval,
    Timeout: asked.Timeout || image.Timeout,
    StartPeriod: asked.StartPeriod || image.StartPeriod,
    StartInterval: asked.StartInterval || image.StartInterval,
    Retries: asked.Retries || image.Retries,
  };
}

/** @throws HuskError `invalid` in Docker's words */
export function checkHealthcheck(check: Healthcheck | undefined): void {
  for (const name of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const)
    if ((check?.[name] ?? 0) !== 0 && check![name]! < NS_PER_MS)
      throw invalid(`${name} in Healthcheck cannot be less than 1ms`);
  if ((check?.Retries ?? 0) < 0) throw invalid('Retries in Healthcheck cannot be negative');
}

/** @returns undefined where nothing is probed: no test, `NONE`, or (Docker only warns of it) a kind nobody knows */
export function healthCheck(
  config: ContainerConfig,
  spec: Spec,
  shell: readonly string[] | undefined,
): HealthCheck | undefined {
  const check = config.healthcheck;
  const [kind, ...words] = check?.Test ?? [];
  const command =
    kind === 'CMD' ? words : kind === 'CMD-SHELL' ? [...(shell?.length ? shell : DEFAULT_SHELL), ...words] : [];
  if (command.length === 0) return undefined;
  const ms = (duration: number | undefined, otherwise: number) =>
    duration ? Math.min(MAX_DURATION, Math.max(1, duration / NS_PER_MS)) : otherwise;
  return {
    // the container's user, folder and environment, never a terminal
    process: buildExec(config, spec, {
      command,
      interactive: false,
      tty: false,
      detach: false,
      env: [],
      privileged: false,
    }),
    interval: ms(check?.Interval, DEFAULT_INTERVAL),
    timeout: ms(check?.Timeout, DEFAULT_TIMEOUT),
    startPeriod: ms(check?.StartPeriod, 0),
    startInterval: ms(check?.StartInterval, DEFAULT_START_INTERVAL),
    retries: check?.Retries && check.Retries > 0 ? check.Retries : DEFAULT_RETRIES,
  };
}

function invalid(message: string): HuskError {
  return new HuskError(message, { kind: 'invalid', exitCode: 125 });
}
