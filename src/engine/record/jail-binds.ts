/**
 * The data root as a VM's supervisor sees it in its jail: its own container's folder to write to, images to read, the
 * database; of other containers and of volumes nothing. A VMM that was taken over cannot put anything into an image, or
 * read another container's disk, log or key, by itself; what it can do to records is said in docs/security.md.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { paths as computePaths } from '../../paths.ts';
import type { JailBind } from '../../rootless/jail.ts';
import { makeTemplateFolder } from '../../vmm/templates/folder.ts';

/** name of a folder with an empty place for one container: its jail has this where all containers' folders are */
const ALONE = 'alone';

/**
 * Makes the container's folder when it is not there.
 * @param task.autoRemove its supervisor takes the container's folder and anonymous volumes away, which needs the
 * folders above them
 */
export function dataRootBinds({
  id,
  dataRoot,
  autoRemove,
}: {
  id: string;
  dataRoot: string;
  autoRemove: boolean;
}): JailBind[] {
  const paths = computePaths({ dataRoot });
  const own = paths.container(id);
  const alone = join(own, ALONE);
  mkdirSync(own, { recursive: true, mode: 0o711 });
  mkdirSync(join(alone, id), { recursive: true, mode: 0o711 });
  // Whoever writes there runs code in every machine: it is never missing, or a monitor could make it.
  makeTemplateFolder(paths.templates);
  // likewise; and whoever reads there reads other containers' memory
  makeTemplateFolder(paths.saved);
  const readable = [
    paths.layers,
    paths.layerLinks,
    join(dataRoot, 'blobs'),
    join(dataRoot, 'names'),
    paths.templates,
  ].filter((path) => existsSync(path));
  const bind = (target: string, { source = target, readOnly }: { source?: string; readOnly: boolean }): JailBind => ({
    source,
    target,
    kind: 'directory',
    readOnly,
  });
  return [
    bind(dataRoot, { readOnly: false }),
    ...readable.map((path) => bind(path, { readOnly: true })),
    bind(paths.saved, { source: alone, readOnly: true }),
    ...(autoRemove
      ? []
      : [paths.volumes, paths.containers]
          .filter((path) => existsSync(path))
          .map((path) => bind(path, { source: alone, readOnly: true }))),
    ...(autoRemove ? [] : [bind(own, { readOnly: false })]),
  ];
}
