/**
 * The flags of `build` as what the engine takes. Each value is checked here, once; what husk does not do is refused in
 * one line. Reads the files of secrets, and nothing else.
 */
import { readFileSync, statSync } from 'node:fs';
import { causeOf, EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import type { BuildOptions, BuildSecret, NamedContext } from '../engine/build-contract.ts';
import { readSshKey } from '../engine/build/ssh/keys.ts';
import { namedContext } from '../engine/build-contexts.ts';
import { parsePlatform } from '../images/store/platform.ts';
import { parseReference } from '../images/store/reference.ts';
import { parseExtraHost } from '../notation/extra-hosts.ts';
import { toMap } from '../notation/labels.ts';
import { parseCsvRecord } from '../notation/quoting.ts';
import type { Ulimit } from '../notation/ulimits.ts';
import { proxyEnvironment } from './proxy-environment.ts';
import type { Context } from './grammar/command.ts';
import type { FlagSet } from './grammar/flag-set.ts';

/** bytes of a secret, BuildKit's MaxSecretSize */
const MAX_SECRET = 500 * 1024;
/** bytes of a private key, and keys of one id */
const MAX_KEY = 64 * 1024;
const MAX_KEYS = 20;
/** limits of numbers of values, so that no command line makes work without end */
const MAX_CONTEXTS = 1000;

const invalid = (message: string, fix?: string): HuskError =>
  new HuskError(message, { kind: 'invalid', exitCode: EXIT_HUSK_FAILED, ...(fix !== undefined && { fix }) });
const unsupported = (message: string, fix?: string): HuskError =>
  new HuskError(message, { kind: 'unsupported', exitCode: EXIT_HUSK_FAILED, ...(fix !== undefined && { fix }) });

/** what is refused when it is given, and why */
const REFUSED: Record<string, string> = {
  device: 'RUN steps have no devices of the host',
  'security-opt': 'RUN steps have the seccomp profile of every container',
  squash: 'layers are kept as they are made, so that other builds can use them',
};

/** @throws HuskError `unsupported` for the first flag given that husk does not do */
function refuse(flags: FlagSet): void {
  for (const [name, why] of Object.entries(REFUSED))
    if (flags.changed(name) && flags.string(name) !== 'false')
      throw unsupported(`--${name}: ${why}`, `leave --${name} out`);
  for (const each of flags.items<string>('attest'))
    if (!/(?:^|,)disabled=true(?:,|$)/.test(each))
      throw unsupported(`--attest ${each}: husk makes no attestations`, 'leave it out, or say disabled=true');
  for (const name of ['provenance', 'sbom'])
    if (flags.changed(name) && flags.string(name) !== 'false')
      throw unsupported(`--${name}: husk makes no attestations`, `leave it out, or say --${name}=false`);
}

/** What the flags say, without the context, the Dockerfile and the outputs. */
export type FlagOptions = Omit<BuildOptions, 'context' | 'dockerfile' | 'outputs'>;

/** @throws HuskError with the exit code of a wrong flag */
export function buildOptions(flags: FlagSet, context: Pick<Context, 'env' | 'stderr'>): FlagOptions {
  refuse(flags);
  const isolation = flags.string('isolation') || 'auto';
  if (!['auto', 'vm', 'userns', 'default', 'process'].includes(isolation))
    throw invalid(`--isolation: ${JSON.stringify(isolation)} is none of auto, vm, userns`);
  const network = flags.string('network') || 'default';
  if (network !== 'default' && network !== 'none' && network !== 'host')
    throw unsupported(`--network ${network}: RUN steps have default, none or host`);
  const platform = flags.optional('platform');
  for (const one of platform?.split(',') ?? []) checkPlatform(one.trim());
  const tags = flags.list('tag');
  for (const tag of tags) checkTag(tag, '-t, --tag');
  const contexts = flags.list('build-context');
  if (contexts.length > MAX_CONTEXTS) throw invalid(`--build-context: more than ${MAX_CONTEXTS}`);
  return {
    tags,
    buildArgs: buildArgs(flags.list('build-arg'), context),
    contexts: Object.fromEntries(contexts.map(namedContextOf)),
    target: flags.optional('target'),
    noCache: flags.bool('no-cache') || flags.list('no-cache-filter'),
    pull: flags.bool('pull'),
    labels: toMap(flags.list('label')),
    annotations: toMap(flags.list('annotation').map(annotation)),
    network,
    extraHosts: flags.list('add-host').map((text) => {
      const { name, ip } = parseExtraHost(text);
      return `${name}:${ip}`;
    }),
    shmSize: flags.number('shm-size') || undefined,
    ulimits: [...new Map(flags.items<Ulimit>('ulimit').map((ulimit) => [ulimit.name, ulimit])).values()],
    limits: {
      memory: flags.number('memory'),
      memorySwap: flags.number('memory-swap'),
      cpus: flags.number('cpus'),
      cpuPeriod: flags.number('cpu-period'),
      cpuQuota: flags.number('cpu-quota'),
      cpuShares: flags.number('cpu-shares'),
      cpusetCpus: flags.optional('cpuset-cpus'),
      cpusetMems: flags.optional('cpuset-mems'),
    },
    cgroupParent: flags.optional('cgroup-parent'),
    secrets: flags.list('secret').map((text) => secret(text, context.env)),
    ssh: Object.fromEntries(flags.list('ssh').map((text) => agent(text, context.env))),
    allow: flags
      .list('allow')
      .flatMap((text) => text.split(','))
      .map(entitlement),
    platform,
    isolation: isolation === 'userns' || isolation === 'vm' ? isolation : 'auto',
  };
}

function checkPlatform(text: string): void {
  try {
    parsePlatform(text);
  } catch (error) {
    throw error instanceof HuskError ? error.withExitCode(EXIT_HUSK_FAILED) : error;
  }
}

/** @throws HuskError in Docker's words for what can be no name of an image */
export function checkTag(tag: string, flag: string): void {
  const wrong = (why: string) => invalid(`invalid argument ${JSON.stringify(tag)} for "${flag}" flag: ${why}`);
  let digest: string | undefined;
  try {
    ({ digest } = parseReference(tag));
  } catch (error) {
    throw wrong(causeOf(error));
  }
  if (digest !== undefined) throw wrong('refusing to create a tag with a digest reference');
}

/** `[manifest:]KEY=VALUE`: husk makes neither an index nor descriptors of its own. */
function annotation(text: string): string {
  const [, level, rest = ''] = /^(?:([a-z-]+)(?:\[[^\]]*\])?:)?(.*)$/s.exec(text)!;
  if (!/^[^=]+=/.test(rest)) throw invalid(`invalid annotation ${JSON.stringify(text)}: expected key=value`);
  if (level !== undefined && level !== 'manifest')
    throw unsupported(`--annotation ${text}: an image has annotations of its manifest alone`);
  return rest;
}

/** `NAME=value`, and `NAME` out of the environment; then the proxies of Docker's configuration and the epoch. */
function buildArgs(given: readonly string[], context: Pick<Context, 'env' | 'stderr'>): Record<string, string> {
  const found = given.flatMap((text) => {
    if (text.includes('=')) return [text];
    const value = context.env[text];
    return value === undefined ? [] : [`${text}=${value}`];
  });
  const epoch = context.env['SOURCE_DATE_EPOCH'];
  const isNamed = (name: string): boolean => given.some((text) => text.split('=')[0] === name);
  if (epoch && !isNamed('SOURCE_DATE_EPOCH')) found.push(`SOURCE_DATE_EPOCH=${epoch}`);
  return toMap([...found, ...proxyEnvironment(given, context)]);
}

function namedContextOf(text: string): [string, NamedContext] {
  const equals = text.indexOf('=');
  const value = text.slice(equals + 1);
  if (equals <= 0 || value === '') throw invalid(`--build-context: ${JSON.stringify(text)} is not NAME=SOURCE`);
  try {
    return [text.slice(0, equals).toLowerCase(), namedContext(value)];
  } catch (error) {
    // The texts of contexts name the value, and know of no flag.
    throw error instanceof HuskError ? invalid(`--build-context ${text.slice(0, equals)}: ${error.message}`) : error;
  }
}

/** @throws HuskError with the exit code of a wrong flag */
export function asWritten<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof HuskError ? error.withExitCode(EXIT_HUSK_FAILED) : error;
  }
}

/** `id=ID[,src=FILE|,env=NAME]`: with an id alone the variable of that name, then the file. */
function secret(text: string, env: NodeJS.ProcessEnv): BuildSecret {
  const fields = fieldsOf(text, '--secret', ['id', 'type', 'src', 'source', 'env']);
  const id = fields['id'];
  const type = fields['type'];
  let file = fields['src'] ?? fields['source'];
  let variable = fields['env'];
  if (type !== undefined && type !== 'file' && type !== 'env')
    throw invalid(`--secret: unsupported secret type ${JSON.stringify(type)}`);
  if (type === 'env' && variable === undefined) [variable, file] = [file ?? id, undefined];
  if (file !== undefined && variable !== undefined) throw invalid(`--secret ${JSON.stringify(text)}: both src and env`);
  const name = id ?? file ?? variable;
  if (!name) throw invalid(`--secret: ${JSON.stringify(text)} has no id`);
  if (file === undefined && variable === undefined) {
    if (type !== 'file' && env[name] !== undefined) variable = name;
    else file = name;
  }
  if (variable !== undefined) {
    const value = env[variable];
    if (value === undefined) throw invalid(`--secret ${name}: the variable ${variable} is not set`);
    return { id: name, value: bounded(name, Buffer.from(value)) };
  }
  try {
    if (statSync(file!).size > MAX_SECRET) bounded(name, Buffer.alloc(MAX_SECRET + 1));
    return { id: name, value: bounded(name, readFileSync(file!)) };
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw invalid(`--secret ${name}: cannot read ${file}: ${causeOf(error)}`);
  }
}

function bounded(name: string, value: Buffer): Buffer {
  if (value.length > MAX_SECRET) throw invalid(`--secret ${name}: it is larger than ${MAX_SECRET / 1024} KiB`);
  return value;
}

/** `default`, `ID=SOCKET`, or `ID=KEY[,KEY]…`. */
function agent(text: string, env: NodeJS.ProcessEnv): [string, BuildOptions['ssh'][string]] {
  const equals = text.indexOf('=');
  const id = equals === -1 ? text : text.slice(0, equals);
  const named = equals === -1 ? env['SSH_AUTH_SOCK'] : text.slice(equals + 1);
  if (!named)
    throw invalid(
      `--ssh ${id}: no agent: SSH_AUTH_SOCK is not set`,
      'start ssh-agent and ssh-add, or name its socket or the file of a key',
    );
  if (id === '') throw invalid(`--ssh ${text}: it has no id`);
  const files = equals === -1 ? [named] : named.split(',');
  if (files.length > MAX_KEYS) throw invalid(`--ssh ${id}: more than ${MAX_KEYS} keys`);
  const found = files.map((file) => {
    try {
      const stat = statSync(file);
      if (stat.isSocket()) return file;
      if (!stat.isFile()) throw invalid(`--ssh ${id}: ${file} is neither a socket nor a file`);
      if (stat.size > MAX_KEY) throw invalid(`--ssh ${id}: ${file} is larger than ${MAX_KEY / 1024} KiB`);
      const bytes = readFileSync(file);
      // What is no key is told before anything is built.
      readSshKey(bytes, file);
      return { name: file, bytes };
    } catch (error) {
      if (!(error instanceof HuskError)) throw invalid(`--ssh ${id}: ${file}: ${causeOf(error)}`);
      throw error.message.startsWith('--ssh') ? error : invalid(`--ssh ${id}: ${error.message}`, error.fix);
    }
  });
  const [socket] = found;
  if (found.length === 1 && typeof socket === 'string') return [id, socket];
  const keys = found.filter((each) => typeof each !== 'string');
  if (keys.length < found.length) throw invalid(`--ssh ${id}: keys and an agent cannot be had together`);
  return [id, keys];
}

function entitlement(text: string): string {
  if (text !== 'network.host' && text !== 'security.insecure')
    throw invalid(`--allow: ${JSON.stringify(text)} is none of network.host, security.insecure`);
  return text;
}

/** @returns the fields of a CSV record by their keys @throws HuskError for a key that is not known or is there twice */
export function fieldsOf(text: string, flag: string, known: readonly string[]): Partial<Record<string, string>> {
  const fields: Partial<Record<string, string>> = Object.create(null) as Record<string, string>;
  let record: string[];
  try {
    record = parseCsvRecord(text);
  } catch (error) {
    throw invalid(`${flag}: ${JSON.stringify(text)}: ${(error as Error).message}`);
  }
  for (const field of record) {
    const equals = field.indexOf('=');
    const key = field.slice(0, equals).trim().toLowerCase();
    if (equals === -1) throw invalid(`${flag}: ${JSON.stringify(field)} is not key=value`);
    if (!known.includes(key)) throw invalid(`${flag}: unexpected key '${key}' in '${field}'`);
    if (fields[key] !== undefined) throw invalid(`${flag}: '${key}' is there twice`);
    fields[key] = field.slice(equals + 1);
  }
  return fields;
}
