/**
 * The data root as a VM's supervisor sees it in its jail: its own container's folder to write to, what belongs to all containers to read, and the database.
 * A VMM that was taken over cannot put anything into an image or another container's disk by itself; what it can do to records is said in docs/security.md.
 * Decides only.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { paths as computePaths } from '../paths.ts';
import type { JailBind } from '../rootless/jail.ts';

/** @param task.autoRemove its supervisor takes the container's folder and anonymous volumes away, which needs the folders above them */
export function dataRootBinds({ id, dataRoot, autoRemove }: { id: string; dataRoot: string; autoRemove: boolean }): JailBind[] {
  const paths = computePaths({ dataRoot });
  const folder = (source: string, readOnly: boolean): JailBind => ({ source, kind: 'directory', readOnly });
  const common = [paths.layers, paths.layerLinks, join(dataRoot, 'blobs'), join(dataRoot, 'names'), ...(autoRemove ? [] : [paths.containers, paths.volumes])];
  return [
    folder(dataRoot, false),
    ...common.filter((path) => existsSync(path)).map((path) => folder(path, true)),
    ...(autoRemove ? [] : [folder(paths.container(id), false)]),
  ];
}
