/**
 * Image references by the distribution grammar, with Docker's normalisation: `[host[:port]/]path[:tag][@digest]`.
 * Pure: text in, values out. Never looks at the store or the network.
 *
 * Source: distribution/reference (grammar in its reference.go); errors are Docker's to the letter, scripts match them.
 */
import { HuskError } from '../../errors.ts';

/** what a name without a host means */
export const DEFAULT_DOMAIN = 'docker.io';
const LEGACY_DEFAULT_DOMAIN = 'index.docker.io';
/** the folder of official images on the default host */
const OFFICIAL = 'library/';
const DEFAULT_TAG = 'latest';

/** characters of the path part; RepositoryNameTotalLengthMax */
const MAX_NAME = 255;
/**
 * longer texts are refused before any regular expression sees them: host 255 + path 255 + tag 128 + digest 140, rounded
 * up
 */
const MAX_REFERENCE = 1024;

export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000` */
  domain: string;
  /** `library/alpine` */
  path: string;
  tag?: string;
  /** `sha256:<64 hex>` */
  digest?: string;
}

const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const HEX64 = /^[0-9a-f]{64}$/;
const ID_PREFIX = /^[0-9a-f]{1,64}$/;

const invalid = (message = 'invalid reference format') => new HuskError(message, { kind: 'invalid' });

/** `sha256:` and 64 lower-case hex digits: the only digests husk computes, stores and follows */
export function isDigest(text: unknown): text is string {
  return typeof text === 'string' && DIGEST.test(text);
}

/** the 64 hex digits of a digest or bare id */
export const hexOf = (digest: string) => (digest.startsWith('sha256:') ? digest.slice('sha256:'.length) : digest);

/** first 12 digits: the short form of ids and of layers in progress output */
export const shortId = (digest: string) => hexOf(digest).slice(0, 12);

/** could be a full or shortened image id, with or without `sha256:`; @returns its hex digits */
export function idPrefix(text: string): string | undefined {
  const hex = hexOf(text);
  return ID_PREFIX.test(hex) ? hex : undefined;
}

/**
 * Parses and normalises; the tag stays absent when none was typed.
 * @throws HuskError `invalid` with Docker's text
 * @example parseReference('alpine') // { domain: 'docker.io', path: 'library/alpine' }
 */
export function parseReference(text: string): Reference {
  if (text.length > MAX_REFERENCE) throw invalid();
  if (HEX64.test(text)) throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  const { domain, rest } = splitDomain(text);
  const at = rest.indexOf('@');
  const digest = at === -1 ? undefined : rest.slice(at + 1);
  const named = at === -1 ? rest : rest.slice(0, at);
  const colon = named.indexOf(':');
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  const path = colon === -1 ? named : named.slice(0, colon);
  if (path.toLowerCase() !== path)
    throw invalid(`invalid reference format: repository name (${path}) must be lowercase`);
  if (!DOMAIN.test(domain) || !PATH.test(path)) throw invalid();
  if (tag !== undefined && !TAG.test(tag)) throw invalid();
  if (digest !== undefined && !DIGEST.test(digest)) throw invalid();
  if (path.length > MAX_NAME) throw invalid(`repository name must not be more than ${MAX_NAME} characters`);
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** The first component is a host when it has a dot, a port or an upper-case letter, or is `localhost`. */
function splitDomain(text: string): { domain: string; rest: string } {
  const slash = text.indexOf('/');
  const first = slash === -1 ? '' : text.slice(0, slash);
  const isHost = slash !== -1 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  let domain = isHost ? first : DEFAULT_DOMAIN;
  let rest = isHost ? text.slice(slash + 1) : text;
  if (domain === LEGACY_DEFAULT_DOMAIN) domain = DEFAULT_DOMAIN;
  if (domain === DEFAULT_DOMAIN && !rest.includes('/')) rest = OFFICIAL + rest;
  return { domain, rest };
}

/** Adds `latest` where there is neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: DEFAULT_TAG } : reference;
}

/** `docker.io/library/alpine`: what image_names rows begin with */
export const fullName = (reference: Reference) => `${reference.domain}/${reference.path}`;

const suffix = ({ tag, digest }: Reference) =>
  (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`);

/** `docker.io/library/alpine:latest` */
export const fullReference = (reference: Reference) => fullName(reference) + suffix(reference);

/** `alpine`, `someone/thing`, `localhost:5000/x`: as Docker shows a name */
export function familiarName({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const rest = path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path;
  return rest.includes('/') ? path : rest;
}

/** `alpine:latest`, `alpine@sha256:…` */
export const familiarReference = (reference: Reference) => familiarName(reference) + suffix(reference);

/**
 * The key of image_names a reference stands for: a digest wins over a tag, as in Docker.
 * @example nameKey({ domain: 'docker.io', path: 'library/a', tag: '1' }) // 'docker.io/library/a:1'
 */
export function nameKey(reference: Reference): string {
  if (reference.digest !== undefined) return `${fullName(reference)}@${reference.digest}`;
  return `${fullName(reference)}:${reference.tag ?? DEFAULT_TAG}`;
}

/** A row of image_names back to its parts; rows are written by nameKey only. */
export const parseKey = (key: string): Reference => parseReference(key);
