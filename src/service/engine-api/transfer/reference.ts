/** Names of images as the API splits them: a name in the path or in `fromImage`, and a tag in the query. Pure. */
import { familiarReference, isDigest, parseReference, withDefaultTag } from '../../../images/store/reference.ts';

/**
 * Joins a name and a tag, which may be a digest and then goes before what the name has.
 * @returns the familiar form; without tag and digest where neither has one
 * @throws HuskError `invalid` with Docker's text
 */
export function joinReference(name: string, tag: string | undefined): string {
  // `pull -a` of clients long ago ended the name so
  const { tag: own, digest, ...repository } = parseReference(name.replace(/:$/, ''));
  if (tag === undefined)
    return familiarReference({
      ...repository,
      ...(own !== undefined && { tag: own }),
      ...(digest !== undefined && { digest }),
    });
  const joined = familiarReference({ ...repository, ...(isDigest(tag) ? { digest: tag } : { tag }) });
  parseReference(joined);
  return joined;
}

/** @returns whether a reference stands for all tags of its repository */
export function isNameOnly(reference: string): boolean {
  const { tag, digest } = parseReference(reference);
  return tag === undefined && digest === undefined;
}

/** @returns the familiar form, with `latest` where there is no tag */
export const tagged = (reference: string): string => familiarReference(withDefaultTag(parseReference(reference)));
