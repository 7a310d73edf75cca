/**
 * Files of a client as a tar, by fsutil's protocol: the client tells every name of its folder (STAT), husk asks for the
 * contents of files (REQ) and gets them (DATA). The client is hostile: names are relative and stand behind their
 * folders, entries and bytes are counted, and nothing is written to a disk here.
 *
 * Source: tonistiigi/fsutil receive.go, send.go, types/wire.proto, types/stat.proto.
 */
import { isUtf8 } from 'node:buffer';
import { HuskError } from '../../errors.ts';
import { paddingOf, TAR_END, tarHeader } from '../../tar/write.ts';
import { bytes, Fields, message, number } from './wire.ts';

const STAT = 0;
export const REQUEST = 1;
export const DATA = 2;
export const FINISHED = 3;
export const FAILED = 4;

/** limits of one transfer; bytes of contents are bounded by who reads the tar */
const MAX_ENTRIES = 1_000_000;
const MAX_NAMES = 256 << 20;
const MAX_PATH = 4095;
const MAX_COMPONENT = 255;
/** files that are asked for ahead of the one that is read, and the bytes that they may have together */
const MAX_AHEAD = 64;
const MAX_AHEAD_BYTES = 2 << 20;

/** bits of Go's FileMode */
export const GO_DIR = 2 ** 31;
export const GO_SYMLINK = 2 ** 27;
/** of a device, a pipe, a socket, a character device, and of what is none of all */
const GO_SPECIAL = [2 ** 26, 2 ** 25, 2 ** 24, 2 ** 21, 2 ** 19];
const GO_SETUID = 2 ** 23;
const GO_SETGID = 2 ** 22;
const GO_STICKY = 2 ** 20;

/** A name of the client's folder. */
interface SyncedEntry {
  type: 'file' | 'directory' | 'symlink' | 'hardlink';
  path: string;
  /** the twelve permission bits */
  mode: number;
  size: number;
  /** ns since 1970 */
  modified: number;
  linkname: string;
}

/** The stream, seen from husk. */
export interface SyncStream {
  send(message: Uint8Array): Promise<void>;
  end(): void;
  messages: AsyncIterator<Buffer>;
}

export interface SyncOptions {
  /** told of bytes of contents so far */
  onBytes?: (total: number) => void;
  /** most bytes of contents */
  maxBytes?: number;
}

const hostile = (what: string): HuskError => new HuskError(`the client's files: ${what}`, { kind: 'invalid' });
const shown = (path: string): string => JSON.stringify(path.slice(0, 200));

/** Checks the names of a transfer as they come. */
class NameCheck {
  readonly #folders = new Set<string>(['']);
  readonly #files = new Set<string>();
  #bytes = 0;
  #entries = 0;

  /** @throws HuskError `invalid`, `limit` */
  add({ type, path, linkname }: SyncedEntry): void {
    this.#bytes += path.length + linkname.length;
    if (++this.#entries > MAX_ENTRIES || this.#bytes > MAX_NAMES)
      throw new HuskError(`the client's files: more than ${MAX_ENTRIES} names, or ${MAX_NAMES} bytes of them`, {
        kind: 'limit',
        fix: 'leave files out with .dockerignore',
      });
    assertRelative(path);
    const folder = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    if (!this.#folders.has(folder)) throw hostile(`${shown(path)} is in no folder that was told`);
    if (this.#folders.has(path) || this.#files.has(path)) throw hostile(`${shown(path)} is there twice`);
    // A link to a name that comes later, or to a folder, is none that a file system could have made.
    if (type === 'hardlink' && !this.#files.has(linkname))
      throw hostile(`${shown(path)} is a link to ${shown(linkname)}, which is no file told before`);
    if (type === 'symlink' && (linkname === '' || linkname.length > MAX_PATH || linkname.includes('\0')))
      throw hostile(`${shown(path)} is a symbolic link without a target`);
    (type === 'directory' ? this.#folders : this.#files).add(path);
  }
}

function assertRelative(path: string): void {
  const parts = path.split('/');
  if (path.length > MAX_PATH || path.includes('\0')) throw hostile(`${shown(path)} is no name`);
  if (parts.some((part) => part === '' || part === '.' || part === '..' || Buffer.byteLength(part) > MAX_COMPONENT))
    throw hostile(`${shown(path)} is no clean relative path`);
}

/** @returns undefined for sockets, pipes and devices, which no build reads @throws HuskError `corrupt`, `invalid` */
function readStat(stat: Fields): SyncedEntry | undefined {
  const mode = stat.unsigned(2);
  const [isFolder, isLink] = [has(mode, GO_DIR), has(mode, GO_SYMLINK)];
  if (!isFolder && !isLink && GO_SPECIAL.some((bit) => has(mode, bit))) return undefined;
  const size = stat.integer(5);
  if (size < 0 || !Number.isSafeInteger(size)) throw hostile('a file has no size');
  const linkname = nameOf(stat.bytes(7));
  return {
    type: isFolder ? 'directory' : isLink ? 'symlink' : linkname === '' ? 'file' : 'hardlink',
    path: nameOf(stat.bytes(1)),
    mode:
      (mode % 0o1000) +
      (has(mode, GO_SETUID) ? 0o4000 : 0) +
      (has(mode, GO_SETGID) ? 0o2000 : 0) +
      (has(mode, GO_STICKY) ? 0o1000 : 0),
    size,
    modified: stat.integer(6),
    linkname,
  };
}

/** Names are protobuf's strings; bytes that are no UTF-8 would be other names afterwards. */
function nameOf(name: Buffer): string {
  if (!isUtf8(name)) throw hostile(`${shown(name.toString('latin1'))} is no UTF-8`);
  return name.toString('utf8');
}

/** No bit operators: the mode has 32 bits, theirs are signed. */
const has = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1;

interface Told extends SyncedEntry {
  /** index of the STAT: what the protocol calls it by */
  id: number;
}

/** Everything that the client has told, and the contents that were asked for. */
class Receiver {
  readonly #stream: SyncStream;
  readonly #options: Required<SyncOptions>;
  readonly #names = new NameCheck();
  /** entries that are not yet read, in their order */
  readonly #told: Told[] = [];
  #taken = 0;
  /** by id: contents of files that were asked for; null at the end of each */
  readonly #contents = new Map<number, { chunks: Buffer[]; length: number; size: number; isWhole: boolean }>();
  #count = 0;
  #isComplete = false;
  #bytes = 0;
  #ahead = 0;

  constructor(stream: SyncStream, { onBytes = () => {}, maxBytes = Infinity }: SyncOptions) {
    this.#stream = stream;
    this.#options = { onBytes, maxBytes };
  }

  /** Reads one packet. @returns whether there was one */
  async #read(): Promise<boolean> {
    const { done, value } = await this.#stream.messages.next();
    if (done === true) return false;
    const packet = new Fields(value);
    switch (packet.unsigned(1)) {
      case STAT:
        this.#stat(packet.message(2));
        break;
      case DATA:
        this.#data(packet.unsigned(3), packet.bytes(4));
        break;
      case FAILED:
        throw new HuskError(`the client cannot read its files: ${packet.text(4).slice(0, 1000)}`, { kind: 'invalid' });
      case FINISHED:
        return false;
      default:
        throw hostile('a packet of a type that was not asked for');
    }
    return true;
  }

  #stat(stat: Fields | undefined): void {
    if (this.#isComplete) throw hostile('a name behind the last');
    if (!stat) {
      this.#isComplete = true;
      return;
    }
    const id = this.#count++;
    const entry = readStat(stat);
    if (!entry) {
      if (id >= MAX_ENTRIES) throw hostile('too many names');
      return;
    }
    this.#names.add(entry);
    this.#told.push({ ...entry, id });
  }

  #data(id: number, data: Buffer): void {
    const content = this.#contents.get(id);
    if (!content || content.isWhole) throw hostile('contents of a file that were not asked for');
    if (data.length === 0) {
      content.isWhole = true;
      return;
    }
    content.length += data.length;
    this.#bytes += data.length;
    if (content.length > content.size) throw hostile('a file has grown while it was sent');
    if (this.#bytes > this.#options.maxBytes)
      throw new HuskError(`the client's files: more than ${this.#options.maxBytes} bytes`, { kind: 'limit' });
    // The packet's buffer is shared by what else came with it.
    content.chunks.push(Buffer.from(data));
    this.#options.onBytes(this.#bytes);
  }

  /** Asks for files ahead, as long as they are small together: their contents come side by side. */
  async #request(): Promise<void> {
    for (let next = this.#told[this.#ahead]; next; next = this.#told[this.#ahead]) {
      if (next.type === 'file' && !this.#contents.has(next.id)) {
        const waiting = [...this.#contents.values()].reduce((sum, { size }) => sum + size, 0);
        const isFirst = this.#contents.size === 0;
        if (!isFirst && (this.#contents.size >= MAX_AHEAD || waiting + next.size > MAX_AHEAD_BYTES)) return;
        this.#contents.set(next.id, { chunks: [], length: 0, size: next.size, isWhole: false });
        await this.#stream.send(message(number(1, REQUEST), number(3, next.id)));
      }
      this.#ahead++;
    }
  }

  async #next(): Promise<Told | undefined> {
    while (this.#taken >= this.#told.length) {
      if (this.#isComplete) return undefined;
      if (!(await this.#read())) throw hostile('the client has ended the transfer');
    }
    await this.#request();
    const entry = this.#told[this.#taken]!;
    // What was read is not kept: there may be a million.
    if (++this.#taken === 4096) {
      this.#told.splice(0, this.#taken);
      this.#ahead -= this.#taken;
      this.#taken = 0;
    }
    return entry;
  }

  async *entries(): AsyncGenerator<{ entry: SyncedEntry; contents: AsyncGenerator<Buffer> }> {
    for (let entry = await this.#next(); entry; entry = await this.#next())
      yield { entry, contents: this.#contentsOf(entry) };
    await this.#stream.send(message(number(1, FINISHED)));
    while (await this.#read());
    this.#stream.end();
  }

  async *#contentsOf({ id, type, size, path }: Told): AsyncGenerator<Buffer> {
    if (type !== 'file') return;
    const content = this.#contents.get(id)!;
    let length = 0;
    for (;;) {
      for (const chunk of content.chunks.splice(0)) {
        length += chunk.length;
        yield chunk;
      }
      if (content.isWhole) break;
      if (!(await this.#read())) throw hostile(`the client has ended within ${shown(path)}`);
    }
    this.#contents.delete(id);
    if (length !== size) throw hostile(`${shown(path)} has shrunk while it was sent`);
  }
}

/** @returns the client's folder as a tar; the transfer is ended behind it */
export async function* syncedTar(stream: SyncStream, options: SyncOptions = {}): AsyncGenerator<Buffer> {
  for await (const { entry, contents } of new Receiver(stream, options).entries()) {
    yield tarHeader({
      type: entry.type,
      path: Buffer.from(entry.type === 'directory' ? `${entry.path}/` : entry.path).toString('latin1'),
      ...(entry.linkname !== '' && { linkname: Buffer.from(entry.linkname).toString('latin1') }),
      mode: entry.mode,
      size: entry.type === 'file' ? entry.size : 0,
      mtime: Math.max(0, Math.floor(entry.modified / 1e9)),
    });
    yield* contents;
    if (entry.type === 'file') yield paddingOf(entry.size);
  }
  yield TAR_END;
}

/** @returns the regular files among a few, with their contents. @param most bytes of all */
export async function syncedFiles(stream: SyncStream, most: number): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const { entry, contents } of new Receiver(stream, { maxBytes: most }).entries()) {
    const chunks: Buffer[] = [];
    for await (const chunk of contents) chunks.push(chunk);
    if (entry.type === 'file') files.set(entry.path, Buffer.concat(chunks));
  }
  return files;
}

/** @returns a packet that tells a name, or without one that there are no more */
export const statPacket = (stat?: Buffer): Buffer => message(number(1, STAT), bytes(2, stat));
