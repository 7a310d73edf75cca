/** `-f key=value` of `ps` and `prune`: values of one key are or-ed, keys and labels are and-ed. Decides only. */
import { HuskError } from '../errors.ts';
import type { Container, Filters } from './contract.ts';

const STATUSES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];

export interface FilterContext {
  /** image ids an ancestor value stands for: itself and what it is the base of */
  ancestors(value: string): ReadonlySet<string>;
  /** the container a `before` or `since` value names */
  find(value: string): Container;
}

type Predicate = (container: Container, value: string, context: FilterContext) => boolean;

const PREDICATES: Record<string, Predicate> = {
  id: (container, value) => pattern(value).test(container.id),
  name: (container, value) => pattern(value).test(container.name) || pattern(value).test(`/${container.name}`),
  status: (container, value) => container.state.status === value,
  exited: (container, value) => container.state.status === 'exited' && container.state.exitCode === Number(value),
  ancestor: (container, value, context) => context.ancestors(value).has(container.imageId),
  before: (container, value, context) => isOlder(container, context.find(value)),
  since: (container, value, context) => isOlder(context.find(value), container),
  volume: (container, value) => container.config.mounts.some((mount) => mount.name === value || mount.destination === value || (mount.type === 'bind' && mount.source === value)),
  network: (container, value) => networkName(container) === value,
  isolation: (container, value) => container.config.isolation === value,
  publish: (container, value) => container.config.options.publish.some((entry) => shareAPort(entry, value)),
  expose: (container, value) => (container.config.exposed ?? container.config.options.expose).some((entry) => shareAPort(entry, value)),
  health: (container, value) => healthOf(container) === value,
  'is-task': (_container, value) => NO.includes(value.toLowerCase()),
};

const NO = ['false', '0'];
const HEALTH = ['starting', 'healthy', 'unhealthy', 'none'];

/** of one that was never started, Docker's is `none` too */
function healthOf({ state }: Container): string {
  return state.health?.status ?? 'none';
}

/** @throws HuskError `invalid` with Docker's text for an unknown key or a value that cannot be */
export function checkFilters(filters: Filters): void {
  for (const [key, values] of Object.entries(filters)) {
    if (key !== 'label' && !(key in PREDICATES)) throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
    for (const value of values) {
      if (key === 'status' && !STATUSES.includes(value)) throw new HuskError(`invalid filter 'status=${value}'`, { kind: 'invalid' });
      if (key === 'health' && !HEALTH.includes(value)) throw new HuskError(`invalid filter 'health=${value}'`, { kind: 'invalid' });
      if (key === 'is-task' && ![...NO, 'true', '1'].includes(value.toLowerCase())) throw new HuskError(`invalid filter 'is-task=${value}'`, { kind: 'invalid' });
      if (key === 'exited' && !/^\d+$/.test(value)) throw new HuskError(`invalid filter 'exited=${value}'`, { kind: 'invalid' });
      if ((key === 'publish' || key === 'expose') && !PORTS.test(value)) throw new HuskError(`invalid filter '${key}=${value}'`, { kind: 'invalid', fix: 'PORT[-PORT][/PROTOCOL]' });
      if (key === 'name' || key === 'id') pattern(value);
    }
  }
}

export function matches(container: Container, filters: Filters, context: FilterContext): boolean {
  return Object.entries(filters).every(([key, values]) => {
    if (key === 'label') return values.every((value) => hasLabel(container.config.labels, value));
    return values.some((value) => PREDICATES[key]!(container, value, context));
  });
}

/** @throws HuskError `invalid` with Docker's text */
export function checkPruneFilters(filters: Filters): void {
  for (const key of Object.keys(filters)) if (!['label', 'label!', 'until'].includes(key)) throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
}

/** `container prune` knows label, label! and until (a Go duration or a time) */
export function matchPrune(container: Container, filters: Filters, now: number = Date.now()): boolean {
  return Object.entries(filters).every(([key, values]) => {
    if (key === 'label') return values.every((value) => hasLabel(container.config.labels, value));
    if (key === 'label!') return values.every((value) => !hasLabel(container.config.labels, value));
    return values.every((value) => container.createdAt < parseUntil(value, now));
  });
}

/** `key` or `key=value` */
export function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  return equals === -1 ? wanted in labels : labels[wanted.slice(0, equals)] === wanted.slice(equals + 1);
}

export function networkName(container: { config: Pick<Container['config'], 'options'> }): string {
  const { network } = container.config.options;
  return network === '' || network === 'default' ? 'bridge' : network;
}

const UNIT_MS: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** @returns ms since the epoch */
function parseUntil(value: string, now: number): number {
  if (/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(value)) {
    let ms = 0;
    for (const [, amount, , unit] of value.matchAll(/(\d+(\.\d+)?)(h|ms|m|s)/g)) ms += Number(amount) * UNIT_MS[unit!]!;
    return now - ms;
  }
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw new HuskError(`invalid filter 'until=${value}'`, { kind: 'invalid' });
  return time;
}

function isOlder(one: Container, other: Container): boolean {
  return one.createdAt < other.createdAt;
}

const PORTS = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w*))?$/;

/** @param entry `[[ip:][host:]]port[-port][/protocol]`: the container's end counts. @returns undefined: no ports */
function portsOf(entry: string): { first: number; last: number; protocol: string } | undefined {
  const match = PORTS.exec(entry.slice(entry.lastIndexOf(':') + 1));
  return match ? { first: Number(match[1]), last: Number(match[2] ?? match[1]), protocol: match[3] || 'tcp' } : undefined;
}

function shareAPort(one: string, other: string): boolean {
  const [a, b] = [portsOf(one), portsOf(other)];
  return a !== undefined && b !== undefined && a.protocol === b.protocol && a.first <= b.last && b.first <= a.last;
}

/** Docker matches ids and names as regular expressions; the person who types them is the one who waits for them */
function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new HuskError(`invalid filter: "${text}" is not a regular expression`, { kind: 'invalid' });
  }
}
