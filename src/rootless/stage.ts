/**
 * Stages the sources of bind mounts when root runs husk: they may lie where the container's mapped root cannot go
 * (/root, a 0700 home). Each source is opened while the plan is still host root, and shown on a tmpfs in a mount
 * namespace of the plan's own (reach.ts), where the spec's mounts name it. An ordinary user needs none of this, because
 * the container's root is that user.
 */
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MS_PRIVATE, MS_SLAVE } from '../launch/mount-options.ts';
import type { Mount, Spec } from '../spec.ts';
import type { Reach, StagedTree } from './reach.ts';

export interface Staged {
  spec: Spec;
  /** what comes before everything else of the plan; absent: everything can be reached as it is */
  reach?: Reach;
}

export interface StagedFolders {
  /** an existing, empty folder of the container's; nothing is left in it */
  folder: string;
  /** folder of the container, with its upper layer */
  directory: string;
  /** the container's layers, as links or folders */
  lower: readonly string[];
  /** folders of images that are mounted into the container */
  images?: readonly string[];
}

export function stageBinds(spec: Spec, options: StagedFolders): Staged {
  const { folder, directory, lower, images = [] } = options;
  const trees: StagedTree[] = [];
  const mounts = spec.mounts.map((mount, index): Mount => {
    if (!isBind(mount) || mount.source === undefined) return mount;
    const target = join(folder, String(index));
    // The tree is recursive only where the container's own bind is, because the kernel does not let a locked mount be
    // taken without what is mounted on it.
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

/** @returns the layers that an overlay mount names, and the folders in which it finds the links to them */
export function layerFolders(lower: readonly string[]): string[] {
  return lower.flatMap((link) => {
    const tree = realpathSync(link);
    return tree === link ? [tree] : [dirname(link), tree];
  });
}

export function isBind({ type, options }: Mount): boolean {
  return type === 'bind' || options?.includes('bind') === true || options?.includes('rbind') === true;
}
