/**
 * Unpacks a tar, as it streams in, into files below one folder. The archive is hostile: it may come from a container
 * that knows where it is being unpacked, and another process may change the folder meanwhile. So every name is made by
 * the descriptor of its folder, exclusively and without following a link at its end; what stood there is unlinked,
 * never written through. The place decides how a folder is reached (places.ts): a path that leads out, an absolute name
 * or `..` cannot be expressed at all. Devices, set-user-ID bits and owners are made only where the place allows them.
 */
import { HuskError, systemError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { reopen, unlinkAt } from '../../host/files/file-at.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { BLOCK, type TarEntry } from '../../tar/entry.ts';
import { TarParser } from '../../tar/parser.ts';
import { Attributes, type AttributeOptions } from './attributes.ts';
import { factsAt, factsOf } from './facts.ts';
import { writePieces, type Pieces } from './pieces.ts';
import type { Place } from './places.ts';
import { removeTreeAt } from './remove.ts';

const S_IFBLK = 0o060000;
/** most attempts to replace a name that another process makes again and again */
const MAX_TRIES = 16;

export interface UnpackOptions extends AttributeOptions {
  /** whether a folder may replace a file, and a file a folder; @default refused, with Docker's words */
  replaceKinds?: boolean;
  /** whether device nodes are made; @default left out */
  devices?: boolean;
  /** whether folders that exist already take the archive's mode, owner and time; @default they keep theirs */
  existingFolders?: boolean;
  /** @returns the member's place below the folder; undefined refuses the member */
  rename?: (path: ByteString) => ByteString | undefined;
  /**
   * whether pieces of zeros become holes, for trees packed here, whose tar does not record holes; @default zeros are
   * written
   */
  holes?: boolean;
  /** called for each member that was left out */
  onLeftOut?: (path: ByteString, why: string) => void;
}

/** A folder of the archive; it gets its attributes when everything in it exists. */
interface Finish {
  path: ByteString;
  entry: TarEntry;
}

export class Unpacker {
  readonly #place: Place;
  readonly #options: UnpackOptions;
  readonly #parser: TarParser;
  readonly #attributes: Attributes;
  readonly #folders: Finish[] = [];
  /** bytes of the current member's contents that are still to come */
  #left = 0;
  #file: (Pieces & { path: ByteString }) | undefined;
  #parent: { path: ByteString; fd: number } | undefined;

  constructor(place: Place, options: UnpackOptions) {
    this.#place = place;
    this.#options = options;
    this.#attributes = new Attributes(options);
    this.#parser = new TarParser((entry) => this.#entry(entry));
  }

  /** @throws HuskError `corrupt`, `invalid`; files made before the error stay */
  push(chunk: Buffer): void {
    const parser = this.#parser;
    for (let at = 0; at < chunk.length;) {
      const rest = chunk.length - at;
      if (this.#left > 0) {
        const length = Math.min(this.#left, rest);
        this.#contents(chunk.subarray(at, at + length));
        at += length;
      } else if (parser.skippable > 0) {
        const length = Math.min(parser.skippable, rest);
        parser.skip(length);
        at += length;
      } else {
        // The parser gets the archive block by block, because contents must not be pushed into it.
        const length = Math.min(BLOCK - (parser.position % BLOCK), rest);
        parser.push(chunk.subarray(at, at + length));
        at += length;
      }
    }
  }

  /** Ends the archive. @throws HuskError `corrupt` when the archive is cut short */
  end(): void {
    this.#parser.end();
    for (const { path, entry } of this.#folders.reverse()) this.#named(path, () => this.#finishFolder(path, entry));
    this.#folders.length = 0;
  }

  /** Closes every open descriptor, also after a failure. */
  close(): void {
    if (this.#file) host.closeFd(this.#file.fd);
    this.#file = undefined;
    if (this.#parent) host.closeFd(this.#parent.fd);
    this.#parent = undefined;
  }

  #entry(entry: TarEntry): void {
    const path = this.#options.rename ? this.#options.rename(entry.path) : entry.path;
    if (path === undefined)
      throw new HuskError(`invalid copy source content: "${display(entry.path)}" was not asked for`, {
        kind: 'corrupt',
      });
    this.#left = entry.dataSize;
    // The member is the folder itself.
    if (path === '') {
      if (entry.type !== 'directory')
        throw new HuskError('invalid copy source content: the topmost folder is no folder', { kind: 'corrupt' });
      return;
    }
    const slash = path.lastIndexOf('/');
    const [folder, name] = [slash === -1 ? '' : path.slice(0, slash), path.slice(slash + 1)];
    this.#named(path, () => this.#make(entry, this.#folder(folder), name, path));
  }

  /** Makes errors of the system name the file that was being made. */
  #named(path: ByteString, work: () => void): void {
    try {
      work();
    } catch (error) {
      const refused = systemError(error);
      if (!refused) throw error;
      const { code, text } = refused;
      if (code === 'EROFS') throw new HuskError(this.#place.readOnlyText(path), { kind: 'invalid', cause: error });
      const kind = code === 'ENOSPC' || code === 'EDQUOT' ? 'limit' : 'invalid';
      throw new HuskError(`cannot write ${this.#place.shown(path)}: ${text}`, { kind, cause: error });
    }
  }

  /**
   * @returns the folder of a path, made when missing. The last one stays open, as members of one folder follow each
   * other.
   */
  #folder(path: ByteString): number {
    if (this.#parent?.path === path) return this.#parent.fd;
    const fd = this.#place.folder(path, { create: true })!;
    if (this.#parent) host.closeFd(this.#parent.fd);
    this.#parent = { path, fd };
    return fd;
  }

  #make(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    if (entry.type === 'directory') return this.#directory(entry, folder, name, path);
    const isDevice = entry.type === 'char' || entry.type === 'block';
    if (isDevice && !this.#options.devices) return this.#options.onLeftOut?.(path, 'it is a device');
    this.#replace(folder, name, path);
    switch (entry.type) {
      case 'file': {
        const fd = host.openAt(folder, name, host.O_WRONLY | host.O_CREAT | host.O_EXCL, 0o600);
        this.#file = { fd, entry, path, written: 0 };
        this.#place.made?.(path, factsOf(fd));
        if (entry.size !== entry.dataSize || this.#options.holes) host.ftruncate(fd, entry.size);
        if (this.#left === 0) this.#finishFile();
        return;
      }
      case 'symlink':
        host.symlinkAt(entry.linkname, folder, name);
        return this.#attributes.setOfLink(folder, name, entry);
      case 'hardlink':
        return this.#hardlink(entry, folder, name, path);
      default: {
        const kind = entry.type === 'fifo' ? host.S_IFIFO : entry.type === 'char' ? host.S_IFCHR : S_IFBLK;
        host.makeNodeAt(folder, name, kind | 0o600, isDevice ? makeDevice(entry.deviceMajor, entry.deviceMinor) : 0);
        return this.#attributes.setOfNode(folder, name, entry);
      }
    }
  }

  #directory(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    const there = factsAt(folder, name);
    if (there?.type === 'directory') {
      if (this.#options.existingFolders) this.#folders.push({ path, entry });
      return;
    }
    if (there) {
      if (!this.#options.replaceKinds)
        throw new HuskError(
          `cannot overwrite non-directory "${this.#place.shown(path)}" with directory "${this.#place.shown('')}"`,
          { kind: 'invalid' },
        );
      unlinkAt(folder, name);
    }
    // No other user may open the folder until everything is in it.
    host.makeDirectoryAt(folder, name, 0o700);
    this.#folders.push({ path, entry });
  }

  /** Removes whatever stands at the name, so that nothing is ever written through it. */
  #replace(folder: number, name: ByteString, path: ByteString): void {
    for (let tries = 0; ; tries++) {
      const there = factsAt(folder, name);
      if (!there) return;
      if (tries === MAX_TRIES)
        throw new HuskError(`cannot write ${this.#place.shown(path)}: somebody else makes it again and again`, {
          kind: 'conflict',
        });
      if (there.type === 'directory') {
        if (!this.#options.replaceKinds)
          throw new HuskError(
            `cannot overwrite directory "${this.#place.shown(path)}" with non-directory "${this.#place.shown('')}"`,
            { kind: 'invalid' },
          );
        removeTreeAt(folder, name);
      } else unlinkAt(folder, name);
    }
  }

  #hardlink(entry: TarEntry, folder: number, name: ByteString, path: ByteString): void {
    const target = this.#options.rename ? this.#options.rename(entry.linkname) : entry.linkname;
    const refuse = (why: string) =>
      new HuskError(`invalid hard link "${display(entry.path)}" -> "${display(entry.linkname)}": ${why}`, {
        kind: 'corrupt',
      });
    if (target === undefined || target === '') throw refuse('it leads elsewhere');
    const slash = target.lastIndexOf('/');
    const found = this.#place.folder(slash === -1 ? '' : target.slice(0, slash), { create: false });
    if (found === undefined) throw refuse('there is no such file');
    using parent = new Fd(found);
    const there = factsAt(parent.number, target.slice(slash + 1));
    if (!there || there.type === 'directory') throw refuse('there is no such file');
    // A file that was in the folder before must not get a second name, by which a later member would change it.
    if (this.#place.mayLink && !this.#place.mayLink(target, there)) throw refuse('the archive did not bring that file');
    host.linkAt(parent.number, target.slice(slash + 1), folder, name);
    this.#place.made?.(path, there);
  }

  #contents(bytes: Buffer): void {
    this.#parser.skip(bytes.length);
    this.#left -= bytes.length;
    const file = this.#file;
    if (!file) return;
    this.#named(file.path, () => {
      writePieces(file, bytes, { holes: this.#options.holes === true });
      if (this.#left === 0) this.#finishFile();
    });
  }

  /**
   * Sets the attributes after the contents, because writing clears set-user-ID bits and file capabilities and sets the
   * time.
   */
  #finishFile(): void {
    const { fd, entry } = this.#file!;
    this.#file = undefined;
    try {
      this.#attributes.set(fd, entry);
    } finally {
      host.closeFd(fd);
    }
  }

  #finishFolder(path: ByteString, entry: TarEntry): void {
    const opened = this.#place.folder(path, { create: false });
    // Another process has put something else there meanwhile.
    if (opened === undefined) return;
    using held = new Fd(opened);
    using folder = new Fd(reopen(held.number, host.O_RDONLY | host.O_DIRECTORY | host.O_CLOEXEC));
    this.#attributes.set(folder.number, entry);
  }
}

/** gnu_dev_makedev of sys/sysmacros.h; the parser bounds both numbers */
function makeDevice(major: number, minor: number): number {
  return (minor & 0xff) + ((major & 0xfff) << 8) + (minor >>> 8) * 2 ** 20;
}
