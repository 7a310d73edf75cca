/**
 * What a new volume starts with: a copy of the image's content at its destination. Docker's rule: only a volume that is empty,
 * only without `nocopy`. The copy is made in the user namespace, where the image's owners exist, beside the volume's folder,
 * and renamed into place when it is whole.
 */
import { chownSync, mkdirSync, mkdtempSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Step } from '../container/launch-plan.ts';
import { overlayOptions } from '../container/rootfs.ts';
import { idMaps } from '../rootless/idmap.ts';
import { runInUserNamespace } from '../rootless/namespace.ts';
import { removeTree } from '../rootless/trees.ts';
import { identifySelf } from '../state/process-identity.ts';
import type { ResolvedMount } from './contract.ts';
import type { CopyUpJob } from './copy-up.ts';
import { subpathOf } from './resolve.ts';

/** characters */
const MAX_COMPLAINT = 4096;

export interface PopulateOptions {
  /** the image's unpacked layers, topmost first */
  lower: readonly string[];
  /** the container's `--user`, looked up in the image, for the option `U`; @default root */
  user?: string;
  /** true: another container has the volume, whose mount a rename would leave behind */
  shared?: (volume: string) => boolean;
}

export async function populateMounts(mounts: readonly ResolvedMount[], options: PopulateOptions, paths: Paths): Promise<void> {
  const volumes = mounts.filter((mount) => mount.type === 'volume' && !mount.options.includes('nocopy') && !mount.options.includes('volume-nocopy') && subpathOf(mount.options) === undefined && isEmpty(mount.source));
  const given = mounts.filter((mount) => mount.type !== 'tmpfs' && mount.options.includes('U')).map(({ source }) => source);
  if (options.lower.length > 0 && (volumes.length > 0 || given.length > 0)) await copyUp(volumes, given, options, paths);
}

async function copyUp(mounts: readonly ResolvedMount[], given: readonly string[], options: PopulateOptions, paths: Paths): Promise<void> {
  mkdirSync(paths.tmp, { recursive: true, mode: 0o711 });
  // the name src/supervisor/removal.ts sweeps, should this process be killed
  const view = ownedFolder(join(paths.tmp, `copy-up-${process.pid}-${identifySelf().startTime}-`));
  const { root, steps } = imageView([...options.lower], view);
  const copies = mounts.map((mount) => {
    const inPlace = options.shared?.(mount.name ?? '') ?? false;
    return { mount, inPlace, destination: mount.destination, into: inPlace ? mount.source : ownedFolder(join(dirname(mount.source), '_copy-')) };
  });
  try {
    const copied = await inNamespace({ root, copies: copies.map(({ destination, into }) => ({ destination, into })) }, steps, (why) => `cannot copy the image's files into ${mounts.map((mount) => mount.name).join(', ')}: ${why}`);
    const done = new Set(copied.split('\n'));
    // rename(2) replaces the folder only while it is empty: a container that has written meanwhile keeps what it wrote
    for (const { mount, inPlace, into } of copies) if (!inPlace && done.has(mount.destination)) renameOver(into, mount.source);
    // afterwards: what has just been copied is to be the user's too
    if (given.length > 0) await inNamespace({ root, copies: [], owner: { user: options.user ?? '', paths: [...given] } }, steps, (why) => `cannot give ${given.join(', ')} to ${options.user || 'root'}: ${why}`, 'leave the option U away, or own the folder');
  } finally {
    for (const { inPlace, into } of copies) if (!inPlace) await removeTree(into);
    await removeTree(view);
  }
}

/** @returns what the program printed. @throws HuskError with `text` of its first complaint */
async function inNamespace(job: CopyUpJob, steps: Step[], text: (why: string) => string, fix?: string): Promise<string> {
  const launched = runInUserNamespace({ program: { internal: 'volume-copy-up', args: [JSON.stringify(job)] }, mounts: true, steps, stdout: 'pipe', stderr: 'pipe' });
  let printed = '';
  let complaint = '';
  launched.stdout!.setEncoding('utf8').on('data', (piece: string) => (printed += piece));
  launched.stderr!.setEncoding('utf8').on('data', (piece: string) => (complaint = (complaint + piece).slice(0, MAX_COMPLAINT)));
  await launched.started;
  const { code } = await launched.exited;
  if (code === 0) return printed;
  throw new HuskError(text(complaint.trim() || `exit status ${code}`), { kind: fix === undefined ? 'internal' : 'unsupported', fix });
}

/** The image's whole root: its only layer, or an overlay of all with an upper layer that nothing is written to. */
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

/** a new folder that the namespace's root may write into */
function ownedFolder(prefix: string): string {
  const folder = mkdtempSync(prefix);
  if (process.getuid!() === 0) {
    const maps = idMaps();
    chownSync(folder, maps.uid[0]!.hostID, maps.gid[0]!.hostID);
  }
  return folder;
}

function renameOver(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

function isEmpty(folder: string): boolean {
  try {
    return statSync(folder).isDirectory() && readdirSync(folder).length === 0;
  } catch {
    return false; // closed to us: an image's owner has it already
  }
}
