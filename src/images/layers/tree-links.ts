/**
 * The names of unpacked trees, and the short links by which an overlay mount names them: a mount's options are one
 * page, and a layer's own path is long. This module never opens what a link leads to.
 */
import { existsSync, mkdirSync, readlinkSync, statSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';

/**
 * name of an unpacked tree; it carries the version of the output of write-tree.ts, and another version is another
 * folder
 */
export const TREE = 'tree-v1';

/**
 * @returns the ending of a tree's name for these ids. Owners on disk are host ids, so containers with other maps
 * (`--userns keep-id`) need trees of their own.
 */
export function keptSuffix(kept?: KeptIds): string {
  return kept === undefined ? '' : `.keep-${kept.uid}-${kept.gid}`;
}

/** Parses the name of a layer's tree. @returns undefined when the name is not a tree's */
export function parseTreeName(name: string): { kept?: KeptIds } | undefined {
  if (name === TREE) return {};
  const suffix = name.startsWith(TREE) ? name.slice(TREE.length) : '';
  const [, uid, gid] = /^\.keep-(\d{1,10})-(\d{1,10})$/.exec(suffix) ?? [];
  return uid === undefined ? undefined : { kept: { uid: Number(uid), gid: Number(gid) } };
}

/** name of the empty folder among the short links that overlay gets as the layers of an image that has none */
const NO_LAYERS = 'empty';
/** hex digits of a short link's name; more where two layers begin alike (which an attacker can arrange) */
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

/** @returns the path of a layer's tree below `paths.layers` */
export const treeOf = (hex: string, kept?: KeptIds) => join(hex, TREE + keptSuffix(kept));
/** @returns what a short link leads to */
const linkTarget = (tree: string) => join('../layers', tree);

const linkName = (hex: string, length: number, kept?: KeptIds) => hex.slice(0, length) + keptSuffix(kept);

export const linkTo = (hex: string, tree: string, paths: UnpackPaths, kept?: KeptIds): string =>
  shortLink(hex, tree, paths, kept) ?? makeShortLink(hex, tree, paths, kept);

/**
 * @returns the link to this tree, if both are there
 * @param hex the digits of the link's name
 * @param tree the tree, below `paths.layers`
 */
export function shortLink(hex: string, tree: string, { layerLinks }: UnpackPaths, kept?: KeptIds): string | undefined {
  for (let length = SHORT; length <= hex.length; length += SHORT) {
    const link = join(layerLinks, linkName(hex, length, kept));
    let target: string;
    try {
      target = readlinkSync(link);
    } catch {
      return undefined;
    }
    // A link is never trusted for its name alone: a collision of 48 bits can be made, and the other layer may be an
    // attacker's.
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
      // A link to a layer that has been removed is replaced.
      if (!existsSync(link)) {
        unlinkSync(link);
        length -= SHORT;
      }
    }
  }
  throw new HuskError(`cannot make a link for the layer ${hex} in ${paths.layerLinks}`, { kind: 'internal' });
}
