/**
 * Docker's credentials: config.json (`auths`, `credsStore`, `credHelpers`) and the docker-credential-* programs that it
 * names. They are read only when a registry asks for credentials; a secret is never logged or shown.
 *
 * Source: docker/cli `config.json` properties; docker/docker-credential-helpers protocol (`get`, server URL on stdin,
 * JSON out).
 */
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { causeOf, HuskError } from '../../errors.ts';
import type { Asking, Credentials } from '../store/contract.ts';
import { DEFAULT_DOMAIN } from '../store/reference.ts';
import { helperComplaint, runHelper } from './credential-helper.ts';

/** the key under which Docker keeps the hub's credentials */
export const HUB_KEY = 'https://index.docker.io/v1/';
/** limit of bytes of a config.json */
const MAX_CONFIG = 1 << 20;
/** what a helper prints when it has no credentials, docker-credential-helpers' ErrCredentialsNotFound */
const NOT_FOUND = 'credentials not found in native keychain';
/** the user name that marks a helper's secret as an identity token */
const TOKEN_USER = '<token>';

export interface DockerConfig {
  auths?: Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string }>;
  credsStore?: string;
  credHelpers?: Record<string, string>;
}

export function dockerConfigFile(env: NodeJS.ProcessEnv = process.env): string {
  return join(env['DOCKER_CONFIG'] || join(env['HOME'] || homedir(), '.docker'), 'config.json');
}

export function readDockerConfig(file: string): DockerConfig {
  let text: string;
  try {
    if (statSync(file).size > MAX_CONFIG)
      throw new HuskError(`${file} is larger than ${MAX_CONFIG} bytes`, { kind: 'invalid' });
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof HuskError) throw error;
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return {};
    throw new HuskError(`cannot read ${file}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as DockerConfig;
  } catch {
    // JSON.parse's message quotes the text around the fault, which may be a secret, so it is not shown.
  }
  throw new HuskError(`${file} is not a JSON object`, { kind: 'invalid' });
}

/** @returns the host that a key names: `https://host/v1/` and `host/path` name the same registry as `host` */
export const hostOf = (key: string) => key.replace(/^https?:\/\//, '').split('/')[0]!;

/**
 * Finds the credentials that Docker would send to `host`.
 * @param host `docker.io`, `localhost:5000`
 * @throws HuskError `unauthorized` when the helper fails, `invalid` for an unreadable config
 */
export async function findCredentials(
  host: string,
  options: { env?: NodeJS.ProcessEnv; signal?: AbortSignal } = {},
): Promise<Credentials | undefined> {
  const env = options.env ?? process.env;
  const file = dockerConfigFile(env);
  const config = readDockerConfig(file);
  const key = host === DEFAULT_DOMAIN ? HUB_KEY : host;
  const helper = entryOf(config.credHelpers, key) ?? entryOf(config.credHelpers, host) ?? config.credsStore;
  if (helper) {
    const found = await askHelper(helper, key, { ...options, env });
    if (found) return found;
  }
  const auths = config.auths ?? {};
  const entry =
    entryOf(auths, key) ??
    entryOf(auths, host) ??
    Object.entries(auths).find(([name]) => hostOf(name) === hostOf(key))?.[1];
  return entry ? fromEntry(entry, file, host) : undefined;
}

/**
 * @param asking who the caller says to be
 * @param isOwn whether the host is that of the reference, and no mirror of it
 * @returns credentials for a host: the caller's, or where the caller has said nothing those of the config
 */
export async function credentialsFor(
  host: string,
  { credentials, isOwn, ...options }: Asking & { isOwn: boolean; env?: NodeJS.ProcessEnv; signal?: AbortSignal },
): Promise<Credentials | undefined> {
  if (credentials === undefined) return findCredentials(host, options);
  return isOwn ? (credentials ?? undefined) : undefined;
}

/** @returns an own property only: a host of a private network may be named `constructor` */
export function entryOf<T>(record: Record<string, T> | undefined, name: string): T | undefined {
  return record && Object.hasOwn(record, name) ? record[name] : undefined;
}

function fromEntry(
  entry: NonNullable<DockerConfig['auths']>[string],
  file: string,
  host: string,
): Credentials | undefined {
  if (entry.identitytoken) return { kind: 'identity', token: entry.identitytoken };
  if (entry.username && entry.password) return { kind: 'password', username: entry.username, password: entry.password };
  if (!entry.auth) return undefined;
  const text = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon < 1)
    throw new HuskError(`${file} has an unreadable "auth" for ${host}`, {
      kind: 'invalid',
      fix: `run \`husk login ${host}\` again`,
    });
  return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) };
}

async function askHelper(
  helper: string,
  key: string,
  options: { env: NodeJS.ProcessEnv; signal?: AbortSignal },
): Promise<Credentials | undefined> {
  const answer = await runHelper(helper, `get credentials for ${key} from`, {
    action: 'get',
    input: `${key}\n`,
    ...options,
  });
  const complaint = helperComplaint(answer);
  if (complaint !== undefined) {
    if (answer.stdout.trim() === NOT_FOUND) return undefined;
    throw answer.refuse(complaint);
  }
  let said: { Username?: unknown; Secret?: unknown };
  try {
    said = JSON.parse(answer.stdout) as typeof said;
  } catch {
    throw answer.refuse('it prints no JSON');
  }
  const { Username, Secret } = said;
  if (typeof Username !== 'string' || typeof Secret !== 'string')
    throw answer.refuse('it prints no Username and Secret');
  if (Username === '' && Secret === '') return undefined;
  return Username === TOKEN_USER
    ? { kind: 'identity', token: Secret }
    : { kind: 'password', username: Username, password: Secret };
}
