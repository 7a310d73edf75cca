/** HEALTHCHECK: its command and its durations. Pure. Source: the Dockerfile reference; error texts are BuildKit's. */
import { HuskError } from '../../../errors.ts';
import { parseDuration } from '../../../notation/durations.ts';
import { goQuote } from '../../../notation/quoting.ts';
import type { ImageConfig } from '../../store/contract.ts';
import type { Flags } from './flags.ts';

type Healthcheck = NonNullable<NonNullable<ImageConfig['config']>['Healthcheck']>;

/** nanoseconds; Docker refuses shorter durations: container.MinimumDuration */
const MINIMUM_DURATION = 1e6;
const DURATIONS = {
  interval: 'Interval',
  timeout: 'Timeout',
  'start-period': 'StartPeriod',
  'start-interval': 'StartInterval',
} as const;

const invalid = (message: string) => new HuskError(message, { kind: 'invalid' });

/** @throws HuskError `invalid` */
export function healthcheck({ args, json }: { args: string[]; json: boolean }, flags: Flags): Healthcheck {
  const [type, ...command] = args;
  switch (type!.toUpperCase()) {
    case 'NONE':
      if (command.length > 0) throw invalid('HEALTHCHECK NONE takes no arguments');
      return { Test: ['NONE'] };
    case 'CMD':
      if (command.length === 0) throw invalid('Missing command after HEALTHCHECK CMD');
      return { Test: [json ? 'CMD' : 'CMD-SHELL', ...command], ...durations(flags), ...retries(flags) };
    default:
      throw invalid(`Unknown type ${goQuote(type!.toUpperCase())} in HEALTHCHECK (try CMD)`);
  }
}

function durations(flags: Flags): Healthcheck {
  const result: Healthcheck = {};
  for (const [flag, key] of Object.entries(DURATIONS)) {
    const text = flags.get(flag)?.[0];
    if (text === undefined || text === '') continue;
    const duration = nanoseconds(text);
    if (duration !== 0 && duration < MINIMUM_DURATION)
      throw invalid(`Interval ${goQuote(flag)} cannot be less than 1ms`);
    if (duration !== 0) result[key] = duration;
  }
  return result;
}

function retries(flags: Flags): Healthcheck {
  const text = flags.get('retries')?.[0] ?? '';
  if (text === '') return {};
  if (!/^-?\d{1,9}$/.test(text)) throw invalid(`--retries must be a number (not ${text})`);
  if (text.startsWith('-')) throw invalid(`--retries cannot be negative (${text})`);
  return Number(text) === 0 ? {} : { Retries: Number(text) };
}

function nanoseconds(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw invalid((error as Error).message);
  }
}
