/**
 * For husk run by root: the sources of bind mounts may lie where the container's mapped root cannot go (/root, a 0700 home). They
 * are bound, still as host root, onto a tmpfs in a mount namespace of the plan's own, and the spec's mounts name them there.
 * An ordinary user needs none of this: the container's root is that user.
 */
import { join } from 'node:path';
import type { Step } from '../container/launch-plan.ts';
import { MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC, MS_SLAVE } from '../container/mount-options.ts';
import { CLONE_NEWNS } from '../container/namespaces.ts';
import type { Mount, Spec } from '../container/spec.ts';
import { reachSteps } from './reach.ts';

export interface Staged {
  spec: Spec;
  /** before everything else of the plan */
  steps: Step[];
}

/**
 * @param options.folder an existing, empty folder of the data root; nothing is left in it
 * @param options.dataRoot the folder that has all the container's own files
 */
export function stageBinds(spec: Spec, options: { folder: string; dataRoot: string }): Staged {
  const { folder } = options;
  const steps: Step[] = [];
  const mounts = spec.mounts.map((mount, index): Mount => {
    if (!isBind(mount) || mount.source === undefined) return mount;
    const target = join(folder, String(index));
    // recursive only where the container's own bind is: the kernel lets nobody take a locked mount without what lies on it
    const flags = MS_BIND | (mount.options?.includes('rbind') ? MS_REC : 0);
    steps.push({ op: 'mount', source: mount.source, target, fstype: '', flags, data: mount.subpath ?? '', create: 'like-source' });
    return { ...mount, source: target, subpath: undefined };
  });
  const reach = reachSteps([options.dataRoot]);
  if (steps.length === 0 && reach.length === 0) return { spec, steps };
  const propagation = /slave|shared/.test(spec.linux.rootfsPropagation ?? '') ? MS_SLAVE : MS_PRIVATE;
  return {
    spec: { ...spec, mounts },
    steps: [
      { op: 'unshare', flags: CLONE_NEWNS },
      { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | propagation, data: '' },
      { op: 'mount', source: 'husk', target: folder, fstype: 'tmpfs', flags: MS_NOSUID | MS_NODEV | MS_NOEXEC, data: 'mode=755' },
      ...steps,
      ...reach,
    ],
  };
}

export function isBind({ type, options }: Mount): boolean {
  return type === 'bind' || options?.includes('bind') === true || options?.includes('rbind') === true;
}
