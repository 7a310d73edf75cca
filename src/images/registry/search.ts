/**
 * `search`: asks a registry for repositories by a term. A registry that has Docker's first search API answers by it; of
 * any other the catalog is read, whose names alone are known. Everything that comes back is a stranger's: pages, names,
 * texts and the time are bounded here, and a name that is no repository's is left out.
 *
 * Source: the `GET /v1/search` of Docker's registry API 1; OCI distribution-spec's predecessor, `GET /v2/_catalog`.
 */
import { HuskError } from '../../errors.ts';
import type { Asking, FoundRepository, SearchAnswer } from '../store/contract.ts';
import { DEFAULT_DOMAIN, LEGACY_DEFAULT_DOMAIN, parseReference } from '../store/reference.ts';
import { answeringBase } from './answering-base.ts';
import { Authorization } from './authorization.ts';
import { credentialsFor } from './credentials.ts';
import { endpoints, type Endpoint, type RegistryConfig } from './endpoints.ts';
import { readBody, shown, type Transport, type TransportResponse } from './transport.ts';

/** limits of one page: bytes, and names that are asked for */
const MAX_PAGE = 4 << 20;
const PAGE_NAMES = 1000;
/** limits of one catalog: pages, and names that are looked at */
const MAX_PAGES = 200;
const MAX_NAMES = 100_000;
/** limit of characters of a term, and of a description that is kept */
const MAX_TERM = 1024;
const MAX_DESCRIPTION = 1000;
/** ms for the whole search: a registry may send each byte of each page in time, and still never end */
const PATIENCE_MS = 60_000;

export interface SearchOptions extends Asking {
  transport: Transport;
  /** `TERM` or `HOST/TERM` as typed */
  text: string;
  /** how many repositories are wanted at most */
  limit: number;
  config: RegistryConfig;
  env: NodeJS.ProcessEnv;
  /** ms for the whole search. @default a minute */
  patience?: number;
  signal?: AbortSignal;
}

/**
 * Splits off the host: the first component is one when it has a dot or a port, or is `localhost`.
 * @throws HuskError `invalid` with Docker's text for a URL
 */
export function splitTerm(text: string): { domain: string; term: string } {
  if (text.includes('://'))
    throw new HuskError('invalid repository name (ex: "registry.domain.tld/myrepos")', { kind: 'invalid' });
  if (text.length > MAX_TERM)
    throw new HuskError(`the term has ${text.length} characters, more than ${MAX_TERM}`, { kind: 'invalid' });
  const slash = text.indexOf('/');
  const first = text.slice(0, Math.max(slash, 0));
  const isHost = /[.:]/.test(first) || first === 'localhost';
  const domain = isHost && first !== LEGACY_DEFAULT_DOMAIN ? first : DEFAULT_DOMAIN;
  const term = isHost ? text.slice(slash + 1) : text;
  // A host that is none would become another URL's part.
  if (isHost) parseReference(`${first}/x`);
  return { domain, term: domain === DEFAULT_DOMAIN ? term.replace(/^library\//, '') : term };
}

/** @returns where a domain is searched: mirrors have no search, and the hub's is on a host of its own */
export function searchEndpoint(domain: string, config: RegistryConfig): Endpoint {
  if (domain === DEFAULT_DOMAIN)
    return { host: domain, bases: [new URL(`https://${LEGACY_DEFAULT_DOMAIN}/`)], insecure: false };
  return endpoints(domain, config)[0]!;
}

/** @throws HuskError `unavailable`, `unauthorized`, `corrupt`, `limit` */
export async function searchRegistry(options: SearchOptions): Promise<SearchAnswer> {
  const { domain, term } = splitTerm(options.text);
  const endpoint = searchEndpoint(domain, options.config);
  const { patience = PATIENCE_MS } = options;
  const deadline = AbortSignal.timeout(patience);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  try {
    const index = new Index(endpoint, { ...options, signal });
    const results = await bySearch(index, term, options.limit);
    if (results) return { host: endpoint.host, by: 'search', results, complete: true };
    return { host: endpoint.host, by: 'catalog', ...(await byCatalog(index, term, options.limit)) };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!deadline.aborted) throw error;
    throw new HuskError(`${endpoint.host} has not answered a search within ${patience / 1000} s`, {
      kind: 'unavailable',
      cause: error,
    });
  }
}

/** Requests that are about a whole registry, with its authorization. */
class Index {
  readonly host: string;
  readonly #endpoint: Endpoint;
  readonly #transport: Transport;
  readonly #signal: AbortSignal;
  readonly #authorization: Authorization;
  #base: URL | undefined;

  constructor(
    endpoint: Endpoint,
    options: Pick<SearchOptions, 'transport' | 'env' | 'credentials'> & { signal: AbortSignal },
  ) {
    const { transport, env, signal, credentials } = options;
    this.host = endpoint.host;
    this.#endpoint = endpoint;
    this.#transport = transport;
    this.#signal = signal;
    this.#authorization = new Authorization({
      transport,
      host: endpoint.host,
      insecure: endpoint.insecure,
      signal,
      credentials: () => credentialsFor(endpoint.host, { credentials, isOwn: true, env, signal }),
    });
  }

  /** @param path path and query below the registry's root */
  async get(path: string, scope: string): Promise<TransportResponse> {
    const base = (this.#base ??= await this.#resolve());
    const url = new URL(path, base);
    const authorization = await this.#authorization.header(scope);
    const first = await this.#send(url, authorization);
    // A host that a redirect led to gets no credentials, and its challenge is not answered.
    if (first.status !== 401 || first.url.origin !== base.origin) return first;
    first.body.destroy();
    return this.#send(url, await this.#authorization.answer(first.headers['www-authenticate'], scope, authorization));
  }

  #send(url: URL, authorization: string | undefined): Promise<TransportResponse> {
    return this.#transport.send({
      method: 'GET',
      url,
      headers: { accept: 'application/json', ...(authorization !== undefined && { authorization }) },
      unverifiedTls: this.#endpoint.insecure,
      signal: this.#signal,
    });
  }

  async #resolve(): Promise<URL> {
    if (this.#endpoint.bases.length === 1) return this.#endpoint.bases[0]!;
    const { base, response } = await answeringBase(this.#endpoint, (url) => this.#send(url, undefined), this.#signal);
    response.body.destroy();
    return base;
  }
}

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function readObject(response: TransportResponse): Promise<Json | undefined> {
  const bytes = await readBody(response, MAX_PAGE);
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** @returns undefined where the registry has no search */
async function bySearch(index: Index, term: string, limit: number): Promise<FoundRepository[] | undefined> {
  const isHub = index.host === DEFAULT_DOMAIN;
  let response: TransportResponse;
  try {
    response = await index.get(`v1/search?${new URLSearchParams({ q: term, n: String(limit) })}`, '');
  } catch (error) {
    // A proxy before a registry may ask for a login at every path that it does not know.
    if (isHub || !(error instanceof HuskError) || error.kind !== 'unauthorized') throw error;
    return undefined;
  }
  const { status } = response;
  if (status === 200) {
    const answer = await readObject(response);
    const results = answer?.['results'];
    // A registry with pages for people answers every path with HTML.
    if (Array.isArray(results)) return results.slice(0, limit).flatMap((each) => found(each) ?? []);
  } else response.body.destroy();
  if (status === 429 || (status >= 500 && status !== 501) || isHub)
    throw new HuskError(
      status === 200
        ? `${index.host} answers a search with something that is no list`
        : `${index.host} answers a search with status ${status}`,
      { kind: 'unavailable' },
    );
  return undefined;
}

function found(value: unknown): FoundRepository | undefined {
  if (!isObject(value) || !isRepository(value['name'])) return undefined;
  const { name, description, star_count: stars } = value;
  return {
    name,
    // No character of a description may begin a line or a column of a list.
    description:
      typeof description === 'string' ? description.slice(0, MAX_DESCRIPTION).replaceAll(/[\x00-\x1f]/g, ' ') : '',
    stars: Number.isSafeInteger(stars) && (stars as number) > 0 ? (stars as number) : 0,
    official: value['is_official'] === true,
  };
}

function isRepository(name: unknown): name is string {
  if (typeof name !== 'string') return false;
  try {
    const { tag, digest } = parseReference(name);
    return tag === undefined && digest === undefined;
  } catch {
    return false;
  }
}

async function byCatalog(
  index: Index,
  term: string,
  limit: number,
): Promise<{ results: FoundRepository[]; complete: boolean }> {
  const wanted = term.toLowerCase();
  const results = new Set<string>();
  let last: string | undefined;
  let names = 0;
  for (let pages = 0; pages < MAX_PAGES && names < MAX_NAMES; pages++) {
    const query = new URLSearchParams({ n: String(PAGE_NAMES), ...(last !== undefined && { last }) });
    const response = await index.get(`v2/_catalog?${query}`, 'registry:catalog:*');
    if (response.status !== 200) throw refused(index.host, response);
    const page = (await readObject(response))?.['repositories'] ?? undefined;
    if (!Array.isArray(page)) throw new HuskError(`${index.host} sends a catalog that is no list`, { kind: 'corrupt' });
    names += page.length;
    for (const name of page) if (isRepository(name) && name.includes(wanted) && results.size < limit) results.add(name);
    const next = following(response);
    // What would not change what is shown is not asked for; neither is the same page once more.
    if (next === undefined || page.length === 0) return { results: [...results].map(named), complete: true };
    if (results.size >= limit) return { results: [...results].map(named), complete: true };
    if (next === last) break;
    last = next;
  }
  return { results: [...results].map(named), complete: false };
}

/**
 * @returns the `last` of a Link header. Nothing else of the header is used: where it leads is for the registry's own
 * host to answer.
 */
function following(response: TransportResponse): string | undefined {
  const next = /<([^<>]{1,2048})>;\s*rel="?next"?/.exec(String(response.headers['link'] ?? ''))?.[1];
  if (next === undefined || !URL.canParse(next, response.url.href)) return undefined;
  return new URL(next, response.url).searchParams.get('last') ?? undefined;
}

function refused(host: string, response: TransportResponse): HuskError {
  const { status } = response;
  response.body.destroy();
  if (status === 401 || status === 403)
    return new HuskError(`${host} has no search, and does not show its catalog`, {
      kind: 'unauthorized',
      fix: `husk login ${host}`,
    });
  if (status === 404 || status === 405)
    return new HuskError(`${host} has neither a search nor a catalog`, { kind: 'unsupported' });
  return new HuskError(`${shown(response.url)} answers with status ${status}`, { kind: 'unavailable' });
}

const named = (name: string): FoundRepository => ({ name, description: '', stars: 0, official: false });
