/** Where `save` and `export` write: a file that is made beside and renamed, or STDOUT when that is not a terminal. */
import { accessSync, constants, createWriteStream, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { checkOutput } from '../../engine/files/host-paths.ts';
import { causeOf, HuskError } from '../../errors.ts';
import type { Context, Output } from '../grammar/command.ts';

/** mode of an archive, as in Docker: an archive has everything that is in an image or a container */
const ARCHIVE_MODE = 0o600;

/**
 * @param write writes the archive into the stream and ends it
 * @throws HuskError before `write` is called, when the file cannot be made or replaced
 */
export async function writeArchive(
  file: string | undefined,
  context: Context,
  write: (output: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  if (file === undefined || file === '-') {
    if (context.stdout.isTTY)
      throw new HuskError('cowardly refusing to save to a terminal. Use the -o flag or redirect', { kind: 'invalid' });
    await write(streamOf(context.stdout));
    return;
  }
  assertWritable(file);
  // The name is random and short: it fits beside a file whose name has all of 255 bytes, and a file that a killed husk
  // left does not block it.
  const half = join(dirname(file), `.husk-${crypto.randomUUID()}.part`);
  const stream = createWriteStream(half, { flags: 'wx', mode: ARCHIVE_MODE });
  try {
    const closed = new Promise<void>((resolve, reject) => stream.once('close', resolve).once('error', reject));
    await Promise.all([write(stream).then(() => void (stream.writableEnded || stream.end())), closed]);
    renameSync(half, file);
  } catch (error) {
    stream.destroy();
    rmSync(half, { force: true });
    if (error instanceof HuskError) throw error;
    throw refused(file, causeOf(error), error);
  }
}

/** The stream that an output is, or has. */
export const streamOf = (output: Output): NodeJS.WritableStream =>
  output.stream ?? (output as unknown as NodeJS.WritableStream);

const refused = (file: string, cause: string, error?: unknown): HuskError =>
  new HuskError(`cannot write ${file}: ${cause}`, { kind: 'invalid', cause: error });

/**
 * Checks the file before an archive of gigabytes is written: the renaming would fail only after that.
 * @throws HuskError naming the file
 */
export function assertWritable(file: string): void {
  try {
    checkOutput(file);
    // `x/` names a folder, which a file cannot become.
    if (file.endsWith('/') || statSync(file, { throwIfNoEntry: false })?.isDirectory())
      throw refused(file, 'it is a directory');
    accessSync(dirname(file), constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw refused(file, causeOf(error), error);
  }
}
