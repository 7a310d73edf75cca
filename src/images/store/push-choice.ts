/**
 * Which images of a tag a push sends: those of all its platforms with an index of them, or one. Pure. The rules are
 * Docker's with its containerd store (moby daemon/containerd/image_push.go, getPushDescriptor).
 */
import { HuskError } from '../../errors.ts';
import type { Platform } from './contract.ts';
import { formatPlatform, hostPlatform, samePlatform, serves } from './platform.ts';

interface Candidate {
  id: string;
  platform: Platform;
  /** it has not been removed */
  isHere: boolean;
}

export interface PushChoice {
  /** in the order of the index; one where no index is sent */
  ids: string[];
  isIndex: boolean;
  /** platforms of the index that are not here, which is why one image is sent instead */
  lacking: Platform[];
}

/**
 * @param candidates what the tag stands for: one image, or those of an index
 * @param wanted what `--platform` asked for
 * @throws HuskError `not-found`, `conflict`
 */
export function choosePushed(
  candidates: readonly Candidate[],
  name: string,
  wanted?: Platform,
  host = hostPlatform(),
): PushChoice {
  const here = candidates.filter(({ isHere }) => isHere);
  const lacking = candidates.filter(({ isHere }) => !isHere).map(({ platform }) => platform);
  const one = ({ id }: Candidate, without: Platform[] = []): PushChoice => ({
    ids: [id],
    isIndex: false,
    lacking: without,
  });
  if (wanted) {
    const found =
      here.find(({ platform }) => samePlatform(platform, wanted)) ??
      here.find(({ platform }) => serves(platform, wanted));
    if (found) return one(found);
    throw new HuskError(
      `image with reference ${name} was found but does not provide the specified platform (${formatPlatform(wanted)})`,
      { kind: 'not-found', fix: `it has ${listed(here)}` },
    );
  }
  if (lacking.length === 0)
    return here.length === 1 ? one(here[0]!) : { ids: here.map(({ id }) => id), isIndex: true, lacking };
  const own = here.find(({ platform }) => serves(platform, host)) ?? (here.length === 1 ? here[0] : undefined);
  if (own) return one(own, lacking);
  const gone = lacking.map(formatPlatform).join(', ');
  if (here.length === 0)
    throw new HuskError(`image with reference ${name} is for several platforms, and none of them is here: ${gone}`, {
      kind: 'not-found',
    });
  throw new HuskError(
    `multiple matching manifests found but no specific platform requested: of ${name} ${gone} is not here`,
    {
      kind: 'conflict',
      fix: `say which one is meant, of ${listed(here)}: --platform ${formatPlatform(here[0]!.platform)}`,
    },
  );
}

const listed = (images: readonly Candidate[]): string =>
  images.map(({ platform }) => formatPlatform(platform)).join(', ') || 'none';
