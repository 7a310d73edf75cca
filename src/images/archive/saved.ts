/**
 * What `save` puts into an archive: the images that references name, each once, with their names. A name that stands
 * for images of several platforms is saved with all that are here, or with the one that is asked for.
 */
import type { Image, Platform } from '../store/contract.ts';
import type { ImageNames } from '../store/image-names.ts';
import { hostPlatform, serves } from '../store/platform.ts';
import type { ImageRecords } from '../store/records.ts';
import { fullName, parseReference, type Reference } from '../store/reference.ts';

/** An image of an index. */
export interface PlatformImage {
  image: Image;
  platform: Platform;
}

/** What stands under one set of names; it has none when it was asked for by id. */
export interface SavedImage {
  /** the only one, or that which programs take that know of no platforms */
  image: Image;
  /** the images of several platforms, in the order of their index */
  index?: readonly PlatformImage[];
  /** references with tags */
  names: Reference[];
}

/**
 * @param options.platform the only one that is saved of a name
 * @param options.find gives an image by its name, of this platform where there is one
 * @throws HuskError `not-found`
 */
export function chooseSaved(
  references: readonly string[],
  { names, records }: { names: ImageNames; records: ImageRecords },
  { platform, find }: { platform: Platform | undefined; find: (text: string, platform?: Platform) => Image },
): SavedImage[] {
  const chosen = new Map<string, SavedImage>();
  for (const text of references)
    for (const { id, name } of names.lookUpAll(text)) {
      const found = name === undefined || platform ? undefined : indexOf(records, name);
      const saved = found ?? { image: find(name ?? id, platform), names: [] };
      const key = (saved.index ?? [saved]).map(({ image }) => image.id).join();
      const entry = chosen.get(key) ?? saved;
      const named = name === undefined ? undefined : parseReference(name);
      if (named?.tag !== undefined && !entry.names.some((other) => isSame(other, named))) entry.names.push(named);
      chosen.set(key, entry);
    }
  return [...chosen.values()];
}

const isSame = (one: Reference, other: Reference): boolean =>
  one.tag === other.tag && fullName(one) === fullName(other);

/** @returns undefined where fewer than two images of the name are here */
function indexOf(records: ImageRecords, name: string): SavedImage | undefined {
  return ofIndex(
    records.indexOf(name).flatMap(({ id, platform }) => {
      const image = records.load(id);
      return image ? [{ image, platform }] : [];
    }),
  );
}

/** @returns what is saved of images of several platforms, without a name; undefined of fewer than two */
export function ofIndex(index: readonly PlatformImage[]): SavedImage | undefined {
  if (index.length < 2) return undefined;
  const host = hostPlatform();
  const { image } = index.find(({ platform }) => serves(platform, host)) ?? index[0]!;
  return { image, index, names: [] };
}
