/**
 * The names of unpacked trees, and the short links an overlay mount names them by: its options are one page, and a
 * layer's own path is long. Never opens what a link leads to.
 */
import { existsSync, mkdirSync, readlinkSync, statSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';

/** The name carries the version of what write-tree.ts writes; another version is another folder. */
export const TREE = 'tree-v1';

/** Owners on disk are host ids, so containers with other maps (`--userns keep-id`) need trees of their own. */
export function keptSuffix(kept?: KeptIds): string {
  return kept === undefined ? '' : `.keep-${kept.uid}-${kept.gid}`;
}

/** of the name of a layer's tree; undefined: it is no tree */
export function parseTreeName(name: string): { kept?: KeptIds } | undefined {
  if (name === TREE) return {};
  const suffix = name.startsWith(TREE) ? name.slice(TREE.length) : '';
  const [, uid, gid] = /^\.keep-(\d{1,10})-(\d{1,10})$/.exec(suffix) ?? [];
  return uid === undefined ? undefined : { kept: { uid: Number(uid), gid: Number(gid) } };
}

/** What overlay gets as the layers of an image that has none: an empty folder among the short links. */
const NO_LAYERS = 'empty';
/** Hex digits of a short link's name; more where two layers begin alike (which an attacker can arrange). */
const SHORT = 12;

export type UnpackPaths = Pick<Paths, 'layers' | 'layerLinks'>;

export function emptyFolder({ layerLinks }: UnpackPaths): string {
  const folder = join(layerLinks, NO_LAYERS);
  mkdirSync(layerLinks, { recursive: true, mode: 0o711 });
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}

export function hexOf(diffId: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(diffId)?.[1];
  if (hex === undefined) throw new HuskError(`"${diffId}" is not a diffID`, { kind: 'internal' });
  return hex;
}

/** below `paths.layers` */
export const treeOf = (hex: string, kept?: KeptIds) => join(hex, TREE + keptSuffix(kept));
/** of a short link */
const linkTarget = (tree: string) => join('../layers', tree);

const linkName = (hex: string, length: number, kept?: KeptIds) => hex.slice(0, length) + keptSuffix(kept);

export const linkTo = (hex: string, tree: string, paths: UnpackPaths, kept?: KeptIds): string =>
  shortLink(hex, tree, paths, kept) ?? makeShortLink(hex, tree, paths, kept);

/** The link to this tree, if both are there. @param hex its name's digits; @param tree below `paths.layers` */
export function shortLink(hex: string, tree: string, { layerLinks }: UnpackPaths, kept?: KeptIds): string | undefined {
  for (let length = SHORT; length <= hex.length; length += SHORT) {
    const link = join(layerLinks, linkName(hex, length, kept));
    let target: string;
    try {
      target = readlinkSync(link);
    } catch {
      return undefined;
    }
    // Never taken on its name alone: 48 bits can be collided, and the other layer may be anybody's.
    if (target === linkTarget(tree)) return statSync(link, { throwIfNoEntry: false }) ? link : undefined;
  }
  return undefined;
}

function makeShortLink(hex: string, tree: string, paths: UnpackPaths, kept?: KeptIds): string {
  mkdirSync(paths.layerLinks, { recursive: true, mode: 0o711 });
  for (let length = SHORT; length <= hex.length; length += SHORT) {
    const link = join(paths.layerLinks, linkName(hex, length, kept));
    try {
      symlinkSync(linkTarget(tree), link);
      return link;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (readlinkSync(link) === linkTarget(tree)) return link;
      // A link to a layer that is no more is taken over.
      if (!existsSync(link)) {
        unlinkSync(link);
        length -= SHORT;
      }
    }
  }
  throw new HuskError(`cannot make a link for the layer ${hex} in ${paths.layerLinks}`, { kind: 'internal' });
}
