/**
 * The attributes of BuildKit's Dockerfile frontend as options of a build. What husk does not do is refused by its name;
 * what it does not know is told as a warning. Pure.
 *
 * Source: moby/buildkit frontend/dockerui/config.go, docker/buildx build/build.go.
 */
import { HuskError } from '../../errors.ts';
import type { BuildOptions, CacheTarget, NamedContext } from '../../engine/build-contract.ts';
import { namedContext, writtenContext } from '../../engine/build-contexts.ts';
import type { CacheChoice } from '../../images/store/contract.ts';
import { parseReference } from '../../images/store/reference.ts';
import { parseExtraHost } from '../../notation/extra-hosts.ts';
import { parseCsvRecord } from '../../notation/quoting.ts';
import type { Typed } from './messages.ts';

const invalid = (message: string): HuskError => new HuskError(message, { kind: 'invalid' });
const unsupported = (message: string, fix?: string): HuskError =>
  new HuskError(message, { kind: 'unsupported', ...(fix !== undefined && { fix }) });

/** what says how others see the build, and nothing about the image */
const WITHOUT_MEANING = new Set([
  'contextkey',
  'dockerfilekey',
  'hostname',
  'frontend.caps',
  'multi-platform',
  'contextsubdir',
  'local-sessionid:context',
  'local-sessionid:dockerfile',
  'cache-imports',
  'vcs:source',
  'vcs:revision',
  'vcs:localdir:context',
  'vcs:localdir:dockerfile',
]);

/** what is read here or refused; behind a colon stands a name of the client's */
const READ = new Set(
  (
    'filename context target platform build-arg label no-cache image-resolve-mode force-network-mode add-hosts ' +
    'shm-size ulimit cgroup-parent attest'
  ).split(' '),
);

/** a folder of the client, by the name that it has in its session; buildx calls it as the context */
const LOCAL = /^local:(.*)$/s;
/** characters of that name: it is a header of the transfer */
const MAX_FOLDER = 1000;
/** an image layout in a folder of the client, by the id that the client's session has for the folder, and its image */
const LAYOUT = /^oci-layout:\/\/([\w.-]{1,128})(?::\w[\w.-]{0,127})?@(sha256:[0-9a-f]{64})$/;

interface ClientLayout {
  /** the client's id of the layout's folder */
  id: string;
  digest: string;
}

/** What the frontend is asked for. */
export interface FrontendRequest {
  /** name of the Dockerfile in its folder */
  filename: string;
  /** names of the client's folders */
  contextName: string;
  dockerfileName: string;
  /** the client's folders that are contexts by name, by that name */
  folders: Record<string, string>;
  /** images in layouts of the client that are contexts by name, by that name */
  layouts: Record<string, ClientLayout>;
  /** the build's own context, where it is none of the client's folders */
  remote: Extract<BuildOptions['context'], { kind: 'remote' }> | undefined;
  /** path of a tar that the client uploads */
  upload: string | undefined;
  options: Omit<BuildOptions, 'context' | 'dockerfile' | 'secrets' | 'ssh' | 'outputs' | 'tags' | 'annotations'>;
  warnings: string[];
}

/** @throws HuskError naming the attribute */
export function frontendRequest(
  attributes: ReadonlyMap<string, string>,
  entitlements: readonly string[],
): FrontendRequest {
  for (const [name, value] of attributes) refuse(name, value);
  const get = (name: string): string | undefined => attributes.get(name) || undefined;
  const context = get('context');
  const upload = /^https?:\/\/buildkit-session(\/[\w-]+)$/.exec(context ?? '')?.[1];
  return {
    filename: get('filename') ?? 'Dockerfile',
    contextName: get('contextkey') ?? 'context',
    dockerfileName: get('dockerfilekey') ?? 'dockerfile',
    folders: foldersOf(attributes),
    layouts: layoutsOf(attributes),
    remote: context === undefined || upload !== undefined ? undefined : remoteOf(context),
    upload,
    options: optionsOf(attributes, entitlements),
    warnings: [...attributes.keys()]
      .filter((name) => !READ.has(name.split(':', 1)[0]!) && !WITHOUT_MEANING.has(name))
      .map((name) => `husk does not know the build option ${name.slice(0, 100)}, and leaves it out`),
  };
}

function optionsOf(
  attributes: ReadonlyMap<string, string>,
  entitlements: readonly string[],
): FrontendRequest['options'] {
  const get = (name: string): string | undefined => attributes.get(name) || undefined;
  const platform = get('platform');
  return {
    buildArgs: prefixed(attributes, 'build-arg:'),
    labels: prefixed(attributes, 'label:'),
    contexts: contextsOf(attributes),
    target: get('target'),
    noCache: noCache(attributes.get('no-cache')),
    pull: attributes.get('image-resolve-mode') === 'pull',
    network: networkOf(get('force-network-mode')),
    extraHosts: fields(get('add-hosts')).map(extraHost),
    shmSize: sizeOf(get('shm-size')),
    ulimits: fields(get('ulimit')).map(ulimit),
    cgroupParent: get('cgroup-parent'),
    allow: entitlements.filter((name) => ['network.host', 'security.insecure'].includes(name)),
    ...(platform !== undefined && { platform }),
    isolation: 'auto',
  };
}

function refuse(name: string, value: string): void {
  if (name === 'requestid')
    throw unsupported(`the question ${value.slice(0, 100)} is none that husk answers`, 'lint with husk build --check');
  if (name === 'source' || name === 'cmdline')
    throw unsupported(`cannot use the frontend ${value.slice(0, 100)}: only Docker's own is built in`);
  // What buildx asks for unasked may be absent; what a person asks for may not.
  if (name === 'attest:sbom') throw unsupported('husk makes no attestations', 'leave --sbom out');
  if (name === 'attest:provenance' && !/\binline-only=true\b|\bdisabled=true\b/.test(value))
    throw unsupported('husk makes no attestations', 'say --provenance=false');
}

const prefixed = (attributes: ReadonlyMap<string, string>, prefix: string): Record<string, string> =>
  Object.fromEntries(
    [...attributes].flatMap(([name, value]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [])),
  );

function contextsOf(attributes: ReadonlyMap<string, string>): Record<string, NamedContext> {
  return Object.fromEntries(
    contextEntries(attributes).flatMap(([name, source]) => {
      if (LOCAL.test(source) || LAYOUT.test(source)) return [];
      // A folder by its path would be one of the server's machine.
      const isAnywhere = /^(?:docker-image|target):|^https?:\/\/|^git(?:@|:\/\/)|^ssh:\/\/|^github\.com\//.test(source);
      if (!isAnywhere)
        throw unsupported(
          `--build-context ${name.slice(0, 100)}: ${source.slice(0, 100)}: through the API a context by name is a folder, an image, a layout with a digest or a URL`,
          'build with husk build',
        );
      return [[name, namedContext(source)]];
    }),
  );
}

/** Names of the client's folders: it alone knows which folder each is. */
function foldersOf(attributes: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries(
    contextEntries(attributes).flatMap(([name, source]) => {
      const folder = LOCAL.exec(source)?.[1];
      if (folder === undefined) return [];
      if (folder === '' || folder.length > MAX_FOLDER)
        throw invalid(`--build-context ${name.slice(0, 100)}: a name of a folder has 1 to ${MAX_FOLDER} characters`);
      return [[name, folder]];
    }),
  );
}

const layoutsOf = (attributes: ReadonlyMap<string, string>): Record<string, ClientLayout> =>
  Object.fromEntries(
    contextEntries(attributes).flatMap(([name, source]) => {
      const [, id, digest] = LAYOUT.exec(source) ?? [];
      return id === undefined ? [] : [[name, { id, digest: digest! }]];
    }),
  );

const contextEntries = (attributes: ReadonlyMap<string, string>): [name: string, source: string][] =>
  Object.entries(prefixed(attributes, 'context:')).map(([name, source]) => [name.toLowerCase(), source]);

/** An empty value is every step, else names of stages. */
function noCache(value: string | undefined): boolean | string[] {
  if (value === undefined) return false;
  return value === '' ? true : value.split(',');
}

function networkOf(mode: string | undefined): BuildOptions['network'] {
  if (mode === undefined || mode === 'sandbox' || mode === 'default') return 'default';
  if (mode === 'none' || mode === 'host') return mode;
  throw unsupported(`force-network-mode ${mode.slice(0, 100)}: RUN steps have default, none or host`);
}

function remoteOf(context: string): FrontendRequest['remote'] {
  const written = writtenContext(context);
  if (written.kind !== 'remote') throw invalid(`context ${JSON.stringify(context.slice(0, 200))} is no URL`);
  return written;
}

function fields(csv: string | undefined): string[] {
  if (csv === undefined) return [];
  try {
    return parseCsvRecord(csv);
  } catch (error) {
    throw invalid((error as Error).message);
  }
}

function extraHost(text: string): string {
  try {
    const { name, ip } = parseExtraHost(text);
    return `${name}:${ip}`;
  } catch (error) {
    throw invalid((error as Error).message);
  }
}

function sizeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw invalid(`shm-size: ${JSON.stringify(text.slice(0, 100))} is no number of bytes`);
  return Number(text) || undefined;
}

/** `nofile=1024:2048` */
function ulimit(text: string): BuildOptions['ulimits'][number] {
  const [, name, soft, hard] = /^([a-z]+)=(-?\d{1,15})(?::(-?\d{1,15}))?$/.exec(text) ?? [];
  if (name === undefined) throw invalid(`ulimit: ${JSON.stringify(text.slice(0, 100))} is not NAME=SOFT[:HARD]`);
  return { name, soft: Number(soft), hard: Number(hard ?? soft) };
}

/** Caches that are read: what husk cannot read is a warning, as in BuildKit. */
export function cacheSources(imports: readonly Typed[]): { sources: CacheChoice[]; warnings: string[] } {
  const sources: CacheChoice[] = [];
  const warnings: string[] = [];
  for (const { type, attributes } of imports.slice(0, 100)) {
    const reference = attributes.get('ref') ?? '';
    if (type === 'registry') {
      parseReference(reference);
      if (!sources.some((each) => each.type === 'registry' && each.reference === reference))
        sources.push({ type: 'registry', reference });
    } else warnings.push(`the cache type=${type.slice(0, 100)} is not used: through the API husk reads registries`);
  }
  return { sources, warnings };
}

/** @throws HuskError `unsupported` for a place that husk cannot write through the API */
export const cacheTargets = (exports: readonly Typed[]): CacheTarget[] =>
  exports.slice(0, 100).map(({ type, attributes }): CacheTarget => {
    if (type === 'inline') return { type };
    if (type !== 'registry')
      throw unsupported(`--cache-to type=${type.slice(0, 100)}: through the API husk writes to registries`);
    const [reference = '', mode = 'min'] = [attributes.get('ref'), attributes.get('mode')];
    parseReference(reference);
    if (mode !== 'min' && mode !== 'max') throw invalid(`--cache-to: mode=${mode.slice(0, 100)} is none of min, max`);
    const compression = attributes.get('compression') ?? 'gzip';
    if (compression !== 'gzip' && compression !== 'zstd' && compression !== 'uncompressed')
      throw invalid(`--cache-to: compression=${compression.slice(0, 100)} is none of gzip, zstd, uncompressed`);
    return {
      type: 'registry',
      reference,
      mode,
      compression,
      ignoreError: attributes.get('ignore-error') === 'true',
    };
  });
