/**
 * `--mount type=image` at create: what cannot be meant is said before anything is pulled; then the images, by the rules
 * of `--pull`.
 */
import type { Image } from '../../images/store/contract.ts';
import { checkSource } from '../../volumes/resolve.ts';
import type { CreateOptions } from '../contract.ts';

/** @throws HuskError `invalid` in Docker's words */
export function checkImageMounts(mounts: CreateOptions['mounts']): void {
  for (const mount of mounts) if (mount.type === 'image') checkSource(mount);
}

/** @returns ids by what the images are named as; each is looked for, or pulled, once */
export async function mountedImages(
  { mounts }: Pick<CreateOptions, 'mounts'>,
  find: (source: string) => Promise<Image>,
): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (const { type, source = '' } of mounts) {
    if (type === 'image' && !ids.has(source)) ids.set(source, (await find(source)).id);
  }
  return ids;
}
