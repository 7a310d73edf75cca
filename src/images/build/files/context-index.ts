/**
 * Digests of a context's files from earlier builds, so that a build reads only what has changed: one file for each
 * context, as git has an index. An entry counts while device, inode, size, times and mode are the same; the time of the
 * inode's change moves with every write, also with one whose mtime was set back.
 *
 * Git's racy rule: a file that changes twice within one tick of the file system's clock looks the same before and after
 * the second change. So a file is only recorded when its times are older than this build by more than a tick.
 *
 * Entries are in the order in which a build asks for them, and stay as they lie in the file: the next build, which asks
 * in the same order, compares numbers and makes no object for any of them.
 */
import { hash } from 'node:crypto';
import { readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type FactsTable, IDENTITY_WORDS } from '../../../host/files/facts.ts';
import { makeMissingFolders } from '../../../missing-folders.ts';
import { type ByteString, toBytes } from '../../../tar/byte-string.ts';
import { writeWholeFile } from '../../../whole-file.ts';

/**
 * What a file begins with: another version is another format. Then, little-endian: three 32-bit numbers (entries, bytes
 * of their names, bytes of capabilities) and the SHA-256 of what follows: the identity of each entry (FactsTable), its
 * digest, its path and a NUL, and the capabilities as lines `entry hex`.
 */
const FORMAT = Buffer.from('husk-context-2\n\0');
const DIGEST = 32;
const HEADER = FORMAT.length + 12 + DIGEST;
const IDENTITY = 4 * IDENTITY_WORDS;
/** ms: the coarsest clock of the file systems below is a timer tick at 100 Hz */
export const TICK = 20;
/** most entries that are kept of files that this build did not look at */
const MAX_UNSEEN = 200_000;
/**
 * file systems whose time of change is this kernel's own, statfs(2): ext4, xfs, btrfs, tmpfs, overlay, f2fs, zfs,
 * bcachefs. A server's clock could be behind this one.
 */
const LOCAL = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0xf2f52010, 0x2fc12fc1, 0xca451a4e]);

interface Known {
  /** SHA-256 as hex */
  digest: string;
  /** value of security.capability */
  capability: Buffer | null;
}

interface Entry extends Known {
  path: ByteString;
  /** Writes the identity into a list, from a place in it on. */
  place(list: Uint32Array, at: number): void;
}

export class ContextIndex {
  readonly file: string;
  /** ms since 1970 at which this build began to look */
  readonly began: number;
  #earlier: Earlier | undefined;
  /** what this build asked for, in its order: entries of earlier builds by number, and new ones */
  readonly #now: (number | Entry)[] = [];
  #isChanged = false;

  /**
   * Opens the index of a context, which may not be there yet.
   * @param folder that has the indexes
   * @param context absolute path of the context
   * @param options.now ms since 1970, for tests
   * @returns undefined where the context's file system does not keep times that can be relied upon
   */
  static of(folder: string, context: string, options: { now?: number } = {}): ContextIndex | undefined {
    if (!LOCAL.has(statfsSync(context).type >>> 0)) return undefined;
    return new ContextIndex(join(folder, hash('sha256', context, 'hex')), options.now ?? Date.now());
  }

  private constructor(file: string, began: number) {
    this.file = file;
    this.began = began;
  }

  /** @returns what an earlier build found, if the file of this row is surely still the same */
  find(path: ByteString, facts: FactsTable, row: number): Known | undefined {
    const earlier = (this.#earlier ??= Earlier.read(this.file));
    const entry = earlier.entryOf(path);
    if (entry === undefined || !facts.isIdentity(row, earlier.identities, entry * IDENTITY_WORDS)) return undefined;
    this.#now.push(entry);
    return earlier.known(entry);
  }

  record(path: ByteString, facts: FactsTable, row: number, known: Known): void {
    if (facts.newest(row) + TICK >= this.began) return;
    this.#now.push({ path, place: (list, at) => facts.copyIdentity(row, list, at), ...known });
    this.#isChanged = true;
  }

  /** Writes what this build found beside what earlier ones did. Two builds at once lose some digests, nothing else. */
  save(): void {
    if (!this.#isChanged) return;
    const earlier = this.#earlier ?? Earlier.read(this.file);
    const entries = new Map<ByteString, Entry>();
    for (const each of this.#now) {
      const entry = typeof each === 'number' ? earlier.entry(each) : each;
      entries.set(entry.path, entry);
    }
    if (earlier.count <= MAX_UNSEEN)
      for (let each = 0; each < earlier.count; each++) {
        const entry = earlier.entry(each);
        if (!entries.has(entry.path)) entries.set(entry.path, entry);
      }
    this.#isChanged = false;
    writeKept(this.file, encode([...entries.values()]));
  }
}

/** Writes what a later build would otherwise find out anew: where the disk has no room for it, that is what it does. */
export function writeKept(file: string, bytes: Buffer): void {
  try {
    makeMissingFolders(join(file, '..'), 0o700);
    writeWholeFile(file, bytes, { mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EROFS') throw error;
  }
}

/** What the file had when it was read; nothing where it is not there, or is of another format. */
class Earlier {
  readonly count: number;
  readonly identities: Uint32Array;
  readonly #digests: Buffer;
  /** the paths, each with a NUL at its end */
  readonly #names: string;
  readonly #capabilities: ReadonlyMap<number, Buffer>;
  /** the entry that is expected to be asked for next, and where its path begins */
  #next = 0;
  #at = 0;
  /** where each path begins, and which entry it has: made when a build asks in another order */
  #starts: number[] | undefined;
  #byPath: Map<ByteString, number> | undefined;

  static read(file: string): Earlier {
    let bytes: Buffer;
    try {
      bytes = readFileSync(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      bytes = Buffer.alloc(0);
    }
    return new Earlier(isWhole(bytes) ? bytes : encode([]));
  }

  private constructor(bytes: Buffer) {
    const [count, names, capabilities] = sizesOf(bytes);
    this.count = count;
    let at = HEADER;
    const take = (length: number): Buffer => bytes.subarray(at, (at += length));
    // A copy: the words of a view would have to begin at a multiple of four.
    this.identities = new Uint32Array(new Uint8Array(take(count * IDENTITY)).buffer);
    this.#digests = take(count * DIGEST);
    this.#names = take(names).toString('latin1');
    this.#capabilities = new Map(
      take(capabilities)
        .toString('latin1')
        .split('\n')
        .filter(Boolean)
        .map((line) => [Number.parseInt(line, 10), Buffer.from(line.slice(line.indexOf(' ') + 1), 'hex')]),
    );
  }

  entryOf(path: ByteString): number | undefined {
    const end = this.#at + path.length;
    if (!this.#names.startsWith(path, this.#at) || this.#names.charCodeAt(end) !== 0) return this.#look(path);
    this.#at = end + 1;
    return this.#next++;
  }

  known(entry: number): Known {
    return {
      digest: this.#digests.toString('hex', entry * DIGEST, (entry + 1) * DIGEST),
      capability: this.#capabilities.get(entry) ?? null,
    };
  }

  entry(entry: number): Entry {
    const { starts } = this.#all();
    const path = this.#names.slice(starts[entry], starts[entry + 1]! - 1);
    const from = entry * IDENTITY_WORDS;
    const place = (list: Uint32Array, at: number): void =>
      list.set(this.identities.subarray(from, from + IDENTITY_WORDS), at);
    return { path, place, ...this.known(entry) };
  }

  /** Finds an entry out of its turn, and goes on behind it. */
  #look(path: ByteString): number | undefined {
    const { starts, byPath } = this.#all();
    const entry = byPath.get(path);
    if (entry === undefined) return undefined;
    this.#next = entry + 1;
    this.#at = starts[entry + 1]!;
    return entry;
  }

  #all(): { starts: number[]; byPath: Map<ByteString, number> } {
    let [starts, byPath] = [this.#starts, this.#byPath];
    if (starts === undefined || byPath === undefined) {
      starts = this.#starts = [0];
      byPath = this.#byPath = new Map();
      for (let entry = 0; entry < this.count; entry++) {
        const end = this.#names.indexOf('\0', starts[entry]);
        byPath.set(this.#names.slice(starts[entry], end), entry);
        starts.push(end + 1);
      }
    }
    return { starts, byPath };
  }
}

const sizesOf = (bytes: Buffer): [count: number, names: number, capabilities: number] => [
  bytes.readUInt32LE(FORMAT.length),
  bytes.readUInt32LE(FORMAT.length + 4),
  bytes.readUInt32LE(FORMAT.length + 8),
];

/** @returns whether bytes are an index that was written to its end, and are what was written */
function isWhole(bytes: Buffer): boolean {
  if (bytes.length < HEADER || !bytes.subarray(0, FORMAT.length).equals(FORMAT)) return false;
  const [count, names, capabilities] = sizesOf(bytes);
  return (
    bytes.length === HEADER + count * (IDENTITY + DIGEST) + names + capabilities &&
    bytes.toString('hex', HEADER - DIGEST, HEADER) === hash('sha256', bytes.subarray(HEADER), 'hex')
  );
}

function encode(entries: readonly Entry[]): Buffer {
  const names = toBytes(entries.map(({ path }) => `${path}\0`).join(''));
  const capabilities = toBytes(
    entries.map(({ capability }, entry) => (capability ? `${entry} ${capability.toString('hex')}\n` : '')).join(''),
  );
  const identities = new Uint32Array(entries.length * IDENTITY_WORDS);
  const digests = Buffer.alloc(entries.length * DIGEST);
  for (const [index, { place, digest }] of entries.entries()) {
    place(identities, index * IDENTITY_WORDS);
    digests.write(digest, index * DIGEST, 'hex');
  }
  const rest = Buffer.concat([Buffer.from(identities.buffer), digests, names, capabilities]);
  const header = Buffer.alloc(HEADER);
  FORMAT.copy(header);
  for (const [index, value] of [entries.length, names.length, capabilities.length].entries())
    header.writeUInt32LE(value, FORMAT.length + 4 * index);
  header.write(hash('sha256', rest, 'hex'), HEADER - DIGEST, 'hex');
  return Buffer.concat([header, rest]);
}
