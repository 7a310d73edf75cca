/**
 * Finds the route of a request by its method and path. A path is decoded first and then cut at its slashes, as Docker
 * does, so that `%2f` is a slash and `%2e%2e` is `..`; a path with an empty segment, `.`, `..` or NUL is nobody's.
 */
import type { ApiVersion, Method, Route } from './contract.ts';
import { NEWEST, readVersion } from './version.ts';

export interface Match {
  route: Route;
  parameters: Readonly<Record<string, string>>;
  /** the path's text: `1.44`; undefined where it has none */
  version: string | undefined;
}

interface Pattern {
  route: Route;
  /** `{ name: 'id' }` is a segment of any text */
  before: readonly Segment[];
  /** the name of `{name*}`, which stands for one segment or more */
  many: string | undefined;
  after: readonly Segment[];
}
type Segment = string | { name: string };

const METHODS: ReadonlySet<string> = new Set<Method>(['GET', 'HEAD', 'POST', 'PUT', 'DELETE']);

export interface Router {
  /** @returns undefined where no route has the method and path, or the path is malformed */
  find(method: string, target: string): Match | undefined;
}

export function makeRouter(routes: readonly Route[]): Router {
  const byMethod = new Map<string, Pattern[]>();
  for (const route of routes) {
    const patterns = byMethod.get(route.method) ?? [];
    byMethod.set(route.method, [...patterns, compile(route)]);
  }
  // A fixed path goes before one with parameters: /images/json is no image's name.
  for (const patterns of byMethod.values()) patterns.sort((a, b) => freedom(a) - freedom(b));
  return {
    find(method, target) {
      if (!METHODS.has(method)) return undefined;
      const path = split(target);
      if (path === undefined) return undefined;
      const found = first(byMethod.get(method), path.segments);
      const match = found ?? (method === 'HEAD' ? first(byMethod.get('GET'), path.segments) : undefined);
      return match && { ...match, version: path.version };
    },
  };
}

/** @throws HuskError `invalid` for a version that husk does not speak */
export function versionOf(match: Match): ApiVersion {
  return match.version === undefined ? NEWEST : readVersion(match.version);
}

function compile(route: Route): Pattern {
  const segments = route.path.split('/').slice(1);
  const isMany = (segment: string): boolean => segment.endsWith('*}');
  const at = segments.findIndex(isMany);
  const read = (segment: string): Segment => (segment.startsWith('{') ? { name: segment.slice(1, -1) } : segment);
  if (segments.filter(isMany).length > 1) throw new Error(`two parts of many segments in the route ${route.path}`);
  return {
    route,
    before: (at === -1 ? segments : segments.slice(0, at)).map(read),
    many: at === -1 ? undefined : segments[at]!.slice(1, -2),
    after: (at === -1 ? [] : segments.slice(at + 1)).map(read),
  };
}

/** How many paths a pattern has, as an order: none free, some free segments, any number of segments. */
function freedom({ before, many, after }: Pattern): number {
  const free = [...before, ...after].filter((segment) => typeof segment !== 'string').length;
  // The longer fixed end goes first: /images/{name*}/json before /images/{name*}.
  return free + (many === undefined ? 0 : 1000 - after.length);
}

/** `/v1.44/images/a%2fb/json?x=1` → segments images, a, b, json */
function split(target: string): { version: string | undefined; segments: string[] } | undefined {
  const query = target.indexOf('?');
  const encoded = query === -1 ? target : target.slice(0, query);
  let path: string;
  try {
    path = decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
  if (!path.startsWith('/') || path.includes('\0')) return undefined;
  const segments = path.split('/').slice(1);
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) return undefined;
  const version = /^v([0-9.]+)$/.exec(segments[0]!)?.[1];
  return version === undefined ? { version, segments } : { version, segments: segments.slice(1) };
}

function first(
  patterns: readonly Pattern[] | undefined,
  segments: readonly string[],
): Omit<Match, 'version'> | undefined {
  for (const pattern of patterns ?? []) {
    const parameters = matched(pattern, segments);
    if (parameters) return { route: pattern.route, parameters };
  }
  return undefined;
}

function matched({ before, many, after }: Pattern, segments: readonly string[]): Record<string, string> | undefined {
  const fixed = before.length + after.length;
  if (many === undefined ? segments.length !== fixed : segments.length <= fixed) return undefined;
  const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
  const fits = (wanted: readonly Segment[], offset: number): boolean =>
    wanted.every((segment, index) => {
      const given = segments[offset + index]!;
      if (typeof segment === 'string') return segment === given;
      parameters[segment.name] = given;
      return true;
    });
  const behind = segments.length - after.length;
  if (!fits(before, 0) || !fits(after, behind)) return undefined;
  if (many !== undefined) parameters[many] = segments.slice(before.length, behind).join('/');
  return parameters;
}
