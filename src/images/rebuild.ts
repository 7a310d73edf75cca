/**
 * Finds the images of a data root whose database is lost among its files, for `system check`. This module removes
 * nothing.
 */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import type { Paths } from '../paths.ts';
import { readCopy } from '../state/copies.ts';
import { Blobs } from './store/blobs.ts';
import { layerProblem, names } from './check.ts';
import { parseImageConfig, parseManifest } from './store/manifest.ts';
import { ImageRecords, layerTar, namesFile } from './store/records.ts';
import { isDigest, parseKey } from './store/reference.ts';

/**
 * Records images without a database: every manifest among the blobs makes an image when its config is there and the
 * tars of its layers are whole.
 * @returns how many images and layers were found
 */
export function rebuildImages({ database, paths }: { database: DatabaseSync; paths: Paths }): {
  images: number;
  layers: number;
} {
  const blobs = new Blobs(paths);
  const records = new ImageRecords({ database, paths, blobs });
  let layers = 0;
  for (const hex of names(paths.layers)) {
    const diffId = `sha256:${hex}`;
    if (!isDigest(diffId) || records.hasLayerRow(diffId) || layerProblem(layerTar(paths, diffId), diffId) !== undefined)
      continue;
    records.recordLayer({ diffId, size: statSync(layerTar(paths, diffId)).size });
    layers++;
  }
  const known = new Set(records.ids());
  let images = 0;
  for (const hex of names(paths.blobs)) {
    try {
      const bytes = blobs.get(`sha256:${hex}`);
      const manifest = parseManifest(bytes, '', hex);
      if (manifest.kind !== 'manifest' || known.has(manifest.config.digest)) continue;
      const config = blobs.get(manifest.config.digest);
      const { diff_ids: diffIds } = parseImageConfig(config, hex).rootfs;
      if (diffIds.length !== manifest.layers.length || !diffIds.every((diffId) => records.hasLayerRow(diffId)))
        continue;
      const kept = readCopy(namesFile(paths, manifest.config.digest));
      records.add({
        config,
        manifest: bytes,
        layers: manifest.layers.map((layer, index) => ({
          diffId: diffIds[index]!,
          digest: layer.digest,
          mediaType: layer.mediaType,
          compressedSize: layer.size,
        })),
        names: Array.isArray(kept) ? kept.filter(isName) : [],
      });
      known.add(manifest.config.digest);
      images++;
    } catch {
      // This blob is a config, an index, or damaged.
    }
  }
  return { images, layers };
}

function isName(name: unknown): name is string {
  try {
    parseKey(name as string);
    return typeof name === 'string';
  } catch {
    return false;
  }
}
