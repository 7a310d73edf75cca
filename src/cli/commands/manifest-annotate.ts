/** `husk manifest annotate` */
import type { ListedPlatform } from '../../images/store/contract.ts';
import type { Invocation } from '../grammar/command.ts';

export async function run({ flags, arguments: [list = '', manifest = ''], context }: Invocation): Promise<number> {
  const changes: Partial<ListedPlatform> = {};
  // An empty text changes nothing, as with Docker.
  for (const [flag, field] of [
    ['arch', 'architecture'],
    ['os', 'os'],
    ['os-version', 'osVersion'],
    ['variant', 'variant'],
  ] as const) {
    const value = flags.optional(flag);
    if (value !== undefined) changes[field] = value;
  }
  const features = flags.list('os-features');
  if (features.length > 0) changes.osFeatures = features;
  const { images } = await context.engine();
  (await images.manifestLists()).annotate(list, manifest, changes);
  return 0;
}
