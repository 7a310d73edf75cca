/**
 * Gives a new volume its first contents: a copy of the image's content at its destination. Docker's rule: only a volume
 * (or a subpath of one) that is empty, only without `nocopy`. The copy is made by copy-up.ts in the user namespace,
 * where the image's owners exist; this module decides what is copied where.
 */
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Step } from '../launch/plan.ts';
import { overlayOptions } from '../container/rootfs.ts';
import { idMaps, type IdMaps } from '../rootless/idmap.ts';
import { keepIdMaps, type KeptIds } from '../rootless/keep-id.ts';
import { namespaceProgramOutput } from '../rootless/namespace.ts';
import { layerFolders } from '../rootless/stage.ts';
import { removeTree } from '../rootless/trees.ts';
import { tmpPath } from '../state/tmp-folder.ts';
import type { ResolvedMount } from './contract.ts';
import type { CopyUpJob, VolumeFolder } from './copy-up.ts';
import { readMountOptions } from '../notation/mount-options.ts';

export interface PopulateOptions {
  /** the image's unpacked layers, topmost first */
  lower: readonly string[];
  /** the container's `--user`, looked up in the image, for the option `U`; @default root */
  user?: string;
  /** the caller's ids that the container keeps; `lower` has the owners of that map */
  kept?: KeptIds;
}

export async function populateMounts(
  mounts: readonly ResolvedMount[],
  options: PopulateOptions,
  paths: Paths,
): Promise<void> {
  const volumes = mounts.filter(
    (mount) => mount.type === 'volume' && !readMountOptions(mount.type, mount.options).noCopy && mayBeEmpty(mount),
  );
  const given = mounts.filter(
    ({ type, options: words }) => (type === 'bind' || type === 'volume') && readMountOptions(type, words).chown,
  );
  if (options.lower.length > 0 && (volumes.length > 0 || given.length > 0))
    await copyUp(volumes, given, options, paths);
}

async function copyUp(
  mounts: readonly ResolvedMount[],
  given: readonly ResolvedMount[],
  options: PopulateOptions,
  paths: Paths,
): Promise<void> {
  const view = tmpPath(paths, 'copy-up');
  // An earlier version of husk may have closed the folder to others; where root runs husk the container's root is
  // another user, who must pass through.
  chmodSync(paths.tmp, 0o711);
  makeOwned(view);
  const { root, steps } = imageView([...options.lower], view);
  const maps = options.kept && keepIdMaps(idMaps(), options.kept);
  const copies = mounts.map((mount, index) => ({
    destination: mount.destination,
    ...folderOf(mount),
    stage: join(view, `stage${index}`),
  }));
  const stages = copies.map(({ stage }): Step => ({ op: 'mkdir', path: stage, mode: 0o700 }));
  const seen = [view, ...layerFolders(options.lower)];
  try {
    const copied: Inside = {
      steps: [...steps, ...stages],
      maps,
      kept: [...seen, ...copies.map(({ folder }) => folder)],
    };
    if (copies.length > 0)
      await inNamespace(
        { root, copies },
        copied,
        (why) => `cannot copy the image's files into ${mounts.map((mount) => mount.name).join(', ')}: ${why}`,
      );
    if (given.length === 0) return;
    // The owner is changed after the copy, because the user gets the copied files too.
    const owner = { user: options.user ?? '', folders: given.map(folderOf) };
    const what = `cannot give ${given.map(({ source }) => source).join(', ')} to ${options.user || 'root'}`;
    const inside: Inside = { steps, maps, kept: [...seen, ...given.map(({ source }) => source)] };
    await inNamespace(
      { root, copies: [], owner },
      inside,
      (why) => `${what}: ${why}`,
      'leave the option U away, or own the folder',
    );
  } finally {
    await removeTree(view);
  }
}

function folderOf({ type, source, options }: ResolvedMount): VolumeFolder {
  return { folder: source, subpath: readMountOptions(type, options).subpath };
}

/**
 * The surroundings of a program in the user namespace. `kept` has the folders that it must reach, even where folders
 * above them are closed to it.
 */
interface Inside {
  steps: Step[];
  maps: IdMaps | undefined;
  kept: string[];
}

/** Runs the program. @throws HuskError with `text` of its first complaint */
async function inNamespace(
  job: CopyUpJob,
  { steps, maps, kept }: Inside,
  text: (why: string) => string,
  fix?: string,
): Promise<void> {
  const { code, stderr } = await namespaceProgramOutput({
    program: { internal: 'volume-copy-up', args: [JSON.stringify(job)] },
    reach: { kept },
    mounts: true,
    steps,
    maps,
  });
  if (code !== 0)
    throw new HuskError(text(stderr.trim() || `exit status ${code}`), {
      kind: fix === undefined ? 'internal' : 'unsupported',
      fix,
    });
}

/**
 * @returns the image's whole root: its only layer, or an overlay of all with an upper layer that nothing is written to
 */
function imageView(lower: string[], view: string): { root: string; steps: Step[] } {
  if (lower.length === 1) return { root: lower[0]!, steps: [] };
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(view, name)) as [string, string, string];
  const { directory, data } = overlayOptions({ kind: 'overlay', lower, upper, work, merged }, { userXattr: true });
  return {
    root: merged,
    steps: [
      ...[upper, work, merged].map((path) => ({ op: 'mkdir' as const, path, mode: 0o755 })),
      { op: 'chdir', path: directory },
      { op: 'mount', source: 'overlay', target: merged, fstype: 'overlay', flags: 0, data },
      { op: 'chdir', path: '/' },
    ],
  };
}

/** Makes a folder that belongs to the container's root. */
function makeOwned(folder: string): void {
  mkdirSync(folder, { mode: 0o700 });
  if (process.getuid!() === 0) {
    const maps = idMaps();
    chownSync(folder, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
  }
}

/**
 * Checks a volume's folder from outside, which spares most containers a namespace. Links in a subpath are under a
 * container's control, so a subpath is checked only where it is filled.
 */
function mayBeEmpty({ type, source, options }: ResolvedMount): boolean {
  if (readMountOptions(type, options).subpath !== undefined) return true;
  try {
    return statSync(source).isDirectory() && readdirSync(source).length === 0;
  } catch {
    return false; // the folder is closed to this user: it was filled before, and has an owner of the image
  }
}
