/**
 * Mounts as Docker's client and its API name them: `-v` (`Binds` of the API), `--tmpfs`, and what holds for a mount of
 * keys and values (`--mount`, `Mounts`). The parsers are pure and do not look at the host.
 */
import { isAbsolute, normalize, resolve } from 'node:path';
import { PROPAGATIONS } from '../../notation/mount-options.ts';
import type { MountRequest } from '../contract.ts';

/** groups of words, each of which may appear once in the third part of `-v` */
const VOLUME_MODES: readonly ReadonlySet<string>[] = [
  new Set(['ro', 'rw', 'rro']),
  new Set(['z', 'Z']),
  new Set(PROPAGATIONS),
  new Set(['nocopy', 'copy']),
  new Set(['cached', 'delegated', 'consistent', 'default']),
  new Set(['U']),
  new Set(['rbind', 'bind']),
];
/** words that are accepted for compatibility, without effect on Linux */
const WITHOUT_EFFECT = new Set(['rw', 'cached', 'delegated', 'consistent', 'default', 'copy', 'rbind']);
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/**
 * Parses `-v /ctr`, `-v name:/ctr`, `-v /host:/ctr[:opts]`, `-v ./here:/ctr`.
 * @param options.workdir folder to which a relative host folder (`./x`) is relative
 * @throws Error in Docker's words
 */
export function parseVolume(text: string, options: { workdir: string }): MountRequest {
  if (text === '') throw new Error('invalid empty volume spec');
  const parts = text.split(':');
  const invalid = (why?: string): Error =>
    new Error(`invalid volume specification: '${text}'${why === undefined ? '' : `: ${why}`}`);
  if (parts.length > 3 || parts[0] === '') throw invalid();
  if (parts.length === 2 && isModes(parts[1]!)) throw invalid();
  const [source, target, modes] =
    parts.length === 1 ? [undefined, parts[0]!, ''] : [parts[0]!, parts[1]!, parts[2] ?? ''];
  if (target === '') throw invalid();
  if (parts.length === 3 && !isModes(modes)) throw invalid(`invalid mode: ${modes}`);
  if (!isAbsolute(target)) throw invalid(`invalid mount path: '${target}' mount path must be absolute`);
  if (normalize(target) === '/') throw invalid("invalid specification: destination can't be '/'");
  const names = modes === '' ? [] : modes.split(',');
  const request: MountRequest = {
    type: 'volume',
    target: stripSlash(normalize(target)),
    readonly: names.includes('ro') || names.includes('rro'),
    options: names.filter((name) => name !== 'ro' && !WITHOUT_EFFECT.has(name)),
    createSource: true,
  };
  if (source === undefined) return request;
  if (isAbsolute(source) || source.startsWith('.'))
    return { ...request, type: 'bind', source: resolve(options.workdir, source) };
  if (source.length === 1)
    throw new Error(`create ${source}: volume name is too short, names should be at least two alphanumeric characters`);
  if (!VOLUME_NAME.test(source))
    throw new Error(
      `create ${source}: ${JSON.stringify(source)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  return { ...request, source };
}

function isModes(text: string): boolean {
  const counts = new Map<ReadonlySet<string>, number>();
  for (const mode of text.split(',')) {
    const group = VOLUME_MODES.find((each) => each.has(mode));
    if (!group || counts.has(group)) return false;
    counts.set(group, 1);
  }
  return true;
}

const stripSlash = (path: string): string => (path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path);

/** Splits `--tmpfs /run:rw,size=64m` into path and mount options. */
export function parseTmpfs(text: string): [path: string, options: string] {
  const colon = text.indexOf(':');
  const path = colon === -1 ? text : text.slice(0, colon);
  if (!isAbsolute(path)) throw new Error(`invalid mount path: '${path}' mount path must be absolute`);
  if (normalize(path) === '/') throw new Error("invalid specification: destination can't be '/'");
  return [stripSlash(normalize(path)), colon === -1 ? '' : text.slice(colon + 1)];
}

/** @throws Error in Docker's words for what is no place in a container */
export function checkTarget(target: string): void {
  if (target === '') throw new Error('target is required');
  if (!isAbsolute(target)) throw new Error(`invalid mount path: '${target}' mount path must be absolute`);
  if (normalize(target) === '/') throw new Error("invalid specification: destination can't be '/'");
}

/**
 * A mount of keys and values, once its type is known to be one.
 * @throws Error in Docker's words
 */
export function checkedMount(type: string, request: Omit<MountRequest, 'type'>): MountRequest {
  checkTarget(request.target);
  if (type !== 'bind' && type !== 'volume' && type !== 'tmpfs' && type !== 'image')
    throw new Error(`mount type '${type}' is not supported: use bind, volume, tmpfs or image`);
  if (type === 'bind' && !request.source) throw new Error('field Source must not be empty');
  if (type === 'bind' && !isAbsolute(request.source!))
    throw new Error(`invalid mount path: '${request.source}' mount path must be absolute`);
  if (type === 'image' && !request.source)
    throw new Error('invalid mount config for type "image": field Source must not be empty');
  if (type === 'tmpfs' && request.source !== undefined)
    throw new Error('invalid mount config for type "tmpfs": field Source must not be specified');
  if (type === 'volume' && request.source && !VOLUME_NAME.test(request.source))
    throw new Error(
      `invalid mount config for type "volume": ${JSON.stringify(request.source)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed`,
    );
  return { ...request, type, target: stripSlash(normalize(request.target)), source: request.source || undefined };
}
