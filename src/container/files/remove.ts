/** Deletes trees by descriptors, so that no symbolic link in them leads anywhere. */
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { AT_REMOVEDIR, O_PATH, unlinkAt } from '../../host/files/file-at.ts';
import { HuskError } from '../../errors.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { factsAt, openName } from './facts.ts';
import { namesIn } from './names.ts';

/** deepest nesting of folders that are removed */
const MAX_DEPTH = 1024;

/** Deletes a folder and all in it. @throws HuskError `limit`, SyscallError */
export function removeTreeAt(folder: number, name: ByteString, depth = 0): void {
  if (depth > MAX_DEPTH)
    throw new HuskError(`cannot delete "${display(name)}": folders are nested deeper than ${MAX_DEPTH}`, {
      kind: 'limit',
    });
  using held = openName(folder, name);
  if (held === undefined) return;
  using inside = new Fd(host.openBeneath(held.number, '.', O_PATH | host.O_DIRECTORY));
  for (const child of namesIn(inside.number)) {
    if (factsAt(inside.number, child)?.type === 'directory') removeTreeAt(inside.number, child, depth + 1);
    else unlinkAt(inside.number, child);
  }
  unlinkAt(folder, name, AT_REMOVEDIR);
}
