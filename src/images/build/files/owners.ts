/**
 * Looks owners up in the passwd and group files of a stage, as `--chown` and WORKDIR's USER name them. The files are
 * an image's own, hostile as all of it: they come as bounded bytes, and nothing is opened here.
 */
import { HuskError } from '../../../errors.ts';

export interface Owner {
  uid: number;
  gid: number;
}

/** the largest id that Docker takes: a signed 32-bit number */
const MAX_ID = 0x7fff_ffff;

/** A stage's own files, as text; undefined where it has none. */
export interface AccountFiles {
  passwd(): string | undefined;
  group(): string | undefined;
}

/**
 * Finds the owner that `user[:group]` names. A name's group is its primary one; a number alone is both, as in BuildKit;
 * `:group` alone is of user 0.
 * @param what what names the owner, for messages: `--chown`
 * @throws HuskError `invalid` for a name that the files lack
 */
export function ownerOf(text: string, files: AccountFiles, what: string): Owner {
  const colon = text.indexOf(':');
  const user = colon === -1 ? text : text.slice(0, colon);
  const group = colon === -1 ? '' : text.slice(colon + 1);
  const found = userOf(user, files, `${what} ${text}`);
  return group === '' ? found : { uid: found.uid, gid: groupOf(group, files, `${what} ${text}`) };
}

function userOf(user: string, files: AccountFiles, what: string): Owner {
  if (user === '') return { uid: 0, gid: 0 };
  const id = numeric(user);
  if (id !== undefined) return { uid: id, gid: id };
  const fields = field(files.passwd(), user);
  const uid = numeric(fields?.[2]);
  const gid = numeric(fields?.[3]);
  if (uid === undefined || gid === undefined)
    throw new HuskError(`${what}: the stage's /etc/passwd has no user ${JSON.stringify(user)}`, {
      kind: 'invalid',
      fix: 'make the user in an earlier step, or give a number',
    });
  return { uid, gid };
}

function groupOf(group: string, files: AccountFiles, what: string): number {
  const gid = numeric(group) ?? numeric(field(files.group(), group)?.[2]);
  if (gid === undefined)
    throw new HuskError(`${what}: the stage's /etc/group has no group ${JSON.stringify(group)}`, {
      kind: 'invalid',
      fix: 'make the group in an earlier step, or give a number',
    });
  return gid;
}

const numeric = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;

/** @returns the fields of the first line of this name */
function field(text: string | undefined, name: string): string[] | undefined {
  return text
    ?.split('\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.split(':');
}
