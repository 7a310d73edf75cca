/** Where `save` and `export` write: a file made beside and renamed, or STDOUT when it is not a terminal. */
import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { checkOutput } from '../../engine/copy/host-paths.ts';
import { HuskError } from '../../errors.ts';
import type { Context } from '../command.ts';

/** as Docker's: an archive has all that is in an image or a container */
const ARCHIVE_MODE = 0o600;

/** @param write puts the archive into the stream and ends it */
export async function writeArchive(file: string | undefined, context: Context, write: (output: NodeJS.WritableStream) => Promise<void>): Promise<void> {
  if (file === undefined || file === '-') {
    if (context.stdout.isTTY) throw new HuskError('cowardly refusing to save to a terminal. Use the -o flag or redirect', { kind: 'invalid' });
    await write(context.stdout as unknown as NodeJS.WritableStream);
    return;
  }
  checkOutput(file);
  const half = join(dirname(file), `.${basename(file)}.${process.pid}.part`);
  const stream = createWriteStream(half, { flags: 'wx', mode: ARCHIVE_MODE });
  try {
    const closed = new Promise<void>((resolve, reject) => stream.once('close', resolve).once('error', reject));
    await Promise.all([write(stream).then(() => void (stream.writableEnded || stream.end())), closed]);
    renameSync(half, file);
  } catch (error) {
    stream.destroy();
    rmSync(half, { force: true });
    if (error instanceof HuskError) throw error;
    throw new HuskError(`cannot write ${file}: ${(error as Error).message}`, { kind: 'invalid', cause: error });
  }
}
