/**
 * `X-Registry-Auth`: who a client is at a registry, as base64 of JSON (Docker's AuthConfig). A secret stays in the
 * value that is returned: no error repeats a part of the header. Pure.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { HuskError } from '../../../errors.ts';
import type { Credentials } from '../../../images/store/contract.ts';

/** limit of characters of the header; tokens of identity providers have some thousand */
const MAX_HEADER = 64 << 10;
/** limit of characters of a header with those of many registries */
const MAX_CONFIG = 512 << 10;

/**
 * @returns null where the client is nobody: no header, `{}`, or all empty
 * @throws HuskError `invalid` for what is no base64 of a JSON object of texts
 */
export function registryAuth(headers: IncomingHttpHeaders): Credentials | null {
  const header = headers['x-registry-auth'];
  if (header === undefined || header === '') return null;
  if (typeof header !== 'string' || header.length > MAX_HEADER) throw invalid();
  return credentialsIn(fieldsOf(header));
}

/**
 * `X-Registry-Config` of a build: who the client is at each registry, by host or by the hub's old address. A header
 * that cannot be read is as none, as in Docker.
 * @returns credentials by host; null where the client is nobody
 */
export function registryConfig(headers: IncomingHttpHeaders): (host: string) => Promise<Credentials | null> {
  const header = headers['x-registry-config'];
  const found = new Map<string, Credentials>();
  try {
    const isHeader = typeof header === 'string' && header !== '' && header.length <= MAX_CONFIG;
    for (const [name, value] of isHeader ? fieldsOf(header) : []) {
      const credentials = credentialsIn(objectFields(value === '' ? null : value));
      if (credentials) found.set(hostOf(name), credentials);
    }
  } catch {
    // What anybody may have is had without.
  }
  return async (host) => found.get(host) ?? null;
}

/** `https://index.docker.io/v1/` is the hub, `https://registry.example/v2/` is that host. */
function hostOf(name: string): string {
  const host = name.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
}

function credentialsIn(fields: ReadonlyMap<string, unknown>): Credentials | null {
  const text = (name: string): string => {
    const value = fields.get(name) ?? '';
    if (typeof value !== 'string' || value.includes('\0')) throw invalid();
    return value;
  };
  if (text('registrytoken') !== '') return { kind: 'registry-token', token: text('registrytoken') };
  if (text('identitytoken') !== '') return { kind: 'identity', token: text('identitytoken') };
  if (text('username') !== '') return { kind: 'password', username: text('username'), password: text('password') };
  return fromPair(text('auth'));
}

/**
 * The header of a pull, which as in Docker is no error where it cannot be read: clients of long ago sent anything, and
 * what anybody may have is had without.
 */
export function lenientRegistryAuth(headers: IncomingHttpHeaders): Credentials | null {
  try {
    return registryAuth(headers);
  } catch {
    return null;
  }
}

/** @returns the JSON's fields by their names in lower case, as Go's decoder takes them; null is absent */
function fieldsOf(header: string): Map<string, unknown> {
  let value: unknown;
  try {
    // base64url and base64 alike; clients differ
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(header, 'base64')));
  } catch {
    // The parser's message would repeat a part of the text.
    throw invalid();
  }
  return objectFields(value);
}

function objectFields(value: unknown): Map<string, unknown> {
  if (value === null) return new Map();
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid();
  return new Map(Object.entries(value).map(([name, field]) => [name.toLowerCase(), field ?? '']));
}

/** `auth`, base64 of `name:password`, as config.json has it */
function fromPair(auth: string): Credentials | null {
  if (auth === '') return null;
  const pair = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = pair.indexOf(':');
  if (colon < 1) throw invalid();
  return { kind: 'password', username: pair.slice(0, colon), password: pair.slice(colon + 1) };
}

function invalid(): HuskError {
  return new HuskError('invalid X-Registry-Auth header', {
    kind: 'invalid',
    fix: 'send base64url of a JSON object with username and password, identitytoken or registrytoken',
  });
}
