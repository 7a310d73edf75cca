/**
 * Looks up `user[:group]` of a container as numbers in its own /etc/passwd and /etc/group. These files are as hostile
 * as all of the container's, so the reads are bounded.
 */
import { readSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import { openInRoot, O_RDONLY } from '../../host/files/lookup.ts';
import { factsOf, unlessAbsent } from './facts.ts';

/** most bytes of such a file that are read; the `setuser` step of a launch plan has the same bound */
const MAX_FILE = 1 << 20;
/** the largest id that Docker takes: a signed 32-bit number */
const MAX_ID = 0x7fff_ffff;
/** open(2) with this flag does not wait for a FIFO. */
const O_NONBLOCK = 0o4000;

/** @throws HuskError `invalid` with Docker's texts */
export function userOf(root: number, text: string): { uid: number; gid: number } {
  const [user = '', group] = text.split(':');
  const entry = lines(root, 'etc/passwd').find(([name, , uid]) => name === user || uid === user);
  const uid = numeric(entry?.[2]) ?? numeric(user);
  if (uid === undefined)
    throw new HuskError(`unable to find user ${user}: no matching entries in passwd file`, { kind: 'invalid' });
  if (group === undefined || group === '') return { uid, gid: numeric(entry?.[3]) ?? 0 };
  const gid = numeric(group) ?? numeric(lines(root, 'etc/group').find(([name]) => name === group)?.[2]);
  if (gid === undefined)
    throw new HuskError(`unable to find group ${group}: no matching entries in group file`, { kind: 'invalid' });
  return { uid, gid };
}

const numeric = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;

function lines(root: number, path: string): string[][] {
  using file = unlessAbsent(() => new Fd(openInRoot(root, path, O_RDONLY | O_NONBLOCK)));
  if (file === undefined) return [];
  const { type, size } = factsOf(file.number);
  if (type !== 'file' || size > MAX_FILE) return [];
  const bytes = Buffer.alloc(size);
  return bytes
    .toString('utf8', 0, readSync(file.number, bytes, 0, size, 0))
    .split('\n')
    .map((line) => line.split(':'));
}
