/**
 * ADD of a local tar: the archive is found by its content, decompressed into a file without a name, and its members
 * become names of a layer as Docker's unpacker has them. All of it is a stranger's: what would lead out stays within
 * the destination, links are followed within the stage's root, sizes and counts are bounded.
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { HuskError } from '../../../errors.ts';
import { tmpPath } from '../../../state/tmp-folder.ts';
import { type ByteString, display } from '../../../tar/byte-string.ts';
import { BLOCK, type TarEntry } from '../../../tar/entry.ts';
import { isZeroBlock, parseHeader } from '../../../tar/header.ts';
import { scanTar } from '../../../tar/scan.ts';
import { decompress } from '../../layers/decompress.ts';
import { contentsIn } from './layer-file.ts';
import type { ChangeMode } from './modes.ts';
import type { Owner } from './owners.ts';
import type { Contents } from './source.ts';
import { type Attributes, type Upper, type UpperLeaf, WHITEOUT } from './upper.ts';

export interface ArchiveOptions {
  /** folder for half-made files: tmp/ of the data root */
  tmp: string;
  /** bytes that the archive may have when it is decompressed: the bound that stops a decompression bomb */
  maxSize: number;
}

/** A tar, decompressed, while its members are copied. */
export class Archive implements Disposable {
  readonly entries: readonly TarEntry[];
  readonly #fd: number;

  /** @param fd of the decompressed bytes, of this number, which the archive closes */
  constructor(fd: number, size: number) {
    this.#fd = fd;
    const entries: TarEntry[] = [];
    const keep = (entry: TarEntry) => {
      // The scan skips contents, and so does not see that they are missing.
      if (entry.dataOffset + entry.dataSize > size)
        throw new HuskError(`invalid tar: it ends within "${display(entry.path)}"`, { kind: 'corrupt' });
      entries.push(entry);
    };
    scanTar(fd, keep, { clamp: true });
    this.entries = entries;
  }

  contents(entry: TarEntry): Contents {
    return contentsIn(
      this.#fd,
      entry,
      () => new HuskError('the unpacked archive has become shorter', { kind: 'internal' }),
    );
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/**
 * Opens a file as an archive.
 * @returns undefined for a file that is none, which is to be copied as it is
 * @throws HuskError `corrupt`, `limit`; `unsupported` when the program for its compression is not there
 */
export async function openArchive(file: Contents, { tmp, maxSize }: ArchiveOptions): Promise<Archive | undefined> {
  const bytes = decompress(asynchronous(file), { programs: true });
  let fd: number | undefined;
  let size = 0;
  const start: Buffer[] = [];
  try {
    for (;;) {
      const { done, value } = await nextOf(bytes, fd === undefined);
      if (done) break;
      size += value.length;
      if (size > maxSize)
        throw new HuskError(`the unpacked archive is larger than ${maxSize} bytes`, {
          kind: 'limit',
          fix: 'if it is to be trusted, set "max-layer-size" in the config',
        });
      if (fd !== undefined) {
        writeAll(fd, value);
        continue;
      }
      start.push(value);
      if (size < BLOCK) continue;
      const whole = Buffer.concat(start);
      if (!beginsTar(whole)) return undefined;
      writeAll((fd = nameless(tmp)), whole);
    }
    if (fd === undefined) return undefined;
    const archive = new Archive(fd, size);
    fd = undefined;
    return archive;
  } finally {
    if (fd !== undefined) closeSync(fd);
    await bytes.return();
  }
}

/** A file that only begins like something compressed is no archive; once a tar has begun, broken data are an error. */
async function nextOf(
  bytes: AsyncGenerator<Buffer, void, void>,
  isStart: boolean,
): Promise<IteratorResult<Buffer, void>> {
  try {
    return await bytes.next();
  } catch (error) {
    if (isStart && error instanceof HuskError && error.kind === 'corrupt') return { done: true, value: undefined };
    throw error;
  }
}

async function* asynchronous(file: Contents): AsyncGenerator<Buffer, void, void> {
  // A piece is overwritten by the next one, while a decompressor in another thread may still read it.
  for (const piece of file.pieces()) yield Buffer.from(piece);
}

function beginsTar(bytes: Buffer): boolean {
  if (isZeroBlock(bytes, 0)) return false;
  try {
    parseHeader(bytes, 0, 0);
    return true;
  } catch (error) {
    if (error instanceof HuskError) return false;
    throw error;
  }
}

/** @returns a descriptor of a new file that goes with the descriptor */
function nameless(tmp: string): number {
  const path = tmpPath({ tmp }, 'half-layer');
  const fd = openSync(path, 'wx+', 0o600);
  rmSync(path);
  return fd;
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}

export interface UnpackOptions {
  /** @default the archive's own */
  owner: Owner | undefined;
  chmod: ChangeMode | undefined;
  /** of folders that no member describes */
  made: Attributes;
  note: ((text: string) => void) | undefined;
}

/** Puts an archive's members below a folder of the stage, in their order. */
export function unpackInto(upper: Upper, top: readonly ByteString[], archive: Archive, options: UnpackOptions): void {
  upper.open(top, options.made);
  for (const entry of archive.entries) {
    // The destination keeps its own attributes, as in Docker.
    if (entry.path === '') continue;
    const names = entry.path.split('/');
    if (names.some((name) => name.startsWith(WHITEOUT))) {
      options.note?.(`${display(entry.path)} is left out: in a layer the name would hide another file`);
      continue;
    }
    const { folder, path } = placeOf(upper, top, names, options.made);
    const name = names.at(-1)!;
    if (entry.type === 'directory') upper.replace(folder, name, attributesOf(entry, options));
    else if (entry.type === 'hardlink') upper.replace(folder, name, linked(upper, top, entry, options.made));
    else upper.replace(folder, name, leafOf(entry, archive, options, path));
  }
}

/** @returns the folder that a member belongs into, with links on the way followed within the stage's root */
function placeOf(upper: Upper, top: readonly ByteString[], names: readonly ByteString[], made: Attributes) {
  const { names: path } = upper.look([...top, ...names.slice(0, -1)].join('/'));
  return { folder: upper.open(path, made), path: [...path, names.at(-1)!] };
}

function leafOf(entry: TarEntry, archive: Archive, options: UnpackOptions, path: readonly ByteString[]): UpperLeaf {
  const { type, linkname, deviceMajor, deviceMinor } = entry;
  if (type === 'char' && deviceMajor === 0 && deviceMinor === 0)
    throw new HuskError(
      `cannot add /${display(path.join('/'))}: overlay file systems take a character device 0:0 for a whiteout`,
      { kind: 'invalid' },
    );
  return {
    kind: 'leaf',
    type: type as UpperLeaf['type'],
    attributes: attributesOf(entry, options),
    linkname,
    deviceMajor,
    deviceMinor,
    contents: type === 'file' ? archive.contents(entry) : undefined,
  };
}

function attributesOf(entry: TarEntry, { owner, chmod }: UnpackOptions): Attributes {
  const { type, mode, mtime, mtimeNanoseconds, xattrs } = entry;
  const { uid, gid } = owner ?? entry;
  return {
    mode: chmod === undefined || type === 'symlink' ? mode : chmod(mode, type === 'directory'),
    uid,
    gid,
    mtime,
    mtimeNanoseconds,
    xattrs,
  };
}

/** @returns the inode that a hard link names, which is the archive's own: another file could not be linked to */
function linked(upper: Upper, top: readonly ByteString[], entry: TarEntry, made: Attributes): UpperLeaf {
  const names = entry.linkname.split('/');
  const { folder } = placeOf(upper, top, names, made);
  const target = folder.children.get(names.at(-1)!);
  if (target?.kind !== 'leaf')
    throw new HuskError(
      `invalid tar: "${display(entry.path)}" is a hard link to "${display(entry.linkname)}", which it does not have`,
      { kind: 'corrupt' },
    );
  return target;
}
