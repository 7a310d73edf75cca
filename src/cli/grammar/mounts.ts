/**
 * `-v`, `--mount` and `--tmpfs`: the three ways to name a mount. Pure; nothing here looks at the host. Source of the
 * grammar: Docker's reference of `docker run`, and its client's answers (test/cli/grammar/mounts.test.ts).
 */
import { isAbsolute, normalize, resolve } from 'node:path';
import type { MountRequest } from '../../engine/contract.ts';
import { parseCsvRecord } from '../../notation/quoting.ts';
import { isPropagation, PROPAGATIONS } from '../../notation/mount-options.ts';
import { parseBool } from '../../notation/scalars.ts';
import { parseBytes } from '../../notation/sizes.ts';

const BIND_RECURSIVE = new Set(['enabled', 'disabled', 'writable', 'readonly']);
/** Each group may appear once in `-v`'s third part. */
const VOLUME_MODES: readonly ReadonlySet<string>[] = [
  new Set(['ro', 'rw', 'rro']),
  new Set(['z', 'Z']),
  new Set(PROPAGATIONS),
  new Set(['nocopy', 'copy']),
  new Set(['cached', 'delegated', 'consistent', 'default']),
  new Set(['U']),
  new Set(['rbind', 'bind']),
];
/** Accepted for compatibility, without effect on Linux. */
const WITHOUT_EFFECT = new Set(['rw', 'cached', 'delegated', 'consistent', 'default', 'copy', 'rbind']);
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/**
 * `-v /ctr`, `-v name:/ctr`, `-v /host:/ctr[:opts]`, `-v ./here:/ctr`
 * @param options.workdir what a relative host folder (`./x`) is relative to
 * @throws Error as Docker words it
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

/** `--tmpfs /run:rw,size=64m` → path and mount options */
export function parseTmpfs(text: string): [path: string, options: string] {
  const colon = text.indexOf(':');
  const path = colon === -1 ? text : text.slice(0, colon);
  if (!isAbsolute(path)) throw new Error(`invalid mount path: '${path}' mount path must be absolute`);
  if (normalize(path) === '/') throw new Error("invalid specification: destination can't be '/'");
  return [stripSlash(normalize(path)), colon === -1 ? '' : text.slice(colon + 1)];
}

/** `--mount type=bind,source=/a,target=/b,readonly` (a CSV record) */
export function parseMount(text: string): MountRequest {
  const request: MountRequest = { type: 'volume', target: '', readonly: false, options: [], createSource: false };
  let type = 'volume';
  const groups = new Set<string>();
  for (const field of parseCsvRecord(text)) {
    const equals = field.indexOf('=');
    const key = (equals === -1 ? field : field.slice(0, equals)).toLowerCase();
    let value = equals === -1 ? '' : field.slice(equals + 1);
    if (equals === -1) {
      if (!['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive', 'bind-create-src'].includes(key))
        throw new Error(`invalid field '${field}' must be a key=value pair`);
      value = 'true';
    }
    if (value === '' && ['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive'].includes(key))
      throw new Error(`invalid value for ${key}: ${value}`);
    const bool = (): boolean => {
      try {
        return parseBool(value);
      } catch {
        throw new Error(`invalid value for ${key}: ${value}`);
      }
    };
    const group = /^(bind|volume|tmpfs|image)-/.exec(key)?.[1];
    if (group !== undefined) groups.add(group);
    switch (key) {
      case 'type':
        type = value.toLowerCase();
        break;
      case 'source':
      case 'src':
        request.source = value.startsWith('.') ? resolve(value) : value;
        break;
      case 'target':
      case 'dst':
      case 'destination':
        request.target = value;
        break;
      case 'readonly':
      case 'ro':
        request.readonly = bool();
        break;
      case 'consistency':
        break;
      case 'bind-propagation':
        if (!isPropagation(value)) throw new Error(`invalid value for ${key}: ${value}`);
        request.options.push(value);
        break;
      case 'bind-nonrecursive':
        if (bool()) request.options.push('bind-nonrecursive');
        break;
      case 'bind-recursive':
        if (!BIND_RECURSIVE.has(value))
          throw new Error(
            `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
          );
        if (value !== 'enabled')
          request.options.push(value === 'disabled' ? 'bind-nonrecursive' : `bind-recursive=${value}`);
        break;
      case 'bind-create-src':
        request.createSource = bool();
        break;
      case 'volume-nocopy':
        if (bool()) request.options.push('nocopy');
        break;
      case 'volume-subpath':
      case 'volume-driver':
      case 'volume-label':
      case 'volume-opt':
      case 'image-subpath':
        request.options.push(`${key}=${value}`);
        break;
      case 'tmpfs-size':
        try {
          request.options.push(`tmpfs-size=${parseBytes(value)}`);
        } catch {
          throw new Error(`invalid value for tmpfs-size: ${value}`);
        }
        break;
      case 'tmpfs-mode':
        if (!/^[0-7]{1,5}$/.test(value)) throw new Error(`invalid value for tmpfs-mode: ${value}`);
        request.options.push(`tmpfs-mode=${value}`);
        break;
      default:
        throw new Error(`unexpected key '${key}' in '${field}'`);
    }
  }
  if (type === '') throw new Error('type is required');
  if (request.target === '') throw new Error('target is required');
  if (!isAbsolute(request.target))
    throw new Error(`invalid mount path: '${request.target}' mount path must be absolute`);
  if (normalize(request.target) === '/') throw new Error("invalid specification: destination can't be '/'");
  for (const group of groups)
    if (group !== type) throw new Error(`cannot mix '${group}-*' options with mount type '${type}'`);
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
