/**
 * A step's own mounts, as the mounts of a spec and the steps that make what is mounted: overlays of which nothing is
 * kept, secrets on a tmpfs, folders of caches. Decides, and makes folders of the step's own; mounts nothing itself. The
 * same on the host and in a virtual machine.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BuildMount } from '../../build-sandbox.ts';
import type { Step } from '../../launch/plan.ts';
import type { Mount } from '../../spec.ts';
import { overlayOptions } from '../rootfs.ts';

/** A step's own folder, in which folders for its mounts are made. */
export interface MountFolder {
  /** Makes a folder that belongs to the container's root. @returns its path */
  make(name: string): string;
  /** Makes one of overlay's work folders. */
  makeWork(name: string): string;
}

/** New folders for an overlay that is written to. @param prefix of their names */
export function emptyUpper(folder: MountFolder, prefix = ''): { upper: string; work: string; merged: string } {
  return {
    upper: folder.make(`${prefix}upper`),
    work: folder.makeWork(`${prefix}work`),
    merged: folder.make(`${prefix}merged`),
  };
}

/** A mount whose layers are folders already: topmost first, short links or trees, at least one. */
export type StepMount =
  | Exclude<BuildMount, { type: 'bind' }>
  | (Omit<Extract<BuildMount, { type: 'bind' }>, 'from'> & {
      from: { lower: readonly string[] } | { folder: string };
    });

export interface PreparedMounts {
  mounts: Mount[];
  /** carried out before the mounts, as root of the container's namespace */
  steps: Step[];
  /** paths of the host that the mounts need */
  reach: string[];
}

/** bytes: as many as a secret may have, and a page for the name */
const SECRET_SPACE = (1 << 20) + 4096;
const SHARED_FLAGS = ['rbind', 'nosuid', 'nodev', 'rprivate'];

/** Shallow targets first, so that no mount hides one that was made before it. */
export function prepareMounts(mounts: readonly StepMount[], folder: MountFolder): PreparedMounts {
  const prepared: PreparedMounts = { mounts: [], steps: [], reach: [] };
  const sorted = mounts.toSorted((one, other) => depth(one.target) - depth(other.target));
  for (const [index, mount] of sorted.entries()) {
    const destination = mount.target.replace(/(?<=.)\/+$/, '');
    prepared.mounts.push({ destination, ...prepareOne(mount, prepared, { index, folder }) });
  }
  return prepared;
}

const depth = (path: string): number => path.split('/').filter((name) => name !== '').length;

interface Place {
  index: number;
  folder: MountFolder;
}

function prepareOne(mount: StepMount, prepared: PreparedMounts, place: Place): Omit<Mount, 'destination'> {
  switch (mount.type) {
    case 'tmpfs':
      return {
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'nodev', 'mode=1777', ...(mount.size === undefined ? [] : [`size=${mount.size}`])],
      };
    case 'secret':
      return secret(mount, prepared, place);
    case 'ssh':
      // The socket is the step's own (ssh-agent.ts), and belongs to whoever makes it until here.
      prepared.steps.push(
        { op: 'chown', path: mount.agent, uid: mount.uid, gid: mount.gid },
        { op: 'chmod', path: mount.agent, mode: mount.mode },
      );
      return { type: 'bind', source: mount.agent, options: ['bind', 'nosuid', 'nodev', 'noexec', 'rprivate'] };
    case 'cache':
      return cache(mount, prepared);
    default:
      return bind(mount, prepared, place);
  }
}

/** A file of a tmpfs that only this step's mount namespace has. */
function secret(
  { data, mode, uid, gid }: Extract<StepMount, { type: 'secret' }>,
  prepared: PreparedMounts,
  { index, folder }: Place,
): Omit<Mount, 'destination'> {
  const target = folder.make(`secret-${index}`);
  const path = join(target, 'data');
  prepared.steps.push(
    { op: 'mount', source: 'husk', target, fstype: 'tmpfs', flags: 0, data: `mode=700,size=${SECRET_SPACE}` },
    { op: 'writeFile', path, content: data, mode, create: true },
    { op: 'chmod', path, mode },
    { op: 'chown', path, uid, gid },
  );
  return { type: 'bind', source: path, options: ['bind', 'ro', 'nosuid', 'nodev', 'noexec', 'rprivate'] };
}

/** The folder above `data` is husk's own, and no container ever sees it: there is no link to follow. */
function cache(
  { folder, source, readOnly, mode, uid, gid }: Extract<StepMount, { type: 'cache' }>,
  prepared: PreparedMounts,
): Omit<Mount, 'destination'> {
  const path = join(folder, 'data');
  if (!existsSync(path))
    prepared.steps.push(
      { op: 'mkdir', path, mode: 0o700 },
      { op: 'chown', path, uid, gid },
      { op: 'chmod', path, mode },
    );
  prepared.reach.push(folder);
  return {
    type: 'bind',
    source: path,
    ...(isBelow(source) && { subpath: source }),
    options: [...SHARED_FLAGS, ...(readOnly ? ['ro'] : [])],
  };
}

const isBelow = (source: string | undefined): source is string => source !== undefined && source !== '.';

function bind(
  { from, source, readOnly }: Extract<StepMount, { type: 'bind' }>,
  prepared: PreparedMounts,
  { index, folder }: Place,
): Omit<Mount, 'destination'> {
  const lower = 'lower' in from ? from.lower : [from.folder];
  if ('folder' in from) prepared.reach.push(from.folder);
  const subpath = isBelow(source) ? { subpath: source } : {};
  const options = [...SHARED_FLAGS, ...(readOnly ? ['ro'] : [])];
  // A single tree that is only read needs no overlay.
  if (readOnly && lower.length === 1) return { type: 'bind', source: lower[0]!, ...subpath, options };
  // What a container writes there is thrown away; and what it only reads may be a file that it must not find writable.
  const { upper, work, merged } = emptyUpper(folder, `bind-${index}-`);
  const { directory, data } = overlayOptions(
    { kind: 'overlay', lower: [...lower], upper, work, merged },
    { userXattr: true },
  );
  prepared.steps.push(
    { op: 'chdir', path: directory },
    { op: 'mount', source: 'overlay', target: merged, fstype: 'overlay', flags: 0, data },
    { op: 'chdir', path: '/' },
  );
  return { type: 'bind', source: merged, ...subpath, options };
}

/** Where a lower folder's link lies, too: it is followed from there. */
export const reachOf = (lower: readonly string[]): string[] => [...new Set(lower.flatMap((path) => [dirname(path)]))];
