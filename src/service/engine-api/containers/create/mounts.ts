/** `Volumes`, `HostConfig.Binds`, `.Mounts`, `.Tmpfs` of a create body. What they name is not looked up here. */
import { checkedMount, checkTarget, parseTmpfs, parseVolume } from '../../../../engine/request/mounts.ts';
import type { CreateOptions, MountRequest } from '../../../../engine/contract.ts';
import { HuskError } from '../../../../errors.ts';
import { isPropagation } from '../../../../notation/mount-options.ts';
import type { BodyFields } from '../../../http/body-fields.ts';
import { refusing } from './refusing.ts';

/** @throws HuskError `invalid` in Docker's words */
export function readMounts(body: BodyFields, host: BodyFields): Pick<CreateOptions, 'mounts' | 'tmpfs'> {
  const binds = host.texts('Binds').map((text) => refusing(() => readBind(text)));
  const others = host.objects('Mounts').map((mount) => refusing(() => readMount(mount)));
  const mounts = [...binds, ...others];
  const taken = new Set<string>();
  for (const { target } of mounts) {
    if (taken.has(target)) throw invalid(`Duplicate mount point: ${target}`);
    taken.add(target);
  }
  // Docker: an anonymous volume gives way to whatever was asked for at its place.
  const anonymous = body.names('Volumes').map((target) => refusing(() => anonymousVolume(target)));
  return {
    mounts: [...mounts, ...anonymous.filter(({ target }) => !taken.has(target))],
    tmpfs: Object.fromEntries(
      Object.entries(host.map('Tmpfs')).map(([path, options]) => [refusing(() => tmpfsPath(path)), options]),
    ),
  };
}

/** Clients have made a relative path absolute: the server has no folder that it could be relative to. */
function readBind(text: string): MountRequest {
  if (text.startsWith('.'))
    throw new Error(`invalid volume specification: '${text}': the path on the host must be absolute`);
  const mount = parseVolume(text, { workdir: '/' });
  if (mount.source === undefined) throw new Error(`invalid volume specification: '${text}'`);
  return mount;
}

/** The parser's text has the path before the first colon. */
function tmpfsPath(path: string): string {
  if (path.includes(':')) throw new Error(`invalid mount path: '${path}' must not have a colon`);
  return parseTmpfs(path)[0];
}

function anonymousVolume(target: string): MountRequest {
  checkTarget(target);
  return { ...checkedMount('volume', { target, readonly: false, options: [], createSource: true }) };
}

/** husk has no `cluster`, and `npipe` is of Windows. */
const TYPES = ['bind', 'volume', 'tmpfs', 'image'];

function readMount(mount: BodyFields): MountRequest {
  const type = mount.text('Type');
  const bind = optionsOf(mount, 'BindOptions', 'bind', type);
  const request = {
    source: mount.optional('Source'),
    target: mount.text('Target'),
    readonly: mount.flag('ReadOnly'),
    options: [
      ...(bind ? bindOptions(bind) : []),
      ...volumeOptions(optionsOf(mount, 'VolumeOptions', 'volume', type)),
      ...imageOptions(optionsOf(mount, 'ImageOptions', 'image', type)),
      ...tmpfsOptions(optionsOf(mount, 'TmpfsOptions', 'tmpfs', type)),
    ],
    createSource: bind?.flag('CreateMountpoint') ?? false,
  };
  if (!TYPES.includes(type)) throw invalid(`invalid mount config for type ${JSON.stringify(type)}: mount type unknown`);
  return checkedMount(type, request);
}

/** @throws HuskError `invalid` for options of another type, in Docker's words */
function optionsOf(mount: BodyFields, name: string, of: string, type: string): BodyFields | undefined {
  if (!mount.asks(name)) return undefined;
  if (of !== type)
    throw invalid(`invalid mount config for type ${JSON.stringify(type)}: field ${name} must not be specified`);
  return mount.object(name);
}

function bindOptions(bind: BodyFields): string[] {
  const propagation = bind.text('Propagation');
  if (propagation !== '' && !isPropagation(propagation))
    throw invalid(`invalid mount config for type "bind": invalid propagation mode: ${propagation}`);
  return [
    ...(propagation === '' ? [] : [propagation]),
    ...(bind.flag('NonRecursive') ? ['bind-nonrecursive'] : []),
    ...(bind.flag('ReadOnlyNonRecursive') ? ['bind-recursive=writable'] : []),
    ...(bind.flag('ReadOnlyForceRecursive') ? ['bind-recursive=readonly'] : []),
  ];
}

function volumeOptions(volume: BodyFields | undefined): string[] {
  if (!volume) return [];
  const driver = volume.object('DriverConfig');
  return [
    ...(volume.flag('NoCopy') ? ['nocopy'] : []),
    ...pairs('volume-label', volume.map('Labels')),
    ...valued('volume-subpath', volume.text('Subpath')),
    ...valued('volume-driver', driver?.text('Name') ?? ''),
    ...pairs('volume-opt', driver?.map('Options') ?? {}),
  ];
}

function imageOptions(image: BodyFields | undefined): string[] {
  return valued('image-subpath', image?.text('Subpath') ?? '');
}

function tmpfsOptions(tmpfs: BodyFields | undefined): string[] {
  if (!tmpfs) return [];
  if (tmpfs.asks('Options'))
    throw new HuskError(`${tmpfs.path('Options')}: husk sets no options of a tmpfs mount but its size and mode`, {
      kind: 'invalid',
      fix: 'use HostConfig.Tmpfs, which takes all of them',
    });
  return [
    ...valued('tmpfs-size', String(tmpfs.positive('SizeBytes') ?? '')),
    ...valued('tmpfs-mode', tmpfs.positive('Mode')?.toString(8) ?? ''),
  ];
}

const valued = (key: string, value: string): string[] => (value === '' ? [] : [`${key}=${value}`]);
const pairs = (key: string, map: Record<string, string>): string[] =>
  Object.entries(map).map(([name, value]) => `${key}=${name}=${value}`);
const invalid = (message: string): HuskError => new HuskError(message, { kind: 'invalid' });
