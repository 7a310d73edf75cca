/** `-f key=value` of `ps` and `prune`: values of one key are or-ed, keys and labels are and-ed. Decides only. */
import { HuskError } from '../../errors.ts';
import { goPattern } from '../../notation/go-pattern.ts';
import { hasLabel } from '../../notation/labels.ts';
import { parseMomentMs } from '../../notation/moments.ts';
import { publishedEnds, readPorts, sharePort } from '../../notation/ports.ts';
import type { Container, Filters } from '../contract.ts';

const STATUSES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];

export interface FilterContext {
  /** image ids an ancestor value stands for: itself and what it is the base of */
  ancestors(value: string): ReadonlySet<string>;
  /** the container a `before` or `since` value names */
  find(value: string): Container;
  /** the networks a container is to be on */
  networks(container: Container): readonly { id: string; name: string }[];
}

/** What one value of a filter asks of a container. Looked up and compiled once, then asked of each. */
type Test = (container: Container) => boolean;

/** A Map: a filter named `constructor` is not one that every object has. */
const TESTS = new Map<string, (value: string, context: FilterContext) => Test>([
  ['id', named('id', (container) => [container.id])],
  // Docker's names begin with a slash, and a pattern may say so
  ['name', named('name', (container) => [container.name, `/${container.name}`])],
  ['status', oneOf('status', STATUSES, (container) => container.state.status)],
  ['health', oneOf('health', ['starting', 'healthy', 'unhealthy', 'none'], healthOf)],
  ['exited', exitedWith],
  [
    'ancestor',
    (value, context) => {
      let ids: ReadonlySet<string> | undefined;
      return (container) => (ids ??= context.ancestors(value)).has(container.imageId);
    },
  ],
  [
    'before',
    (value, context) => {
      const other = context.find(value);
      return (container) => isOlder(container, other);
    },
  ],
  [
    'since',
    (value, context) => {
      const other = context.find(value);
      return (container) => isOlder(other, container);
    },
  ],
  [
    'volume',
    (value) =>
      ({ config }) =>
        config.mounts.some(({ type, name, source, destination }) => {
          if (name === value || destination === value) return true;
          return (type === 'bind' || type === 'image') && source === value;
        }),
  ],
  [
    'network',
    (value, context) => (container) =>
      context.networks(container).some(({ id, name }) => name === value || id === value),
  ],
  [
    'isolation',
    (value) =>
      ({ config }) =>
        config.isolation === value,
  ],
  ['publish', sharingPorts('publish', ({ config }) => publishedEnds(config.options.publish))],
  ['expose', sharingPorts('expose', ({ config }) => config.exposed ?? config.options.expose)],
  ['is-task', isTask],
]);

/**
 * A predicate of the filters of `ps`. Everything that can be wrong with them is found here, before the first container
 * is looked at.
 * @throws HuskError `invalid` with Docker's text for an unknown key or a value that cannot be
 */
export function containerFilter(filters: Filters, context: FilterContext): Test {
  const tests = Object.entries(filters).map(([key, values]): Test => {
    if (key === 'label') return ({ config }) => values.every((value) => hasLabel(config.labels, value));
    const test = TESTS.get(key);
    if (!test) throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
    const asked = values.map((value) => test(value, context));
    return (container) => asked.some((each) => each(container));
  });
  return (container) => tests.every((test) => test(container));
}

/**
 * Docker (api/types/filters, `Match`) takes a value as the thing itself, else as a regular expression that may match
 * anywhere in it.
 */
function named(key: string, texts: (container: Container) => string[]): (value: string) => Test {
  return (value) => {
    const matches = goPattern(value, `filter ${key}`);
    return (container) => texts(container).some((text) => text === value || matches(text));
  };
}

function oneOf(key: string, known: readonly string[], of: (container: Container) => string): (value: string) => Test {
  return (value) => {
    if (!known.includes(value)) throw invalid(key, value);
    return (container) => of(container) === value;
  };
}

/** @returns Docker's word; `none` for a container that was never started, too */
function healthOf({ state }: Container): string {
  return state.health?.status ?? 'none';
}

function exitedWith(value: string): Test {
  if (!/^[+-]?\d{1,10}$/.test(value)) throw invalid('exited', value);
  return ({ state }) => state.status === 'exited' && state.exitCode === Number(value);
}

function sharingPorts(key: string, of: (container: Container) => string[]): (value: string) => Test {
  return (value) => {
    const wanted = readPorts(value);
    if (!wanted)
      throw new HuskError(`invalid filter '${key}=${value}'`, { kind: 'invalid', fix: 'PORT[-PORT][/PROTOCOL]' });
    return (container) =>
      of(container).some((text) => {
        const ports = readPorts(text);
        return ports !== undefined && sharePort(ports, wanted);
      });
  };
}

/** Swarm's tasks: husk has none */
function isTask(value: string): Test {
  const wanted = value.toLowerCase();
  if (!['false', '0', 'true', '1'].includes(wanted)) throw invalid('is-task', value);
  return () => wanted === 'false' || wanted === '0';
}

function invalid(key: string, value: string): HuskError {
  return new HuskError(`invalid filter '${key}=${value}'`, { kind: 'invalid' });
}

/**
 * A predicate of the filters of `container prune`: label, label! and until (a Go duration or a time).
 * @throws HuskError `invalid` with Docker's text
 */
export function pruneFilter(filters: Filters, now: number = Date.now()): Test {
  const tests = Object.entries(filters).map(([key, values]): Test => {
    if (key === 'label') return ({ config }) => values.every((value) => hasLabel(config.labels, value));
    if (key === 'label!') return ({ config }) => values.every((value) => !hasLabel(config.labels, value));
    if (key !== 'until') throw new HuskError(`invalid filter '${key}'`, { kind: 'invalid' });
    const times = values.map((value) => parseUntil(value, now));
    return (container) => times.every((time) => container.createdAt < time);
  });
  return (container) => tests.every((test) => test(container));
}

/** @returns ms since the epoch */
function parseUntil(value: string, now: number): number {
  try {
    return parseMomentMs(value, now);
  } catch {
    throw invalid('until', value);
  }
}

function isOlder(one: Container, other: Container): boolean {
  return one.createdAt < other.createdAt;
}
