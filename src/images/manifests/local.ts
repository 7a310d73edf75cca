/**
 * Lists that were made here and not pushed yet: manifests/<sha256 of the list's name>.json, one file each, whole or not
 * there. A change reads the file and writes another within a transaction of the database, so that of two changes at
 * once none is lost; the database has no row of it.
 */
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { causeOf, HuskError } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import { transaction } from '../../state/database.ts';
import { tmpPath } from '../../state/tmp-folder.ts';
import { writeWholeFile } from '../../whole-file.ts';
import { sha256 } from '../store/blobs.ts';
import type { ListedManifest } from '../store/contract.ts';
import { isObject, listedPlatform, platformFields, type Json } from '../store/manifest.ts';
import { familiarReference, fullReference, hexOf, parseReference, type Reference } from '../store/reference.ts';
import { checkDepth, checkSizes } from './entries.ts';

const VERSION = 1;
/** limit of bytes of a file: base64 makes four bytes of three */
const MAX_FILE = 48 << 20;

export class LocalLists {
  readonly #database: DatabaseSync;
  readonly #paths: Pick<Paths, 'dataRoot' | 'tmp'>;

  constructor(database: DatabaseSync, paths: Pick<Paths, 'dataRoot' | 'tmp'>) {
    this.#database = database;
    this.#paths = paths;
  }

  #file = (list: Reference) =>
    join(this.#paths.dataRoot, 'manifests', `${hexOf(sha256(Buffer.from(fullReference(list))))}.json`);

  /**
   * @returns undefined where there is no such list
   * @throws HuskError `corrupt` when the file is damaged
   */
  find(list: Reference): ListedManifest[] | undefined {
    const file = this.#file(list);
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) return undefined;
    try {
      if (size > MAX_FILE) throw new Error(`it is larger than ${MAX_FILE} bytes`);
      return parse(readFileSync(file), fullReference(list));
    } catch (error) {
      throw new HuskError(`cannot read the manifest list ${file}: ${causeOf(error)}`, {
        kind: 'corrupt',
        fix: `husk manifest rm ${familiarReference(list)}`,
        cause: error,
      });
    }
  }

  /** @throws HuskError `not-found` with Docker's text */
  get(list: Reference): ListedManifest[] {
    const found = this.find(list);
    if (!found) throw noSuchList(list);
    return found;
  }

  /**
   * Replaces a list by what `change` makes of it.
   * @param change gets undefined where there is no such list; it is called again on a full disk
   */
  change(list: Reference, change: (manifests: ListedManifest[] | undefined) => ListedManifest[]): void {
    transaction(this.#database, () => {
      const manifests = change(this.find(list));
      checkSizes(manifests);
      const file = this.#file(list);
      mkdirSync(join(this.#paths.dataRoot, 'manifests'), { recursive: true, mode: 0o700 });
      writeWholeFile(file, serialize(list, manifests), {
        mode: 0o600,
        durable: true,
        half: tmpPath(this.#paths, 'half-blob'),
      });
    });
  }

  /** Removes a list, a damaged one too. @throws HuskError `not-found` */
  remove(list: Reference): void {
    const file = this.#file(list);
    if (statSync(file, { throwIfNoEntry: false }) === undefined) throw noSuchList(list);
    rmSync(file, { force: true });
  }
}

const noSuchList = (list: Reference): HuskError =>
  new HuskError(`No such manifest: ${fullReference(list)}`, { kind: 'not-found' });

function serialize(list: Reference, manifests: readonly ListedManifest[]): string {
  return JSON.stringify({
    version: VERSION,
    list: fullReference(list),
    manifests: manifests.map(({ reference, mediaType, platform, bytes }) => ({
      reference,
      mediaType,
      platform: platform && platformFields(platform),
      bytes: bytes.toString('base64'),
    })),
  });
}

/** The file is husk's own; it may be damaged, or of a newer husk. */
function parse(bytes: Buffer, list: string): ListedManifest[] {
  checkDepth(bytes, 'it');
  const value: unknown = JSON.parse(bytes.toString('utf8'));
  if (!isObject(value) || value['version'] !== VERSION || !Array.isArray(value['manifests']))
    throw new Error(`it has not version ${VERSION}`);
  if (value['list'] !== list) throw new Error('it is that of another list');
  return (value['manifests'] as unknown[]).map((each) => {
    if (!isObject(each)) throw new Error('it is damaged');
    return manifestOf(each);
  });
}

function manifestOf({ reference, mediaType, platform, bytes }: Json): ListedManifest {
  if (typeof reference !== 'string' || typeof mediaType !== 'string' || typeof bytes !== 'string')
    throw new Error('it is damaged');
  const raw = Buffer.from(bytes, 'base64');
  checkDepth(raw, 'a manifest of it');
  const listed = listedPlatform(platform);
  return {
    reference: fullReference(parseReference(reference)),
    mediaType,
    digest: sha256(raw),
    ...(listed && { platform: listed }),
    bytes: raw,
  };
}
