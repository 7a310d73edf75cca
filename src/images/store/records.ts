/**
 * The image room's rows in the database: images, their layers and names, and which layers are on disk. Each change is
 * one transaction, so an image record never refers to a layer that is not whole. Of layer files this class checks the
 * size only, and removes a tar whose size differs from its row; beside the database it keeps copies of the names.
 */
import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { HuskError } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import { writeCopy } from '../../state/copies.ts';
import { prepared, transaction } from '../../state/database.ts';
import type { Blobs } from './blobs.ts';
import type { Image, ImageConfig, Layer, Platform } from './contract.ts';
import { readImageConfig } from './manifest.ts';
import { formatPlatform, parsePlatform } from './platform.ts';
import { familiarReference, hexOf, parseKey } from './reference.ts';

export interface NewImage {
  /** bytes of the config as they came; their digest is the image's id */
  config: Uint8Array;
  /** bytes of the manifest: as pulled, or made for an imported or loaded image */
  manifest: Uint8Array;
  /** layers, bottom first; each must be recorded as present (recordLayer) */
  layers: { diffId: string; digest?: string; mediaType?: string; compressedSize?: number }[];
  /** keys of image_names (nameKey); an image that has one of them loses it to this one */
  names: string[];
  /** done in the same transaction: events of it */
  within?: (id: string) => void;
}

/** An image of a name that stands for several platforms'. */
export interface IndexedImage {
  /** the image may have been removed since */
  id: string;
  platform: Platform;
}

/** A layer was removed between its download and the commit of its image, so it must be fetched again. */
export class LayerGone extends HuskError {
  readonly diffId: string;

  constructor(diffId: string) {
    super(`the layer ${diffId} is not in the store`, { kind: 'conflict' });
    this.diffId = diffId;
  }
}

export const layerFolder = (paths: Paths, diffId: string) => join(paths.layers, hexOf(diffId));
/** @returns the path of the verified uncompressed tar */
export const layerTar = (paths: Paths, diffId: string) => join(layerFolder(paths, diffId), 'layer.tar');

/** @returns names/<hex>, the file with an image's names as JSON */
export const namesFile = (paths: Pick<Paths, 'dataRoot'>, id: string) => join(paths.dataRoot, 'names', hexOf(id));

/** the values of a row, by column */
type Row = Record<string, string | number | null>;

export class ImageRecords {
  readonly database: DatabaseSync;
  #paths: Paths;
  #blobs: Blobs;

  constructor(options: { database: DatabaseSync; paths: Paths; blobs: Blobs }) {
    this.database = options.database;
    this.#paths = options.paths;
    this.#blobs = options.blobs;
  }

  #all = (sql: string, ...values: SQLInputValue[]) => prepared(this.database, sql).all(...values) as Row[];
  #get = (sql: string, ...values: SQLInputValue[]) => prepared(this.database, sql).get(...values) as Row | undefined;
  #run = (sql: string, ...values: SQLInputValue[]) => prepared(this.database, sql).run(...values);

  /** Records that layers/<hex>/layer.tar is whole; the file must be in place. */
  recordLayer({ diffId, size }: { diffId: string; size: number }): void {
    transaction(this.database, () =>
      this.#run(
        'INSERT INTO layers (diff_id, size) VALUES (?, ?) ON CONFLICT DO UPDATE SET size = excluded.size',
        diffId,
        size,
      ),
    );
  }

  /**
   * Checks whether a layer is whole on disk. A folder without a row was committed by a process that died right then;
   * its layer is whole too (the folder was renamed after verification), and gets its row. A tar whose size differs from
   * its row is damaged: it is removed, and will be fetched again.
   * @returns the layer's size in bytes; undefined when it is not there or damaged
   */
  presentLayer(diffId: string): number | undefined {
    const row = this.#get('SELECT size FROM layers WHERE diff_id = ?', diffId);
    const size = statSync(layerTar(this.#paths, diffId), { throwIfNoEntry: false })?.size;
    if (size === undefined) return undefined;
    if (row === undefined) this.recordLayer({ diffId, size });
    else if (row['size'] !== size) {
      rmSync(layerTar(this.#paths, diffId), { force: true });
      return undefined;
    }
    return size;
  }

  /**
   * Writes the image, its layers and names in one transaction.
   * @returns the image's id
   * @throws LayerGone when a layer has been removed
   */
  add(image: NewImage): string {
    const id = this.#add(image);
    this.keepNames(id);
    return id;
  }

  #add(image: NewImage): string {
    return transaction(this.database, () => {
      // The blobs are written inside the transaction: a prune could remove them before the row that refers to them was
      // there.
      const id = this.#blobs.put(image.config);
      const manifest = this.#blobs.put(image.manifest);
      let size = 0;
      for (const { diffId } of image.layers) {
        const row = this.#get('SELECT size FROM layers WHERE diff_id = ?', diffId);
        if (!row || !existsSync(layerTar(this.#paths, diffId))) throw new LayerGone(diffId);
        size += row['size'] as number;
      }
      this.#run(
        'INSERT INTO images (id, manifest_digest, config, created_at, size) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET manifest_digest = excluded.manifest_digest',
        id,
        manifest,
        Buffer.from(image.config).toString('utf8'),
        Date.now(),
        size,
      );
      this.#run('DELETE FROM image_layers WHERE image_id = ?', id);
      const insert = this.database.prepare(
        'INSERT INTO image_layers (image_id, position, diff_id, digest, media_type, compressed_size) VALUES (?, ?, ?, ?, ?, ?)',
      );
      for (const [position, layer] of image.layers.entries())
        insert.run(
          id,
          position,
          layer.diffId,
          layer.digest ?? null,
          layer.mediaType ?? null,
          layer.compressedSize ?? null,
        );
      for (const name of image.names) this.#setName(name, id);
      image.within?.(id);
      return id;
    });
  }

  #setName(name: string, id: string): void {
    this.#run('INSERT OR REPLACE INTO image_names (name, image_id) VALUES (?, ?)', name, id);
  }

  /** @param within done in the same transaction */
  setNames(names: string[], id: string, within: () => void = () => {}): void {
    transaction(this.database, () => {
      for (const name of names) this.#setName(name, id);
      within();
    });
    this.keepNames(id);
  }

  /**
   * Keeps a copy of an image's names beside the database, in names/<hex of the image>, in case the database is damaged.
   * Every process that changes names calls it afterwards.
   */
  keepNames(id: string): void {
    const file = namesFile(this.#paths, id);
    const names = this.names(id);
    if (names.length === 0) rmSync(file, { force: true });
    else writeCopy(file, names);
  }

  /** @returns the image's keys of image_names, sorted */
  names(id: string): string[] {
    return this.#all('SELECT name FROM image_names WHERE image_id = ? ORDER BY name', id).map(
      (row) => row['name'] as string,
    );
  }

  /** @returns the images of a name that stands for several platforms', in the order of the index; none of any other */
  indexOf(name: string): IndexedImage[] {
    return this.#all('SELECT image_id, platform FROM image_indexes WHERE name = ? ORDER BY position', name).map(
      (row) => ({ id: row['image_id'] as string, platform: parsePlatform(row['platform'] as string) }),
    );
  }

  /** @returns the names of other images that stand for this one too, sorted */
  indexedBy(id: string): { name: string; own: string }[] {
    return this.#all(
      'SELECT DISTINCT i.name, n.image_id FROM image_indexes i JOIN image_names n ON n.name = i.name WHERE i.image_id = ? AND n.image_id <> ? ORDER BY i.name',
      id,
      id,
    ).map((row) => ({ name: row['name'] as string, own: row['image_id'] as string }));
  }

  /**
   * @returns the images that names of this one stand for, each once, in the order of the index; none without an index
   */
  indexOfImage(id: string): IndexedImage[] {
    const rows = this.#all(
      'SELECT i.image_id, i.platform FROM image_indexes i JOIN image_names n ON n.name = i.name WHERE n.image_id = ? ORDER BY i.name, i.position',
      id,
    );
    const images = new Map(rows.map((row) => [row['image_id'] as string, row['platform'] as string]));
    return [...images].map(([image, platform]) => ({ id: image, platform: parsePlatform(platform) }));
  }

  idOfName(name: string): string | undefined {
    return this.#get('SELECT image_id FROM image_names WHERE name = ?', name)?.['image_id'] as string | undefined;
  }

  /**
   * @param repository `docker.io/library/alpine`
   * @returns its tags, then its digests, each sorted
   */
  namesOfRepository(repository: string): { id: string; name: string }[] {
    const rows = ([':', '@'] as const).flatMap((mark) =>
      this.#all(
        'SELECT name, image_id FROM image_names WHERE substr(name, 1, ?) = ? ORDER BY name',
        repository.length + 1,
        repository + mark,
      ),
    );
    return rows.map((row) => ({ id: row['image_id'] as string, name: row['name'] as string }));
  }

  /** @returns ids that begin with these hex digits, at most two: more than one is ambiguous */
  idsByPrefix(hex: string): string[] {
    return this.#all('SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2', `sha256:${hex}`, `sha256:${hex}g`).map(
      (row) => row['id'] as string,
    );
  }

  ids(): string[] {
    return this.#all('SELECT id FROM images ORDER BY created_at DESC, id').map((row) => row['id'] as string);
  }

  manifestDigest(id: string): string | undefined {
    return this.#get('SELECT manifest_digest FROM images WHERE id = ?', id)?.['manifest_digest'] as string | undefined;
  }

  load(id: string): Image | undefined {
    const row = this.#get('SELECT config, size FROM images WHERE id = ?', id);
    if (!row) return undefined;
    const rows = this.#all(
      'SELECT l.diff_id, p.size FROM image_layers l LEFT JOIN layers p ON p.diff_id = l.diff_id WHERE l.image_id = ? ORDER BY l.position',
      id,
    );
    const layers = rows.map((layer): Layer => ({
      diffId: layer['diff_id'] as string,
      tar: layerTar(this.#paths, layer['diff_id'] as string),
      size: (layer['size'] as number | null) ?? 0,
    }));
    const names = this.names(id).map(parseKey);
    const indexedBy = this.indexedBy(id).map(({ name }) => familiarReference(parseKey(name)));
    return {
      id,
      config: this.#config(id, row['config'] as string),
      layers,
      repoTags: names.filter((name) => name.digest === undefined).map(familiarReference),
      repoDigests: names.filter((name) => name.digest !== undefined).map(familiarReference),
      ...(indexedBy.length > 0 && { indexedBy }),
      size: row['size'] as number,
    };
  }

  #config(id: string, text: string): ImageConfig {
    try {
      return readImageConfig(text);
    } catch (error) {
      throw new HuskError(`the record of image ${id} is damaged: ${(error as Error).message}`, {
        kind: 'corrupt',
        fix: 'husk system check --repair',
        cause: error,
      });
    }
  }

  /** @returns the image's layer rows as pulled, bottom first: digests and media types of the compressed blobs */
  blobsOf(
    id: string,
  ): { diffId: string; digest: string | null; mediaType: string | null; compressedSize: number | null }[] {
    return this.#all(
      'SELECT diff_id, digest, media_type, compressed_size FROM image_layers WHERE image_id = ? ORDER BY position',
      id,
    ).map((row) => ({
      diffId: row['diff_id'] as string,
      digest: row['digest'] as string | null,
      mediaType: row['media_type'] as string | null,
      compressedSize: row['compressed_size'] as number | null,
    }));
  }

  // — within a transaction of the caller —

  /** Makes a name, which has an image, stand for several platforms', until it is given to an image anew. */
  setIndex(name: string, images: readonly IndexedImage[]): void {
    this.#run('DELETE FROM image_indexes WHERE name = ?', name);
    for (const [position, { id, platform }] of images.entries())
      this.#run(
        'INSERT INTO image_indexes (name, position, image_id, platform) VALUES (?, ?, ?, ?)',
        name,
        position,
        id,
        formatPlatform(platform),
      );
  }

  deleteName(name: string): void {
    this.#run('DELETE FROM image_names WHERE name = ?', name);
  }

  /**
   * Deletes the image's row and those of layers that no other image uses. It must be called inside a transaction.
   * @param options.keepLayers whether the layers' rows stay, although no image uses them
   * @returns what the caller may now remove from disk
   */
  deleteImage(
    id: string,
    { keepLayers }: { keepLayers: boolean },
  ): { layers: { diffId: string; size: number }[]; blobs: string[] } {
    const manifest = this.manifestDigest(id);
    const config = this.#get('SELECT config FROM images WHERE id = ?', id);
    if (!config) return { layers: [], blobs: [] };
    const used = this.#all(
      'SELECT DISTINCT l.diff_id, p.size FROM image_layers l LEFT JOIN layers p ON p.diff_id = l.diff_id WHERE l.image_id = ?',
      id,
    );
    this.#run('DELETE FROM images WHERE id = ?', id);
    const layers: { diffId: string; size: number }[] = [];
    for (const row of keepLayers ? [] : used) {
      const diffId = row['diff_id'] as string;
      if (this.#get('SELECT 1 FROM image_layers WHERE diff_id = ? LIMIT 1', diffId)) continue;
      // The build cache holds its layers until it is pruned.
      if (this.#get('SELECT 1 FROM build_cache WHERE diff_id = ? LIMIT 1', diffId)) continue;
      this.deleteLayer(diffId);
      layers.push({ diffId, size: (row['size'] as number | null) ?? 0 });
    }
    const blobs = [id];
    if (manifest && !this.#get('SELECT 1 FROM images WHERE manifest_digest = ? LIMIT 1', manifest))
      blobs.push(manifest);
    return { layers, blobs };
  }

  /**
   * @returns the digests that some image needs, or the build cache: configs, manifests, layers (by diffID). It must be
   * called inside a transaction.
   */
  referenced(): { blobs: Set<string>; layers: Set<string> } {
    const column = (sql: string) => this.#all(sql).map((row) => row['d'] as string);
    return {
      blobs: new Set([...column('SELECT id AS d FROM images'), ...column('SELECT manifest_digest AS d FROM images')]),
      layers: new Set(column('SELECT diff_id AS d FROM image_layers UNION SELECT diff_id AS d FROM build_cache')),
    };
  }

  /** @returns the config's text as it was stored; its digest is the image's id, unless the record is damaged */
  configText(id: string): string | undefined {
    return this.#get('SELECT config FROM images WHERE id = ?', id)?.['config'] as string | undefined;
  }

  layerIds(): string[] {
    return this.#all('SELECT diff_id FROM layers').map((row) => row['diff_id'] as string);
  }

  /** Forgets a layer whose tar is damaged. Images still name it, and their next pull fetches it. */
  forgetLayer(diffId: string): void {
    transaction(this.database, () => this.deleteLayer(diffId));
  }

  /** Forgets a layer that no image has. It must be called inside a transaction. */
  deleteLayer(diffId: string): void {
    this.#run('DELETE FROM layers WHERE diff_id = ?', diffId);
  }

  /** @returns whether this layer is recorded */
  hasLayerRow(diffId: string): boolean {
    return this.#get('SELECT 1 FROM layers WHERE diff_id = ?', diffId) !== undefined;
  }
}
