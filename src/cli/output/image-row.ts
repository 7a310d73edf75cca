/** Images as `images` shows them: one row per name. The functions are pure. */
import type { Image } from '../../images/store/contract.ts';
import { createdAt } from '../../images/store/image-filters.ts';
import { NO_TAG, splitTag } from '../../images/store/reference.ts';
import { shortId } from './container-row.ts';
import { ago } from '../../notation/elapsed.ts';
import { goLocalTime, humanSize } from './units.ts';

export const IMAGE_HEADERS: Record<string, string> = {
  ID: 'IMAGE ID',
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  Size: 'SIZE',
  SharedSize: 'SHARED SIZE',
  UniqueSize: 'UNIQUE SIZE',
  VirtualSize: 'SIZE',
  Containers: 'CONTAINERS',
};

/** what stands for a name, a tag or a digest that an image has not */
const NONE = NO_TAG;

export interface ImageRowOptions {
  truncate: boolean;
  digests: boolean;
  now: number;
}

export function imageRows(image: Image, options: ImageRowOptions): Record<string, unknown>[] {
  const digests = image.repoDigests.map((text) => text.split('@') as [string, string]);
  const names: { repository: string; tag: string; digest: string }[] = [];
  for (const reference of image.repoTags) {
    const [repository, tag] = splitTag(reference);
    const matching = options.digests ? digests.filter(([name]) => name === repository).map(([, digest]) => digest) : [];
    for (const digest of matching.length > 0 ? matching : [NONE]) names.push({ repository, tag, digest });
  }
  if (names.length === 0)
    for (const [repository, digest] of digests)
      names.push({ repository, tag: NONE, digest: options.digests ? digest : NONE });
  if (names.length === 0) names.push({ repository: NONE, tag: NONE, digest: NONE });
  const created = createdAt(image);
  const unique = new Map(names.map((name) => [Object.values(name).join(' '), name]));
  return [...unique.values()].map(({ repository, tag, digest }) => ({
    Containers: 'N/A',
    CreatedAt: created === 0 ? 'N/A' : goLocalTime(created),
    CreatedSince: created === 0 ? 'N/A' : ago(created, options.now),
    Digest: digest,
    ID: options.truncate ? shortId(image.id) : image.id,
    Repository: repository,
    SharedSize: 'N/A',
    Size: humanSize(image.size, 3),
    Tag: tag,
    UniqueSize: 'N/A',
    VirtualSize: humanSize(image.size),
  }));
}
