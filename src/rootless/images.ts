/**
 * Prepares the images that are mounted into a container (mounts of type `image`) for a plan: each is a read-only
 * overlay of its layers, mounted on a folder of the container's own. Where the kernel's overlay cannot serve,
 * fuse-overlayfs mounts them beside the root's.
 */
import { dirname, join } from 'node:path';
import type { ImageRoot, ImageRoots } from '../container/image-mounts.ts';
import { HuskError } from '../errors.ts';
import { makeFolder } from '../host/files/make-folder.ts';
import type { ImageTree, SandboxConfig } from '../sandbox.ts';
import { mountReadOnlyFuseOverlay, type FuseOptions, type FuseOverlay } from './fuse-overlay.ts';
import { layerFolders } from './stage.ts';

type Images = Pick<SandboxConfig, 'images' | 'directory'>;

/** `target`: containers/<id>/images/<hex digits of the image's id>, which `inspect` names */
function lowerOf(image: ImageTree, directory: string): Extract<ImageRoot, { kind: 'overlay' }> {
  if (image.kind !== 'overlay')
    throw new HuskError('user-namespace isolation runs on unpacked layers, not on a disk', { kind: 'internal' });
  return { kind: 'overlay', lower: image.lower, target: join(directory, 'images', image.id.replace(/^sha256:/, '')) };
}

/** Makes the folders on which the images are mounted. */
export function imageRoots({ images = [], directory }: Images): ImageRoots {
  return new Map(
    images.map((image): [string, ImageRoot] => {
      const root = lowerOf(image, directory);
      // An image without layers is a single folder, but an overlay needs at least two.
      if (root.lower.length === 1) return [image.id, { kind: 'directory', path: root.lower[0]! }];
      makeFolder(dirname(root.target), 0o755);
      makeFolder(root.target, 0o755);
      return [image.id, root];
    }),
  );
}

/** @returns the folders of the data root that the mounts must reach */
export function imageFolders({ images = [], directory }: Images): string[] {
  return images.flatMap((image) => layerFolders(lowerOf(image, directory).lower));
}

/**
 * Mounts those roots that are overlays by fuse-overlayfs, in the namespaces of `beside`.
 * @param onFuse called at once with each mount, so that the caller closes it whatever happens next
 */
export async function fuseImageRoots(
  roots: ImageRoots,
  options: { maps: FuseOptions['maps']; beside: FuseOverlay },
  onFuse: (fuse: FuseOverlay) => void,
): Promise<ImageRoots> {
  const mounted = new Map<string, ImageRoot>();
  for (const [id, root] of roots) {
    if (root.kind !== 'overlay') {
      mounted.set(id, root);
      continue;
    }
    const { lower, target } = root;
    onFuse(await mountReadOnlyFuseOverlay({ lower, directory: dirname(lower[0]!), target }, options));
    mounted.set(id, { kind: 'directory', path: target });
  }
  return mounted;
}
