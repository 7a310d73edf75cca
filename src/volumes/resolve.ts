/**
 * From what was typed to what is mounted: destinations are checked and de-duplicated by Docker's rules, volumes named,
 * host folders made. Order: --volumes-from, then -v/--mount (which win over it), then the image's VOLUMEs where nothing
 * else is mounted.
 */
import { statSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import { causeOf, HuskError } from '../errors.ts';
import { open } from '../host/fd.ts';
import { fchown, O_DIRECTORY, O_NOFOLLOW } from '../host/files/lookup.ts';
import { readMountOptions } from '../notation/mount-options.ts';
import { makeFolder } from '../host/files/make-folder.ts';
import type { CreateVolume, MountRequest, ResolvedMount, ResolveRequest, Volume } from './contract.ts';

/** limit of bytes, PATH_MAX of linux/limits.h */
const MAX_PATH = 4096;
/** limit of VOLUMEs of an image, which is hostile: each makes a folder, a record and a mount */
const MAX_IMAGE_VOLUMES = 256;

export interface ResolveContext {
  create: (request: CreateVolume) => Volume;
  /**
   * host ids of the container's root, who becomes owner of host folders that are made; absent where they stay with the
   * user that runs husk
   */
  owner?: { uid: number; gid: number };
}

export function resolveMounts(request: ResolveRequest, context: ResolveContext): ResolvedMount[] {
  const byDestination = new Map<string, ResolvedMount>();
  for (const entry of request.volumesFrom ?? [])
    for (const mount of fromContainer(entry, request)) byDestination.set(mount.destination, mount);

  const typed = new Set((request.tmpfs ?? []).map((target) => destination(target, 'tmpfs')));
  // All mounts are checked before the first volume or folder is made.
  for (const mount of request.mounts) {
    const target = destination(mount.target, mount.type);
    if (typed.has(target)) throw new HuskError(`Duplicate mount point: ${target}`, { kind: 'invalid' });
    typed.add(target);
    checkSource(mount);
  }
  for (const target of typed) byDestination.delete(target);
  for (const mount of request.mounts) {
    const resolved = mount.type === 'image' ? imageMount(mount, request.images) : one(mount, context);
    byDestination.set(resolved.destination, resolved);
  }

  const imageVolumes = request.imageVolumes ?? [];
  if (imageVolumes.length > MAX_IMAGE_VOLUMES)
    throw new HuskError(`the image has ${imageVolumes.length} volumes, more than ${MAX_IMAGE_VOLUMES}`, {
      kind: 'limit',
    });
  for (const target of imageVolumes) {
    const path = destination(target, 'volume');
    if (!byDestination.has(path) && !typed.has(path))
      byDestination.set(
        path,
        one({ type: 'volume', target: path, readonly: false, options: [], createSource: false }, context),
      );
  }
  // A mount on /a must not hide one on /a/b. The sort is stable, so equal depths keep their order.
  return [...byDestination.values()].sort((a, b) => depth(a.destination) - depth(b.destination));
}

/** Resolves a mount of an image, which is always read-only, as in Docker. */
function imageMount({ source, target, options }: MountRequest, images: ResolveRequest['images']): ResolvedMount {
  const image = images?.get(source!);
  if (image === undefined) throw new HuskError(`No such image: ${source}`, { kind: 'not-found' });
  const path = destination(target, 'image');
  return { type: 'image', image, source: source!, destination: path, readonly: true, options: [...options] };
}

function one(mount: MountRequest, context: ResolveContext): ResolvedMount {
  const base = {
    destination: destination(mount.target, mount.type),
    readonly: mount.readonly,
    options: [...mount.options],
  };
  if (mount.type === 'tmpfs') return { type: 'tmpfs', source: '', ...base };
  if (mount.type === 'bind') {
    // The path is kept as written, with its symbolic links: mount(2) follows them at each start, as in Docker.
    const source = resolve(mount.source!);
    if (mount.createSource) makeSource(source, context.owner);
    return { type: 'bind', source, ...base };
  }
  const { driver, labels, driverOptions } = readMountOptions(mount.type, mount.options);
  const volume = context.create({ name: mount.source, driver, labels, options: driverOptions });
  const flags = bindFlags(volume.options);
  // A volume that is mounted read-only cannot be filled.
  const options = [
    ...base.options,
    ...flags.filter((flag) => MOUNT_FLAGS.has(flag)),
    ...(flags.includes('ro') ? ['nocopy'] : []),
  ];
  return {
    type: 'volume',
    name: volume.name,
    source: volume.mountpoint,
    ...base,
    options,
    readonly: base.readonly || flags.includes('ro'),
  };
}

/**
 * Checks whether a bind's source may exist. A path that only a user of a container can look up may exist: the
 * container's root can look it up, and the start reports it when it is missing (volumes of images with users of their
 * own).
 */
function mayExist(source: string): boolean {
  try {
    statSync(source);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES';
  }
}

/** flags of a volume's `o=` that its mounts in containers get too */
const MOUNT_FLAGS = new Set(['noexec', 'nosuid', 'nodev', 'noatime', 'relatime']);
/** other flags that a bind may have: they hold anyway, or concern the mount on the host that husk does not make */
const OTHER_FLAGS =
  /^(bind|rbind|ro|rw|defaults|exec|suid|dev|async|auto|noauto|user|nouser|nofail|_netdev|r?(private|shared|slave))$/;

/** @returns the flags of a volume made with `o=bind,…`; none for other volumes */
function bindFlags(options: Record<string, string>): string[] {
  return (options['o'] ?? '').split(',').filter((flag) => flag !== '');
}

/** @returns whether this is a plain bind, which needs no mount by host root */
export function isPlainBind(options: Record<string, string>): boolean {
  const flags = bindFlags(options);
  return (
    ['none', 'bind'].includes(options['type'] ?? 'none') &&
    flags.some((flag) => flag === 'bind' || flag === 'rbind') &&
    flags.every((flag) => OTHER_FLAGS.test(flag) || MOUNT_FLAGS.has(flag))
  );
}

function makeSource(source: string, owner: { uid: number; gid: number } | undefined): void {
  if (mayExist(source)) return;
  try {
    makeFolder(source, 0o755);
    if (!owner) return;
    // The folder was made by host root, and would be closed to the container's root. A container that has the folder
    // above may have put a link in its place by now.
    using made = open(source, O_DIRECTORY | O_NOFOLLOW);
    fchown(made.number, owner.uid, owner.gid);
  } catch (error) {
    throw new HuskError(`error while creating mount source path '${source}': mkdir ${source}: ${causeOf(error)}`, {
      kind: 'invalid',
      cause: error,
    });
  }
}

/**
 * Checks a mount's source; only that of a bind is looked up on the host. @throws HuskError `invalid` in Docker's words
 */
export function checkSource(mount: MountRequest): void {
  if (mount.type === 'tmpfs' && mount.source) throw invalid(mount.type, 'source must not be specified');
  if (mount.type === 'image' && !mount.source) throw invalid(mount.type, 'field Source must not be empty');
  const { subpath } = readMountOptions(mount.type, mount.options);
  if (
    subpath !== undefined &&
    (subpath === '' ||
      posix.isAbsolute(subpath) ||
      posix.normalize(subpath).split('/').includes('..') ||
      subpath.includes('\0') ||
      Buffer.byteLength(subpath) >= MAX_PATH)
  )
    throw invalid(mount.type, 'subpath must be a relative path within the volume');
  if (mount.type !== 'bind') return;
  if (!mount.source) throw invalid(mount.type, 'field Source must not be empty');
  if (mount.source.includes('\0') || Buffer.byteLength(mount.source) >= MAX_PATH)
    throw invalid(mount.type, 'source path is too long or has a NUL byte');
  if (!mount.createSource && !mayExist(resolve(mount.source)))
    throw invalid(mount.type, `bind source path does not exist: ${resolve(mount.source)}`);
}

function invalid(type: string, text: string): HuskError {
  return new HuskError(`invalid mount config for type "${type}": ${text}`, { kind: 'invalid' });
}

/** @returns an absolute path without `.`, `..`, doubled or trailing slashes */
function destination(target: string, type: string): string {
  if (!target) throw invalid(type, 'field Target must not be empty');
  if (!target.startsWith('/')) throw invalid(type, `invalid mount path: '${target}' mount path must be absolute`);
  if (target.includes('\0') || Buffer.byteLength(target) >= MAX_PATH)
    throw invalid(type, 'mount path is too long or has a NUL byte');
  const path = posix.resolve('/', target);
  if (path === '/') throw invalid(type, "invalid specification: destination can't be '/'");
  return path;
}

function fromContainer(entry: string, request: ResolveRequest): ResolvedMount[] {
  const [container, mode, ...rest] = entry.split(':');
  if (!container || rest.length > 0 || (mode !== undefined && !['ro', 'rw', 'z', 'Z', ''].includes(mode)))
    throw new HuskError(`invalid volumes-from: ${JSON.stringify(entry)}: want container[:ro|rw]`, { kind: 'invalid' });
  if (!request.mountsOf) throw new HuskError(`No such container: ${container}`, { kind: 'not-found' });
  // A tmpfs mount belongs to one container alone.
  return request
    .mountsOf(container)
    .filter((mount) => mount.type !== 'tmpfs')
    .map((mount) => ({ ...mount, options: [...mount.options], readonly: mount.readonly || mode === 'ro' }));
}

function depth(path: string): number {
  return path.split('/').length;
}
