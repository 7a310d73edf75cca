/** What a guest's agent answers, made of the right shape: a guest says what it likes. */
import type { BlockStats, InterfaceStats, SandboxStats } from '../../sandbox.ts';

/** of each map and list of a sample; memory.stat of Linux 6.12 has some seventy */
const MAX_ENTRIES = 128;
/** of memory.stat, and of an interface: IFNAMSIZ without its end */
const MEMORY_NAME = /^[a-z][a-z0-9_]{0,31}$/;
const INTERFACE_NAME = /^[\w.@-]{1,15}$/;

export function checkStats(answer: unknown): SandboxStats {
  const value = fields(answer);
  return {
    ...counts(value, [
      'cpuNanoseconds',
      'memoryBytes',
      'memoryLimitBytes',
      'pids',
      'networkReceivedBytes',
      'networkSentBytes',
      'blockReadBytes',
      'blockWrittenBytes',
    ]),
    pidsLimit: value['pidsLimit'] === undefined ? undefined : count(value['pidsLimit']),
    ...counts(
      value,
      (['userNanoseconds', 'systemNanoseconds', 'memoryUsageBytes'] as const).filter((name) =>
        Object.hasOwn(value, name),
      ),
    ),
    ...(isFields(value['throttling']) && {
      throttling: counts(value['throttling'], ['periods', 'throttledPeriods', 'throttledNanoseconds']),
    }),
    ...(isFields(value['memory']) && { memory: named(value['memory'], MEMORY_NAME, count) }),
    ...(isFields(value['interfaces']) && { interfaces: named(value['interfaces'], INTERFACE_NAME, interfaceStats) }),
    ...(Array.isArray(value['blocks']) && { blocks: value['blocks'].slice(0, MAX_ENTRIES).map(blockStats) }),
  };
}

/** @returns whether a program of the guest watches the shares */
export const checkWatched = (answer: unknown): boolean => isFields(answer) && answer['watched'] === true;

const interfaceStats = (value: unknown): InterfaceStats =>
  counts(fields(value), [
    'receivedBytes',
    'receivedPackets',
    'receiveErrors',
    'receiveDropped',
    'sentBytes',
    'sentPackets',
    'sendErrors',
    'sendDropped',
  ]);

const blockStats = (value: unknown): BlockStats =>
  counts(fields(value), ['major', 'minor', 'readBytes', 'writtenBytes']);

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const fields = (value: unknown): Fields => (isFields(value) ? value : {});

/** @returns 0 for what is no count */
const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0;

function counts<Name extends string>(value: Fields, names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, count(value[name])])) as Record<Name, number>;
}

/** The first entries that have names as they can be; the rest is left out. */
function named<T>(value: Fields, name: RegExp, read: (value: unknown) => T): Record<string, T> {
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => name.test(key) && key !== '__proto__')
      .slice(0, MAX_ENTRIES)
      .map(([key, each]) => [key, read(each)]),
  );
}

export const checkPids = (answer: unknown): number[] =>
  Array.isArray(answer) ? answer.filter((pid) => Number.isSafeInteger(pid)) : [];

/** @returns the bytes on the writable disk, where the agent has said a number */
export function checkWritten(answer: unknown): number | undefined {
  const written = (answer as { written?: unknown } | null | undefined)?.written;
  return Number.isSafeInteger(written) && (written as number) >= 0 ? (written as number) : undefined;
}
