/**
 * The internal program `seal`: runs as root of the user's namespace for as long as a build, and makes layers of what
 * its steps have written (src/container/files/seal.ts).
 *
 * stdin: lines of JSON, each a SealJob. stdout: for each a line, a Sealed or `{"error": {message, kind, fix}}`. A
 * layer's tar is written, hashed and read as any other's is in one pass. Tar and upper are on the disk before the
 * line is said: the layer's name is believed by everybody from then on, by a pull too, also after the power has
 * failed. The program commits nothing. It ends with its input.
 */
import { createHash } from 'node:crypto';
import { ftruncateSync, readSync, writeSync } from 'node:fs';
import { isHole, sealUpper, type SealJob, type Sealed } from '../../container/files/seal.ts';
import { HuskError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import { openFolder, syncfs } from '../../host/files/lookup.ts';
import { OpenFile } from '../../open-file.ts';
import { TarParser } from '../../tar/parser.ts';
import { diskTrouble } from './disk-trouble.ts';
import { LayerTree } from './tree.ts';
import { say } from './unpack-main.ts';

/** bytes of jobs that are read at once */
const READ = 64 << 10;
/** most lines about what is left out of one layer */
const MAX_LEFT_OUT = 10;

export async function main(): Promise<number> {
  process.umask(0o022);
  const buffer = Buffer.allocUnsafe(READ);
  let rest = '';
  for (let length = readSync(0, buffer); length > 0; length = readSync(0, buffer)) {
    const lines = (rest + buffer.toString('utf8', 0, length)).split('\n');
    rest = lines.pop()!;
    for (const line of lines) answer(JSON.parse(line) as SealJob);
  }
  return 0;
}

function answer(job: SealJob): void {
  try {
    say(seal(job));
  } catch (cause) {
    const error = diskTrouble(cause);
    const { message, kind, fix } =
      error instanceof HuskError
        ? error
        : { message: String((error as Error).stack), kind: 'internal', fix: undefined };
    say({ error: { message, kind, fix } });
  }
}

function seal({ upper, tar, lower, epoch }: SealJob): Sealed {
  using opened = new DisposableStack();
  let below: readonly number[] | undefined;
  const openLower = () => (below ??= lower.map((path) => opened.use(new Fd(openFolder(path))).number));
  const folder = opened.use(new Fd(openFolder(upper)));
  const file = opened.use(new OpenFile(tar, 'wx'));
  const tree = new LayerTree();
  const parser = new TarParser((entry) => tree.add(entry));
  const hash = createHash('sha256');
  const leftOut: string[] = [];
  let more = 0;
  let size = 0;
  const onLeftOut = (line: string) => void (leftOut.length < MAX_LEFT_OUT ? leftOut.push(line) : more++);
  const pieces = sealUpper(folder.number, { lower: openLower, onLeftOut, ...(epoch !== undefined && { epoch }) });
  for (const piece of pieces) {
    hash.update(piece);
    parser.push(piece);
    if (!isHole(piece)) write(file.fd, piece, size);
    size += piece.length;
  }
  parser.end();
  ftruncateSync(file.fd, size);
  // one call for all files of the step: the tar lies on the upper's file system
  syncfs(folder.number);
  if (more > 0) leftOut.push(`${more} more are left out`);
  return { diffId: `sha256:${hash.digest('hex')}`, size, leftOut };
}

function write(fd: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}
