/** Opens what `load` and `import` read: a file, or STDIN when that is not a terminal. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { causeOf, HuskError } from '../errors.ts';
import type { Context } from './grammar/command.ts';

/** bytes read at once */
const CHUNK = 1 << 20;

/**
 * @param file path of the archive; absent or `-` is STDIN
 * @throws HuskError before anything is read
 */
export async function readArchive(
  file: string | undefined,
  context: Context,
  what: 'load' | 'import',
): Promise<NodeJS.ReadableStream> {
  if (file === undefined || file === '-') {
    if (context.stdin.isTTY)
      throw new HuskError(`requested ${what} from stdin, but stdin is empty`, { kind: 'invalid' });
    return context.stdin;
  }
  try {
    // The file is opened here, so that a missing file has another error than a broken one.
    const handle = await open(file);
    if ((await handle.stat()).isDirectory()) {
      await handle.close();
      throw new HuskError(`read ${file}: is a directory`, { kind: 'invalid' });
    }
    return createReadStream('', { fd: handle, highWaterMark: CHUNK });
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw new HuskError(`open ${file}: ${causeOf(error)}`, { kind: 'not-found', cause: error });
  }
}
