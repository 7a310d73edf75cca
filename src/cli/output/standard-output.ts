/**
 * The command's standard output and error. Node makes process.stdout with all that streams are, which takes a tenth of
 * its own start: it is made here when something is written to a pipe or a terminal. A file or /dev/null never needs it,
 * and a command that writes nothing has none. This module formats nothing.
 */
import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { causeOf } from '../../errors.ts';
import type { Output } from '../grammar/command.ts';

/** exit code of a writer whose reader is gone, as a shell shows it: 128 + SIGPIPE */
export const EXIT_BROKEN_PIPE = 141;
/** /dev/null, a character device that is no terminal: Linux Documentation/admin-guide/devices.txt, 1:3 */
const NULL_DEVICE = 0x103;

/** A file takes what is written at once; whatever else may make its writer wait. */
type Kind = 'terminal' | 'file' | 'other';

function kindOf(fd: number): Kind {
  try {
    const stat = fstatSync(fd);
    if (stat.isFile() || stat.rdev === NULL_DEVICE) return 'file';
    // node:tty brings node:net and all streams: it is asked where only it can know
    return stat.isCharacterDevice() && isatty(fd) ? 'terminal' : 'other';
  } catch {
    // closed; Node has a stream that swallows what is written
    return 'other';
  }
}

export const isTerminal = (fd: number): boolean => kindOf(fd) === 'terminal';

export class StandardOutput implements Output {
  readonly #name: 'stdout' | 'stderr';
  readonly #fd: number;
  readonly #kind: Kind;
  #made: NodeJS.WriteStream | undefined;
  /** whether this was a terminal that has been closed */
  #gone = false;

  constructor(name: 'stdout' | 'stderr') {
    this.#name = name;
    this.#fd = name === 'stdout' ? 1 : 2;
    this.#kind = kindOf(this.#fd);
  }

  get isTTY(): boolean {
    return this.#kind === 'terminal';
  }

  get columns(): number | undefined {
    return this.isTTY ? this.stream.columns : undefined;
  }

  get rows(): number | undefined {
    return this.isTTY ? this.stream.rows : undefined;
  }

  /** Node's own; what is written there comes after what was written here. */
  get stream(): NodeJS.WriteStream {
    if (this.#made) return this.#made;
    this.#made = process[this.#name];
    this.#made.on('error', (error) => this.#failed(error));
    return this.#made;
  }

  write(bytes: string | Uint8Array): boolean {
    if (this.#gone) return true;
    if (this.#made || this.#kind !== 'file') return this.stream.write(bytes);
    const all = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    try {
      for (let written = 0; written < all.length;) written += writeSync(this.#fd, all, written);
    } catch (error) {
      this.#failed(error as NodeJS.ErrnoException);
    }
    return true;
  }

  once(event: 'drain', listener: () => void): void {
    this.stream.once(event, listener);
  }

  on(event: 'resize', listener: () => void): void {
    this.stream.on(event, listener);
  }

  off(event: 'resize', listener: () => void): void {
    this.stream.off(event, listener);
  }

  /**
   * Ends husk quietly when its reader is gone (`husk ps | head -1`), as a C program does; a full disk behind `>` is
   * reported. A closed terminal is no reason to end at once: SIGHUP comes with it, on which a command puts in order
   * what it has begun, and whoever ignores that signal is to go on.
   */
  #failed(error: NodeJS.ErrnoException): void {
    if (this.#gone) return;
    if (error.code === 'EIO' && this.#name === 'stderr' && this.#kind === 'terminal') {
      this.#gone = true;
      return;
    }
    if (error.code === 'EPIPE') process.exit(EXIT_BROKEN_PIPE);
    try {
      writeSync(2, `Error: write /dev/${this.#name}: ${causeOf(error)}\n`);
    } catch {
      // The report cannot be written either.
    }
    process.exit(1);
  }
}
