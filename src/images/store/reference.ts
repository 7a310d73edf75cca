/**
 * Image references by the distribution grammar, with Docker's normalisation: `[host[:port]/]path[:tag][@digest]`. The
 * functions are pure: they read neither the store nor the network.
 *
 * Source: distribution/reference (grammar in its reference.go). The errors are Docker's to the letter, because scripts
 * match them.
 */
import { HuskError } from '../../errors.ts';

/** the host of a name that has none */
export const DEFAULT_DOMAIN = 'docker.io';
/** the same host's older name, where its search is */
export const LEGACY_DEFAULT_DOMAIN = 'index.docker.io';
/** the folder of official images on the default host */
const OFFICIAL = 'library/';
const DEFAULT_TAG = 'latest';

/** limit of characters of the path: RepositoryNameTotalLengthMax */
const MAX_NAME = 255;
/**
 * limit of characters: longer texts are refused before any regular expression sees them. Host 255 + path 255 + tag 128
 * + digest 140, rounded up.
 */
const MAX_REFERENCE = 1024;

export interface Reference {
  /** host: `docker.io`, `localhost:5000`, `[::1]:5000` */
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

/**
 * @returns whether this is `sha256:` and 64 lower-case hex digits: the only digests that husk computes, stores and
 * follows
 */
export function isDigest(text: unknown): text is string {
  return typeof text === 'string' && DIGEST.test(text);
}

/** @returns the 64 hex digits of a digest or bare id */
export const hexOf = (digest: string) => (digest.startsWith('sha256:') ? digest.slice('sha256:'.length) : digest);

/** @returns the first 12 digits: the short form of ids and of layers in progress output */
export const shortId = (digest: string) => hexOf(digest).slice(0, 12);

/**
 * @returns the hex digits of a text that may be a full or shortened image id, with or without `sha256:`; else undefined
 */
export function idPrefix(text: string): string | undefined {
  const hex = hexOf(text);
  return ID_PREFIX.test(hex) ? hex : undefined;
}

/**
 * Parses and normalises a reference; the tag stays absent when none was typed.
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

/**
 * Splits off the host. The first component is one when it has a dot, a port or an upper-case letter, or is `localhost`.
 */
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

/** Adds `latest` to a reference with neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: DEFAULT_TAG } : reference;
}

/** @returns the name with its host, with which image_names rows begin: `docker.io/library/alpine` */
export const fullName = (reference: Reference) => `${reference.domain}/${reference.path}`;

const suffix = ({ tag, digest }: Reference) =>
  (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`);

/** @returns the reference with its host: `docker.io/library/alpine:latest` */
export const fullReference = (reference: Reference) => fullName(reference) + suffix(reference);

/** @returns the name as Docker shows it: `alpine`, `someone/thing`, `localhost:5000/x` */
export function familiarName({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const rest = path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path;
  return rest.includes('/') ? path : rest;
}

/** @returns the reference as Docker shows it: `alpine:latest`, `alpine@sha256:…` */
export const familiarReference = (reference: Reference) => familiarName(reference) + suffix(reference);

/**
 * @returns the key of image_names for a reference: a digest wins over a tag, as in Docker
 * @example nameKey({ domain: 'docker.io', path: 'library/a', tag: '1' }) // 'docker.io/library/a:1'
 */
export function nameKey(reference: Reference): string {
  if (reference.digest !== undefined) return `${fullName(reference)}@${reference.digest}`;
  return `${fullName(reference)}:${reference.tag ?? DEFAULT_TAG}`;
}

/** Parses a key of image_names; only nameKey writes them. */
export const parseKey = (key: string): Reference => parseReference(key);

/** what Docker shows for a tag where there is none */
export const NO_TAG = '<none>';

/** Splits `host:5000/a/b:tag` into name and tag. */
export function splitTag(reference: string): [name: string, tag: string] {
  const colon = reference.lastIndexOf(':');
  return colon > reference.lastIndexOf('/')
    ? [reference.slice(0, colon), reference.slice(colon + 1)]
    : [reference, NO_TAG];
}
