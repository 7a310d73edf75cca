/**
 * Resolves what a user typed: an image's id, the beginning of one, or a reference. This module reads the records, and
 * changes nothing.
 */
import { HuskError } from '../../errors.ts';
import type { ImageRecords } from './records.ts';
import {
  familiarReference,
  fullName,
  idPrefix,
  isDigest,
  nameKey,
  parseReference,
  withDefaultTag,
  type Reference,
} from './reference.ts';

export interface Named {
  id: string;
  /** the key of image_names, when it was found by name */
  name?: string;
}

export class ImageNames {
  readonly #records: ImageRecords;

  constructor(records: ImageRecords) {
    this.#records = records;
  }

  /** Looks up an image in Docker's order: a full id, then a name, then the beginning of an id. */
  lookUp(text: string): Named | undefined {
    const hex = idPrefix(text);
    if (hex?.length === 64) {
      const ids = this.#records.idsByPrefix(hex);
      return ids[0] === undefined ? undefined : { id: ids[0] };
    }
    const reference = parseOrUndefined(text);
    if (reference) {
      const name = nameKey(reference);
      const id = this.#records.idOfName(name);
      if (id !== undefined) return { id, name };
    }
    const ids = hex === undefined ? [] : this.#records.idsByPrefix(hex);
    return ids.length === 1 ? { id: ids[0]! } : undefined;
  }

  /**
   * Looks up as `lookUp` does, but a bare repository stands for all its tags and digests, as in Docker's `save`.
   * @throws HuskError `not-found`
   */
  lookUpAll(text: string): Named[] {
    const reference = parseOrUndefined(text);
    if (reference && reference.tag === undefined && reference.digest === undefined) {
      const named = this.#records.namesOfRepository(fullName(reference));
      if (named.length > 0) return named;
    }
    const found = this.lookUp(text);
    if (!found) throw noSuchImage(text);
    return [found];
  }
}

function parseOrUndefined(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

export function noSuchImage(text: string): HuskError {
  const reference = isDigest(text) ? undefined : parseOrUndefined(text);
  return new HuskError(`No such image: ${reference ? familiarReference(withDefaultTag(reference)) : text}`, {
    kind: 'not-found',
  });
}
