/**
 * The Container Device Interface: a vendor's JSON says what a device named `vendor/class=name` brings into a
 * container. Parses and decides only; ../cdi-files.ts reads. Hooks are never run: they are programs of the host's, and
 * husk starts none for a container. Source: cncf-tags/container-device-interface SPEC.md 0.8; docker/cli
 * opts/gpus.go.
 */
import type { Mount } from '../../../spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import { isCdiDevice, type DeviceRequest } from '../../../notation/devices.ts';
import { parseCsvRecord } from '../../../notation/quoting.ts';

/** items of one list, and characters of one text: far above what a device needs */
const MAX_ITEMS = 1024;
const MAX_TEXT = 4096;
/** Mount options that mean a place in the container and its rights; what else a file says is refused. */
const MOUNT_OPTIONS = new Set([
  'ro',
  'rw',
  'bind',
  'rbind',
  'private',
  'rprivate',
  'slave',
  'rslave',
  'nosuid',
  'nodev',
  'noexec',
  'suid',
  'dev',
  'exec',
  'noatime',
  'relatime',
]);

/** What a device brings. */
export interface CdiEdits {
  env: string[];
  nodes: DeviceRequest[];
  mounts: Mount[];
  groups: number[];
  /** there are hooks, which stay undone */
  hasHooks: boolean;
}

export interface CdiSpecification {
  /** vendor/class */
  kind: string;
  /** edits that every device of this kind brings */
  common: CdiEdits;
  devices: Map<string, CdiEdits>;
}

/** @throws HuskError `invalid` naming the file and what is wrong */
export function parseCdi(text: string, file: string): CdiSpecification {
  const reader = new Reader(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw reader.wrong('it is not JSON');
  }
  const top = reader.object(value, 'the specification');
  const kind = reader.text(top['kind'], 'kind');
  if (!isCdiDevice(`${kind}=x`)) throw reader.wrong(`"${kind}" is no kind`);
  const devices = new Map<string, CdiEdits>();
  for (const item of reader.list(top['devices'], 'devices')) {
    const device = reader.object(item, 'a device');
    const name = reader.text(device['name'], 'name');
    if (!isCdiDevice(`${kind}=${name}`)) throw reader.wrong(`"${name}" is no device's name`);
    devices.set(name, edits(device['containerEdits'], reader));
  }
  return { kind, common: edits(top['containerEdits'], reader), devices };
}

/**
 * @param specifications later ones win
 * @throws HuskError `invalid` in Docker's words for a name that none has
 */
export function cdiEdits(
  name: string,
  specifications: readonly CdiSpecification[],
  unread: readonly string[] = [],
): CdiEdits {
  const [kind = '', device = ''] = name.split('=');
  const found = specifications.findLast((one) => one.kind === kind && one.devices.has(device));
  if (!found)
    throw new HuskError(`CDI device injection failed: unresolvable CDI devices ${name}`, {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
      fix:
        unread.length > 0
          ? `husk reads CDI specifications in JSON, not ${unread.join(', ')} (nvidia-ctk cdi generate --format=json)`
          : 'put its CDI specification, in JSON, into /etc/cdi or /var/run/cdi',
    });
  const own = found.devices.get(device)!;
  return {
    env: [...found.common.env, ...own.env],
    nodes: [...found.common.nodes, ...own.nodes],
    mounts: [...found.common.mounts, ...own.mounts],
    groups: [...found.common.groups, ...own.groups],
    hasHooks: found.common.hasHooks || own.hasHooks,
  };
}

function edits(value: unknown, reader: Reader): CdiEdits {
  if (value === undefined) return { env: [], nodes: [], mounts: [], groups: [], hasHooks: false };
  const given = reader.object(value, 'containerEdits');
  const env = reader.list(given['env'], 'env').map((entry) => reader.text(entry, 'env'));
  const wrong = env.find((entry) => entry.indexOf('=') < 1);
  if (wrong !== undefined) throw reader.wrong(`"${wrong}" is no environment variable`);
  const nodes = reader.list(given['deviceNodes'], 'deviceNodes').map((item): DeviceRequest => {
    const node = reader.object(item, 'a device node');
    const container = reader.path(node['path'], 'path');
    const access = node['permissions'] === undefined ? 'rwm' : reader.text(node['permissions'], 'permissions');
    if (!/^[rwm]{1,3}$/.test(access)) throw reader.wrong(`"${access}" are no permissions`);
    return {
      host: node['hostPath'] === undefined ? container : reader.path(node['hostPath'], 'hostPath'),
      container,
      access,
    };
  });
  const mounts = reader.list(given['mounts'], 'mounts').map((item): Mount => {
    const mount = reader.object(item, 'a mount');
    const options = reader.list(mount['options'], 'options').map((option) => reader.text(option, 'options'));
    const unknown = options.find((option) => !MOUNT_OPTIONS.has(option));
    if (unknown !== undefined) throw reader.wrong(`the mount option "${unknown}" is not known`);
    const bind = options.some((option) => option === 'bind' || option === 'rbind') ? [] : ['rbind'];
    return {
      type: 'bind',
      source: reader.path(mount['hostPath'], 'hostPath'),
      destination: reader.path(mount['containerPath'], 'containerPath'),
      options: [...bind, ...options],
    };
  });
  const groups = reader.list(given['additionalGids'], 'additionalGids').map((gid) => {
    if (!Number.isInteger(gid) || (gid as number) < 0 || (gid as number) > 0x7fff_ffff)
      throw reader.wrong(`${JSON.stringify(gid)} is no group`);
    return gid as number;
  });
  return { env, nodes, mounts, groups, hasHooks: reader.list(given['hooks'], 'hooks').length > 0 };
}

/** Takes values out of JSON that anybody may have written: a kind, a length, and no more. */
class Reader {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  wrong(why: string): HuskError {
    return new HuskError(`cannot use the CDI specification ${this.#file}: ${why}`, {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
    });
  }

  object(value: unknown, what: string): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.wrong(`${what} is no object`);
    return value as Record<string, unknown>;
  }

  list(value: unknown, what: string): unknown[] {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value) || value.length > MAX_ITEMS)
      throw this.wrong(`"${what}" is no list of at most ${MAX_ITEMS}`);
    return value;
  }

  text(value: unknown, what: string): string {
    if (typeof value !== 'string' || value.length > MAX_TEXT || value.includes('\0'))
      throw this.wrong(`"${what}" is no text of at most ${MAX_TEXT} characters`);
    return value;
  }

  path(value: unknown, what: string): string {
    const path = this.text(value, what);
    if (!path.startsWith('/')) throw this.wrong(`"${what}": "${path}" is not an absolute path`);
    return path;
  }
}

/** NVIDIA's kind, which `--gpus` means with Docker */
const GPU = 'nvidia.com/gpu';
const MAX_GPUS = 64;

/**
 * `--gpus` as devices: `all`, a number, or `device=0,1`; Docker's other keys are hints to a driver that is not here.
 * @throws Error in the words of docker's client
 */
export function gpuDevices(text: string): string[] {
  const fields = parseCsvRecord(text).filter(Boolean);
  const devices: string[] = [];
  let count: string | undefined;
  for (const field of fields) {
    const [key = '', value] = field.split(/=(.*)/s);
    if (value === undefined) count = key;
    else if (key === 'count') count = value;
    else if (key === 'device') devices.push(...value.split(','));
    else if (key === 'driver' && value !== 'nvidia' && value !== 'cdi')
      throw new Error(`could not select device driver "${value}" with capabilities: [[gpu]]`);
    else if (key !== 'driver' && key !== 'capabilities' && key !== 'options')
      throw new Error(`unexpected key '${key}' in '${field}'`);
  }
  if (count !== undefined && devices.length > 0)
    throw new Error('cannot set both Count and DeviceIDs on device request');
  if (count === 'all' || count === '-1' || (count === undefined && devices.length === 0)) return [`${GPU}=all`];
  if (count !== undefined && (!/^\d{1,3}$/.test(count) || Number(count) > MAX_GPUS))
    throw new Error('count must be an integer or "all"');
  const names = count === undefined ? devices : Array.from({ length: Number(count) }, (_, index) => String(index));
  const wrong = names.find((name) => !isCdiDevice(`${GPU}=${name}`));
  if (wrong !== undefined) throw new Error(`"${wrong}" is no GPU`);
  return names.map((name) => `${GPU}=${name}`);
}
