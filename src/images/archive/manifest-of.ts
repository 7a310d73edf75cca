/**
 * Makes the OCI manifest of an image whose layers are uncompressed, as husk keeps them. The function is pure: the same
 * image gives the same bytes.
 */
import { sha256 } from '../store/blobs.ts';
import { OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from '../store/manifest.ts';
import type { NewImage } from '../store/records.ts';

/** @param layers bottom first, with the bytes of the uncompressed tar as size */
export function imageManifest(
  config: Uint8Array,
  layers: { diffId: string; size: number }[],
): { bytes: Buffer; layers: NewImage['layers'] } {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: sha256(config), size: config.length },
      layers: layers.map(({ diffId, size }) => ({ mediaType: OCI_LAYER, digest: diffId, size })),
    }),
  );
  return {
    bytes,
    layers: layers.map(({ diffId, size }) => ({ diffId, digest: diffId, mediaType: OCI_LAYER, compressedSize: size })),
  };
}
