/**
 * `--mount`: a mount named by keys and values. The parser is pure and does not look at the host. Source of the grammar:
 * Docker's reference of `docker run`, and its client's answers (test/cli/grammar/mounts.test.ts).
 */
import { resolve } from 'node:path';
import type { MountRequest } from '../../engine/contract.ts';
import { checkedMount, checkTarget } from '../../engine/request/mounts.ts';
import { parseCsvRecord } from '../../notation/quoting.ts';
import { isPropagation } from '../../notation/mount-options.ts';
import { parseBool } from '../../notation/scalars.ts';
import { parseBytes } from '../../notation/sizes.ts';

const BIND_RECURSIVE = new Set(['enabled', 'disabled', 'writable', 'readonly']);

/** Parses `--mount type=bind,source=/a,target=/b,readonly` (a CSV record). */
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
  checkTarget(request.target);
  for (const group of groups)
    if (group !== type) throw new Error(`cannot mix '${group}-*' options with mount type '${type}'`);
  return checkedMount(type, request);
}
