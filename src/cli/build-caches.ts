/** `--cache-from` and `--cache-to` of `build`: build caches that are elsewhere. */
import { causeOf, EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import type { CacheTarget } from '../engine/build-contract.ts';
import type { CacheChoice, CacheCompression } from '../images/store/contract.ts';
import { isDigest, parseReference } from '../images/store/reference.ts';
import { parseBool } from '../notation/scalars.ts';
import { fieldsOf } from './build-options.ts';

/** limit of caches of one build */
const MAX_CACHES = 100;
const COMPRESSIONS = ['gzip', 'zstd', 'uncompressed'] as const;

type Fields = Partial<Record<string, string>>;

const refuse = (message: string, kind: 'invalid' | 'unsupported' = 'invalid'): HuskError =>
  new HuskError(message, { kind, exitCode: EXIT_HUSK_FAILED });

/** `IMAGE[,IMAGE]…`, `type=registry,ref=IMAGE` or `type=local,src=FOLDER[,tag=TAG|,digest=DIGEST]`. */
export const cacheSources = (texts: readonly string[]): CacheChoice[] =>
  each(texts, '--cache-from', ['src', 'digest'], (fields) => {
    if (fields['type'] === 'local') return local(fields, 'src', '--cache-from');
    return registry(fields, '--cache-from');
  });

/**
 * `IMAGE`, `type=registry,ref=IMAGE`, `type=local,dest=FOLDER[,tag=TAG]`, each with `mode=min|max`,
 * `compression=gzip|zstd|uncompressed`, `ignore-error=BOOL`; or `type=inline`.
 */
export const cacheTargets = (texts: readonly string[]): CacheTarget[] =>
  each(texts, '--cache-to', ['dest', ...WRITTEN], (fields): CacheTarget => {
    if (fields['type'] === 'inline') {
      const more = Object.keys(fields).find((key) => key !== 'type');
      if (more !== undefined) throw refuse(`--cache-to: type=inline has no ${more}`);
      return { type: 'inline' };
    }
    const place = fields['type'] === 'local' ? local(fields, 'dest', '--cache-to') : registry(fields, '--cache-to');
    if (place.type === 'registry' && parseReference(place.reference).digest !== undefined)
      throw refuse(`--cache-to: ${place.reference}: a cache is written to a tag, not to a digest`);
    const mode = fields['mode'] ?? 'min';
    if (mode !== 'min' && mode !== 'max') throw refuse(`--cache-to: mode=${JSON.stringify(mode)} is none of min, max`);
    // What husk writes anyway may be asked for.
    for (const key of ['oci-mediatypes', 'image-manifest'])
      if (!bool(fields, key, true)) throw refuse(`--cache-to: ${key}=false is not there`, 'unsupported');
    bool(fields, 'force-compression', true);
    return {
      ...place,
      mode,
      compression: compression(fields, place.type),
      ignoreError: bool(fields, 'ignore-error', false),
    };
  });

const WRITTEN = [
  'mode',
  'compression',
  'ignore-error',
  // taken because scripts have them
  'oci-mediatypes',
  'image-manifest',
  'force-compression',
];

function each<T>(texts: readonly string[], flag: string, keys: readonly string[], read: (fields: Fields) => T): T[] {
  if (texts.length > MAX_CACHES) throw refuse(`${flag}: more than ${MAX_CACHES}`);
  return texts.flatMap((text) => {
    if (!text.includes('=')) return text.split(',').map((ref) => read({ type: 'registry', ref }));
    const fields = fieldsOf(text, flag, ['type', 'ref', 'tag', ...keys]);
    if (!['registry', 'local', ...(flag === '--cache-to' ? ['inline'] : [])].includes(fields['type'] ?? ''))
      throw refuse(
        `${flag}: type=${JSON.stringify(fields['type'] ?? '')} is none of registry, local${flag === '--cache-to' ? ', inline' : ''}`,
        'unsupported',
      );
    return [read(fields)];
  });
}

function registry(fields: Fields, flag: string): CacheChoice {
  const { ref } = fields;
  const wrong = ['src', 'dest', 'tag', 'digest'].find((key) => fields[key] !== undefined);
  if (wrong !== undefined) throw refuse(`${flag}: type=registry has no ${wrong}`);
  if (!ref) throw refuse(`${flag}: type=registry needs ref=IMAGE`);
  try {
    parseReference(ref);
  } catch (error) {
    throw refuse(`${flag}: ${JSON.stringify(ref)}: ${causeOf(error)}`);
  }
  return { type: 'registry', reference: ref };
}

function local(fields: Fields, key: 'src' | 'dest', flag: string): CacheChoice {
  const { tag, digest, ref, [key]: folder } = fields;
  if (ref !== undefined) throw refuse(`${flag}: type=local has no ref`);
  if (!folder) throw refuse(`${flag}: type=local needs ${key}=FOLDER`);
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) throw refuse(`${flag}: ${JSON.stringify(tag)} is no tag`);
  if (digest !== undefined && !isDigest(digest)) throw refuse(`${flag}: ${JSON.stringify(digest)} is no digest`);
  return { type: 'local', folder, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** Without a word a registry gets gzip, which everybody reads; in a folder nothing is gained by it but space. */
function compression(fields: Fields, type: CacheChoice['type']): CacheCompression {
  const asked = fields['compression'] ?? (type === 'registry' ? 'gzip' : 'uncompressed');
  const found = COMPRESSIONS.find((known) => known === asked);
  if (!found) throw refuse(`--cache-to: compression=${JSON.stringify(asked)} is none of ${COMPRESSIONS.join(', ')}`);
  return found;
}

function bool(fields: Fields, key: string, otherwise: boolean): boolean {
  const text = fields[key];
  if (text === undefined) return otherwise;
  try {
    return parseBool(text);
  } catch {
    throw refuse(`--cache-to: ${key}=${JSON.stringify(text)} is neither true nor false`);
  }
}
