/**
 * `--platform` of commands about local images. A tag has one image for most of them, so the flag chooses nothing:
 * it says which platform the image must have.
 */
import type { Images, Platform } from '../images/store/contract.ts';
import type { FlagSet } from './grammar/flag-set.ts';

/**
 * @returns undefined when the flag was not given
 * @throws HuskError `invalid`
 */
export async function platformOf(flags: FlagSet): Promise<Platform | undefined> {
  const text = flags.has('platform') ? flags.optional('platform') : undefined;
  return text === undefined || text === ''
    ? undefined
    : (await import('../images/store/platform.ts')).parsePlatform(text);
}

/** @throws HuskError `not-found` with Docker's text, naming the first of these images that has another platform */
export async function checkPlatforms(
  flags: FlagSet,
  images: Pick<Images, 'get'>,
  references: readonly string[],
): Promise<void> {
  const platform = await platformOf(flags);
  if (!platform) return;
  const { requirePlatform } = await import('../images/store/platform.ts');
  requirePlatform(images, references, platform);
}
