/**
 * For husk run by root: the sources of bind mounts may lie where the container's mapped root cannot go (/root, a 0700
 * home). They are taken, still as host root, and shown on a tmpfs in a mount namespace of the plan's own (reach.ts),
 * where the spec's mounts name them. An ordinary user needs none of this: the container's root is that user.
 */
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MS_PRIVATE, MS_SLAVE } from '../launch/mount-options.ts';
import type { Mount, Spec } from '../spec.ts';
import type { Reach, StagedTree } from './reach.ts';

export interface Staged {
  spec: Spec;
  /** before everything else of the plan; absent: nothing is in the way */
  reach?: Reach;
}

export interface StagedFolders {
  /** an existing, empty folder of the container's; nothing is left in it */
  folder: string;
  /** of the container, with its upper layer */
  directory: string;
  /** its layers, links or folders */
  lower: readonly string[];
  /** folders of images that are mounted into it */
  images?: readonly string[];
}

export function stageBinds(spec: Spec, options: StagedFolders): Staged {
  const { folder, directory, lower, images = [] } = options;
  const trees: StagedTree[] = [];
  const mounts = spec.mounts.map((mount, index): Mount => {
    if (!isBind(mount) || mount.source === undefined) return mount;
    const target = join(folder, String(index));
    // recursive only where the container's own bind is: the kernel lets nobody take a locked mount without what lies on
    // it
    trees.push({
      source: mount.source,
      beneath: mount.subpath,
      target,
      recursive: mount.options?.includes('rbind') ?? false,
    });
    return { ...mount, source: target, subpath: undefined };
  });
  const propagation = /slave|shared/.test(spec.linux.rootfsPropagation ?? '') ? MS_SLAVE : MS_PRIVATE;
  return {
    spec: { ...spec, mounts },
    reach: {
      kept: [directory, ...layerFolders(lower), ...images],
      ...(trees.length > 0 && { staged: { folder, trees } }),
      propagation,
    },
  };
}

/** The layers an overlay mount names, and the folders in which it finds the links to them. */
export function layerFolders(lower: readonly string[]): string[] {
  return lower.flatMap((link) => {
    const tree = realpathSync(link);
    return tree === link ? [tree] : [dirname(link), tree];
  });
}

export function isBind({ type, options }: Mount): boolean {
  return type === 'bind' || options?.includes('bind') === true || options?.includes('rbind') === true;
}
