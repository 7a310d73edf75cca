/**
 * Turns a mount of type `image` into steps that mount the image's tree, or a path beneath it, read-only. An image is
 * hostile: the executor resolves the path beneath the tree (RESOLVE_BENEATH), so that none of its links leads to the
 * host or to another image. This file only decides; the executor mounts.
 */
import { dirname } from 'node:path';
import { HuskError } from '../errors.ts';
import type { Step } from '../launch/plan.ts';
import { MOUNT_ATTR_RDONLY, MS_BIND, MS_RDONLY, type MountOptions } from '../launch/mount-options.ts';
import { readOnlyOverlay } from './rootfs.ts';
import type { Mount } from '../spec.ts';

/** Where an image's tree is found before the container's root is entered. */
export type ImageRoot =
  /** at least two layers, topmost first, and the folder on which the plan mounts them */
  | { kind: 'overlay'; lower: readonly string[]; target: string }
  /** a tree that exists already: a disk's, fuse-overlayfs', or a single folder */
  | { kind: 'directory'; path: string };

/** by the image's id */
export type ImageRoots = ReadonlyMap<string, ImageRoot>;

/** digits of an id that an error shows, as Docker's lists show */
const SHOWN_DIGITS = 12;

export function imageSteps(mount: Mount, { propagation }: MountOptions, images: ImageRoots | undefined): Step[] {
  const { destination, source: id = '', subpath = '' } = mount;
  const image = images?.get(id);
  if (image === undefined)
    throw new HuskError(`the mount at ${destination} is of image "${id}": the sandbox does not have it`, {
      kind: 'internal',
    });
  const source = image.kind === 'overlay' ? image.target : image.path;
  const shown = `image ${id.replace(/^sha256:/, '').slice(0, SHOWN_DIGITS)}`;
  return [
    ...(image.kind === 'overlay' ? overlaySteps(image.lower, image.target) : []),
    {
      op: 'mount',
      source,
      shown,
      target: destination,
      fstype: '',
      flags: MS_BIND,
      data: subpath,
      attributes: { set: MOUNT_ATTR_RDONLY, clear: 0 },
      propagation,
      inRoot: true,
      create: 'like-source',
    },
  ];
}

/**
 * Mounts the overlay outside of the container's root, which is entered later: what is bound from the overlay stays, and
 * the overlay's own mount goes with the old root.
 */
function overlaySteps(lower: readonly string[], target: string): Step[] {
  const directory = dirname(lower[0]!);
  const data = readOnlyOverlay(lower, directory, { userXattr: true });
  return [
    { op: 'chdir', path: directory },
    { op: 'mount', source: 'overlay', target, fstype: 'overlay', flags: MS_RDONLY, data },
    { op: 'chdir', path: '/' },
  ];
}
