/**
 * What is known of the manifests of a list, and the bytes of a list that is made of them. Pure. The manifests come from
 * registries: how deep they are nested, how many there are and how long they are together is bounded here.
 *
 * Source: OCI image-spec 1.1 image-index.md; Docker "Image Manifest Version 2, Schema 2" § Manifest List; the fields'
 * order and the indentation are those of Docker's client, so that a list of the same manifests has the same digest.
 */
import { HuskError } from '../../errors.ts';
import type { ListedManifest, ListedPlatform } from '../store/contract.ts';
import { DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, platformFields } from '../store/manifest.ts';

/** limits of the manifests of one list: how many, and bytes of all together */
const MAX_MANIFESTS = 256;
const MAX_BYTES = 32 << 20;
/** limit of objects and lists within one another: each level is one more tab before every line of what is shown */
const MAX_DEPTH = 64;
/** spaces of one step, distribution manifestlist.FromDescriptors */
const INDENT = 3;

/** @throws HuskError `limit` */
export function checkSizes(manifests: readonly { bytes: Uint8Array }[]): void {
  checkCount(manifests.length);
  if (manifests.reduce((sum, { bytes }) => sum + bytes.length, 0) > MAX_BYTES)
    throw new HuskError(`the manifests of the list have more than ${MAX_BYTES} bytes`, { kind: 'limit' });
}

/** @throws HuskError `limit` */
export function checkCount(count: number): void {
  if (count > MAX_MANIFESTS)
    throw new HuskError(`the list has ${count} manifests, more than ${MAX_MANIFESTS}`, { kind: 'limit' });
}

/** @throws HuskError `limit` for JSON that is nested deeper than any manifest is */
export function checkDepth(bytes: Uint8Array, what: string): void {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (isText && byte === 0x5c) at++;
    else if (byte === 0x22) isText = !isText;
    else if (isText) continue;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MAX_DEPTH)
        throw new HuskError(`${what} is nested more than ${MAX_DEPTH} levels deep`, { kind: 'limit' });
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
}

/** @returns JSON with line breaks and tabs, as `docker manifest inspect` shows a manifest */
export const indented = (bytes: Uint8Array): string =>
  JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), undefined, '\t');

interface Entry {
  mediaType: string;
  digest: string;
  size: number;
  platform?: ListedPlatform;
}

export const entryOf = ({ mediaType, digest, bytes, platform }: ListedManifest): Entry => ({
  mediaType,
  digest,
  size: bytes.length,
  ...(platform && { platform }),
});

/** @returns the media type of a list of these manifests: the first one decides, as in Docker */
export const listType = (entries: readonly Pick<Entry, 'mediaType'>[]): string =>
  entries[0]?.mediaType === OCI_MANIFEST ? OCI_INDEX : DOCKER_LIST;

/** @returns the list as Docker's client shows and sends it */
export function listText(mediaType: string, entries: readonly Entry[]): string {
  const manifests = entries.map(({ mediaType: type, digest, size, platform }) => ({
    mediaType: type,
    size,
    digest,
    platform: platformFields(platform ?? { os: '', architecture: '' }),
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType, manifests }, undefined, INDENT);
}
