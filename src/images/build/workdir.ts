/** WORKDIR: the folders of a path that are missing, as one tar. The path's links are followed within the stage. */
import { HuskError } from '../../errors.ts';
import { fromText } from '../../tar/byte-string.ts';
import { createHash } from 'node:crypto';
import { type CopyOptions, inLines, type PlannedLayer } from './copy.ts';
import { layerTar } from './files/layer-tar.ts';
import { type Owner, ownerOf } from './files/owners.ts';
import { Upper } from './files/upper.ts';
import type { View } from './files/view.ts';
import type { WorkdirOperation } from './operations.ts';

/** the version of what the keys mean */
const FORMAT = 'workdir-1';
const MODE = 0o755;

/** Plans a WORKDIR. A path that is there gives an empty layer. @param view of the stage */
export function workdirLayer(
  operation: WorkdirOperation,
  view: View,
  options: Pick<CopyOptions, 'epoch' | 'note'> = {},
): PlannedLayer {
  const { path, user } = operation;
  const key = createHash('sha256')
    .update(JSON.stringify([FORMAT, path, user, options.epoch ?? null]))
    .digest('hex');
  return {
    key,
    write: async function* () {
      const upper = await inLines(operation, async () => {
        const upper = new Upper(view);
        const { names, node } = upper.look(fromText(path));
        if (node !== undefined && !upper.isFolder(fromText(path)))
          throw new HuskError(`cannot make the folder ${path}: a file is in its place`, { kind: 'invalid' });
        const owner = node === undefined ? folderOwner(user, view, options.note) : { uid: 0, gid: 0 };
        upper.open(names, { mode: MODE, ...owner, mtime: undefined, mtimeNanoseconds: 0, xattrs: undefined });
        return upper;
      });
      yield* layerTar(upper, options);
    },
  };
}

/** A user whom the stage does not know fails at the first RUN; until then the folder is root's, as in BuildKit. */
function folderOwner(user: string, view: View, note?: (text: string) => void): Owner {
  try {
    return ownerOf(user, view.accounts, 'USER');
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    note?.(`the folders of WORKDIR belong to root: ${error.message}`);
    return { uid: 0, gid: 0 };
  }
}
