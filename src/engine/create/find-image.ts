/** The image a container is made from: found here, or pulled when the policy says so. */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Image } from '../../images/store/contract.ts';
import { formatPlatform, parsePlatform, serves } from '../../images/store/platform.ts';
import { parseReference } from '../../images/store/reference.ts';
import type { EngineContext } from '../record/context.ts';
import type { CreateOptions, Engine } from '../contract.ts';

export type Hooks = NonNullable<Parameters<Engine['create']>[1]>;

type WantedImage = Pick<CreateOptions, 'image' | 'platform' | 'pull'>;

/** @throws HuskError `not-found` with Docker's text */
export async function findImage(context: EngineContext, options: WantedImage, hooks: Hooks): Promise<Image> {
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const found = options.pull === 'always' ? undefined : context.images.find(options.image);
  if (found && (!platform || serves(found.config, platform))) return found;
  // what is no reference can be nowhere: said instead of, not after, "unable to find"
  if (!found) parseReference(options.image);
  if (found && options.pull === 'never')
    throw new HuskError(
      `image with reference ${options.image} was found but does not provide the specified platform (${formatPlatform(platform!)})`,
      { kind: 'not-found', exitCode: EXIT_HUSK_FAILED },
    );
  if (options.pull === 'never')
    throw new HuskError(`No such image: ${withTag(options.image)}`, { kind: 'not-found', exitCode: EXIT_HUSK_FAILED });
  if (options.pull === 'missing') hooks.onMessage?.(`Unable to find image '${withTag(options.image)}' locally`);
  const { image } = await context.images.pull(options.image, {
    platform,
    onProgress: hooks.onProgress,
    signal: hooks.signal,
  });
  return image;
}

function withTag(reference: string): string {
  return /[:@]/.test(reference.slice(reference.lastIndexOf('/') + 1)) ? reference : `${reference}:latest`;
}
