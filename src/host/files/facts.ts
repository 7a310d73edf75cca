/**
 * What statx(2) says of inodes, for those who look at very many: a row of numbers for each in one array, instead of an
 * object of a dozen fields, which costs more than the call itself. Times are whole nanoseconds, which a number of
 * milliseconds cannot hold.
 */
import { constants } from 'node:os';
import { checked, koffi } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { nameBytes, type Name } from './lookup.ts';

/** include/uapi/linux/fcntl.h */
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
/** STATX_BASIC_STATS, include/uapi/linux/stat.h */
const STATX_MASK = 0x7ff;
const { ENOENT } = constants.errno;

/**
 * The words of struct statx that a row has, as offsets of 32 bits (include/uapi/linux/stat.h; a field of 64 bits has
 * its low half first). Those before `nlink` are the identity: where all are the same, nothing has changed the inode.
 */
const MODE = 7;
const IDENTITY = [MODE, 8, 9, 10, 11, 34, 35, 28, 29, 30, 24, 25, 26];
const SOURCE = Uint8Array.from([...IDENTITY, 4, 12, 13]);
/** numbers of a row in FACTS_WORDS order: mode, inode, size, device, time of modification, of change, links, blocks */
const AT = { mode: 0, ino: 1, size: 3, dev: 5, mtime: 7, ctime: 10, nlink: 13, blocks: 14 } as const;
const WORDS = SOURCE.length;
/** numbers of 32 bits that make the identity of an inode */
export const IDENTITY_WORDS = IDENTITY.length;
const HALF = 2 ** 32;

const statx = systemCall<(folder: number, path: Name, flags: number, mask: number, out: Uint8Array) => number>(
  'int statx(int folder, const char *path, int flags, unsigned int mask, void *out)',
);

/** The same call for a name that lies in memory already, of which no string has to be made. */
const statxAt = systemCall<(folder: number, path: number, flags: number, mask: number, out: Uint8Array) => number>(
  'int statx(int folder, int64_t path, int flags, unsigned int mask, void *out)',
);

const buffer = new Uint32Array(64);
// safe: struct statx has 256 bytes, as the buffer has
const out = new Uint8Array(buffer.buffer);

/** Rows of inodes' facts. A row is a number from 0. */
export class FactsTable {
  #words = new Uint32Array(64 * WORDS);
  #rows = 0;

  /**
   * Looks at a name in a folder; a link is not followed.
   * @returns the row, or undefined where there is no such name
   * @throws SyscallError
   */
  add(folder: number, name: string): number | undefined {
    const result = statx(folder, nameBytes(name), AT_SYMLINK_NOFOLLOW, STATX_MASK, out);
    if (result === -ENOENT) return undefined;
    checked(result, 'statx', name);
    return this.#keep();
  }

  /** Looks at what a descriptor is of. @throws SyscallError */
  addOf(fd: number): number {
    checked(statx(fd, '', AT_EMPTY_PATH, STATX_MASK, out), 'statx');
    return this.#keep();
  }

  /** @returns whether a descriptor's inode is that of a row, and unchanged since. @throws SyscallError */
  isStill(row: number, fd: number): boolean {
    checked(statx(fd, '', AT_EMPTY_PATH, STATX_MASK, out), 'statx');
    const base = row * WORDS;
    for (let at = 0; at < IDENTITY_WORDS; at++) if (this.#words[base + at] !== word(at)) return false;
    return true;
  }

  /** @returns whether the identity of a row is what stands in a list, from a place in it on */
  isIdentity(row: number, list: Uint32Array, from: number): boolean {
    const base = row * WORDS;
    for (let at = 0; at < IDENTITY_WORDS; at++) if (this.#words[base + at] !== list[from + at]) return false;
    return true;
  }

  /** Writes the identity of a row into a list, from a place in it on. */
  copyIdentity(row: number, list: Uint32Array, at: number): void {
    const base = row * WORDS;
    for (let word = 0; word < IDENTITY_WORDS; word++) list[at + word] = this.#words[base + word]!;
  }

  /** type and permissions, as st_mode has them */
  mode(row: number): number {
    return this.#words[row * WORDS + AT.mode]!;
  }

  size(row: number): number {
    return this.#long(row, AT.size);
  }

  /** whole seconds since 1970, which may be negative */
  mtime(row: number): number {
    return this.#seconds(row, AT.mtime);
  }

  /** the later of the times of modification and of change, in ms since 1970 */
  newest(row: number): number {
    return Math.max(this.#milliseconds(row, AT.mtime), this.#milliseconds(row, AT.ctime));
  }

  nlink(row: number): number {
    return this.#words[row * WORDS + AT.nlink]!;
  }

  /** 512 bytes each */
  blocks(row: number): number {
    return this.#long(row, AT.blocks);
  }

  /** @returns what two names of one inode share, and no two inodes */
  inode(row: number): string {
    const base = row * WORDS;
    return (
      this.#words.subarray(base + AT.ino, base + AT.ino + 2).join() +
      ':' +
      this.#words.subarray(base + AT.dev, base + AT.dev + 2).join()
    );
  }

  /** @returns whether two inodes are on one file system */
  shareDevice(row: number, other: number): boolean {
    const words = this.#words;
    const [one, two] = [row * WORDS + AT.dev, other * WORDS + AT.dev];
    return words[one] === words[two] && words[one + 1] === words[two + 1];
  }

  #long(row: number, at: number): number {
    return this.#words[row * WORDS + at]! + this.#words[row * WORDS + at + 1]! * HALF;
  }

  #seconds(row: number, at: number): number {
    return this.#words[row * WORDS + at]! + (this.#words[row * WORDS + at + 1]! | 0) * HALF;
  }

  #milliseconds(row: number, at: number): number {
    return this.#seconds(row, at) * 1000 + this.#words[row * WORDS + at + 2]! / 1e6;
  }

  #keep(): number {
    const base = this.#rows * WORDS;
    if (base + WORDS > this.#words.length) {
      const larger = new Uint32Array(2 * this.#words.length);
      larger.set(this.#words);
      this.#words = larger;
    }
    for (let at = 0; at < WORDS; at++) this.#words[base + at] = word(at);
    return this.#rows++;
  }
}

/** Inodes by their names in folders and what they were, to ask whether they still are: no object is made for any. */
export class KnownInodes {
  readonly #lengths: Uint8Array;
  readonly #identities: Uint32Array;
  readonly #names: Uint8Array;
  readonly #address: number;
  /** the inode that is next, and where its name begins */
  #next = 0;
  #at = 0;

  /**
   * @param lengths bytes of each name, without its NUL
   * @param names one behind the other, each with a NUL
   * @param identities of each, as copyIdentity gives them
   */
  constructor(lengths: Uint8Array, names: Uint8Array, identities: Uint32Array) {
    this.#lengths = lengths;
    this.#identities = identities;
    // safe: the memory of an ArrayBuffer does not move, and lives as long as this object has a view of it; the NUL at
    // its end bounds what the kernel reads from any place in it.
    this.#names = new Uint8Array(new ArrayBuffer(names.length + 1));
    this.#names.set(names);
    this.#address = Number(koffi().address(this.#names));
  }

  /**
   * Looks at the next inodes, which are in this folder.
   * @returns whether each of them has the name and the identity that it had
   * @throws RangeError when there are not so many
   */
  areStill(folder: number, count: number): boolean {
    if (this.#next + count > this.#lengths.length) throw new RangeError(`there are ${this.#lengths.length} inodes`);
    for (const end = this.#next + count; this.#next < end; this.#next++) {
      const behind = this.#at + this.#lengths[this.#next]!;
      if (behind >= this.#names.length || this.#names[behind] !== 0) return false;
      // safe: #at is before `behind`, which is inside the names
      if (statxAt(folder, this.#address + this.#at, AT_SYMLINK_NOFOLLOW, STATX_MASK, out) < 0) return false;
      if (!isWhatWasSaid(this.#identities, this.#next * IDENTITY_WORDS)) return false;
      this.#at = behind + 1;
    }
    return true;
  }
}

/**
 * @returns whether the identity in the buffer is the one that stands in a list, from a place in it on: IDENTITY without
 * a loop, for code that V8 has not compiled yet
 */
const isWhatWasSaid = (list: Uint32Array, from: number): boolean =>
  list[from] === (buffer[MODE]! & 0xffff) &&
  list[from + 1] === buffer[8] &&
  list[from + 2] === buffer[9] &&
  list[from + 3] === buffer[10] &&
  list[from + 4] === buffer[11] &&
  list[from + 5] === buffer[34] &&
  list[from + 6] === buffer[35] &&
  list[from + 7] === buffer[28] &&
  list[from + 8] === buffer[29] &&
  list[from + 9] === buffer[30] &&
  list[from + 10] === buffer[24] &&
  list[from + 11] === buffer[25] &&
  list[from + 12] === buffer[26];

/** stx_mode has 16 bits, and nothing after it is said. */
const word = (at: number): number => (at === AT.mode ? buffer[MODE]! & 0xffff : buffer[SOURCE[at]!]!);
