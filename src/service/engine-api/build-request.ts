/**
 * The query and the headers of `POST /build` as options of a build. Each parameter of the schema's ImageBuild is read
 * here, or refused; `rm`, `forcerm`, `session` and what is zero ask for nothing. Pure, but for the body's stream.
 */
import { HuskError } from '../../errors.ts';
import type { BuildLimits, BuildOptions } from '../../engine/build-contract.ts';
import { writtenContext } from '../../engine/build-contexts.ts';
import { parseReference } from '../../images/store/reference.ts';
import { parseExtraHost } from '../../notation/extra-hosts.ts';
import type { Call, Query } from '../http/contract.ts';
import { registryConfig } from './transfer/registry-auth.ts';

/** most values of a list or a map in the query */
const MOST_VALUES = 10_000;
const MOST_TAGS = 1000;

const invalid = (message: string, fix?: string): HuskError =>
  new HuskError(message, { kind: 'invalid', ...(fix !== undefined && { fix }) });

/** @throws HuskError naming the parameter */
export function buildRequest({ query, headers, body }: Pick<Call, 'query' | 'headers' | 'body'>): BuildOptions {
  refuse(query);
  const file = query.text('dockerfile');
  const platform = query.text('platform');
  const network = networkOf(query);
  return {
    context: contextOf(query, body),
    ...(file !== undefined && { dockerfile: { path: file.replace(/^\/+/, '') } }),
    tags: tagsOf(query),
    buildArgs: strings(query, 'buildargs'),
    contexts: {},
    target: query.text('target'),
    noCache: query.boolean('nocache'),
    cacheFrom: list(query, 'cachefrom').map((reference) => ({
      type: 'registry',
      reference: text(reference, 'cachefrom'),
    })),
    pull: query.boolean('pull'),
    labels: strings(query, 'labels'),
    annotations: {},
    network,
    extraHosts: query.all('extrahosts').filter(Boolean).map(extraHost),
    shmSize: bytes(query, 'shmsize'),
    ulimits: list(query, 'ulimits').map(ulimit),
    limits: limitsOf(query),
    cgroupParent: query.text('cgroupparent'),
    secrets: [],
    ssh: {},
    credentials: registryConfig(headers),
    // Whoever has the socket is the user, and the classic builder never asked for rights.
    allow: network === 'host' ? ['network.host'] : [],
    ...(platform !== undefined && { platform }),
    outputs: [],
    isolation: isolationOf(query),
  };
}

function refuse(query: Query): void {
  if (query.text('version') === '2')
    throw invalid(
      'a build by BuildKit needs a session, and this request has none',
      'build with DOCKER_BUILDKIT=0, or with buildx',
    );
  if (query.boolean('squash'))
    throw new HuskError('squash is only supported with experimental mode', { kind: 'unsupported' });
  if (list(query, 'securityopt').length > 0)
    throw invalid('The daemon on this platform does not support setting security options on build');
  if (list(query, 'outputs').length > 0)
    throw invalid('outputs: the classic builder makes images alone', 'build with buildx');
}

function contextOf(query: Query, body: Call['body']): BuildOptions['context'] {
  const remote = query.text('remote');
  if (remote === undefined) return { kind: 'tar', input: body.stream() };
  const context = writtenContext(remote);
  // A folder here would be one of the server's machine.
  if (context.kind !== 'remote') throw invalid(`remote: ${JSON.stringify(remote)} is neither a URL nor a repository`);
  return context;
}

function tagsOf(query: Query): string[] {
  const tags = query.all('t').filter(Boolean);
  if (tags.length > MOST_TAGS) throw invalid(`t: more than ${MOST_TAGS}`);
  for (const tag of tags)
    if (parseReference(tag).digest !== undefined) throw invalid('refusing to create a tag with a digest reference');
  return tags;
}

function networkOf(query: Query): BuildOptions['network'] {
  const mode = query.text('networkmode') ?? 'default';
  if (mode === 'bridge') return 'default';
  if (mode === 'default' || mode === 'none' || mode === 'host') return mode;
  throw new HuskError(`networkmode ${mode}: RUN steps have default, none or host`, { kind: 'unsupported' });
}

/** Docker's own words mean the choice of the config; husk's name one. */
function isolationOf(query: Query): BuildOptions['isolation'] {
  const written = query.text('isolation') ?? 'default';
  if (written === 'vm' || written === 'userns') return written;
  if (['default', 'process', 'husk', 'auto'].includes(written)) return 'auto';
  throw invalid(`isolation: ${JSON.stringify(written)} is none of vm, userns, husk`);
}

function limitsOf(query: Query): BuildLimits {
  const found: BuildLimits = {
    memory: bytes(query, 'memory'),
    memorySwap: query.integer('memswap') || undefined,
    cpuShares: bytes(query, 'cpushares'),
    cpuPeriod: bytes(query, 'cpuperiod'),
    cpuQuota: bytes(query, 'cpuquota'),
    cpusetCpus: query.text('cpusetcpus'),
    cpusetMems: query.text('cpusetmems'),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

/** @returns undefined for 0, which is "not asked" */
function bytes(query: Query, name: string): number | undefined {
  const value = query.integer(name) ?? 0;
  if (value < 0) throw invalid(`${name}: ${value} is less than 0`);
  return value === 0 ? undefined : value;
}

/** `null` and what is not there are empty. */
function list(query: Query, name: string): unknown[] {
  const value = query.json(name) ?? [];
  // docker-py writes an empty map where a list is meant.
  if (typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0) return [];
  if (!Array.isArray(value) || value.length > MOST_VALUES) throw invalid(`${name}: it is no JSON array`);
  return value;
}

/** @returns a map of texts; a name with `null` has no value here, as there is no environment of a client's */
function strings(query: Query, name: string): Record<string, string> {
  const value = query.json(name) ?? {};
  if (Array.isArray(value) && value.length === 0) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(`${name}: it is no JSON object`);
  const entries = Object.entries(value).filter(([, each]) => each !== null);
  if (entries.length > MOST_VALUES) throw invalid(`${name}: more than ${MOST_VALUES} values`);
  return Object.fromEntries(entries.map(([key, each]) => [key, text(each, `${name}: ${key}`)]));
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`${name}: ${JSON.stringify(value)?.slice(0, 100)} is no text`);
  return value;
}

function extraHost(written: string): string {
  try {
    const { name, ip } = parseExtraHost(written);
    return `${name}:${ip}`;
  } catch (error) {
    throw invalid(`extrahosts: ${(error as Error).message}`);
  }
}

function ulimit(value: unknown): BuildOptions['ulimits'][number] {
  const { Name: name, Soft: soft, Hard: hard } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || !Number.isSafeInteger(soft) || !Number.isSafeInteger(hard))
    throw invalid(`ulimits: ${JSON.stringify(value)?.slice(0, 100)} has no Name, Soft and Hard`);
  return { name, soft: soft as number, hard: hard as number };
}
