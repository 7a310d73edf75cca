/**
 * What a container with `--egress` was refused, as lines of JSON in its own folder: the last few thousand, in two files
 * of which the older one is overwritten. They go with the container.
 */
import { appendFileSync, closeSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface Refusal {
  /** ms since the epoch */
  time: number;
  /** absent: of a name, which is asked for on no network */
  network?: string;
  /** `tcp`, `udp`, `icmp`, `icmpv6`, a number; `dns` for a name */
  protocol: string;
  /** an address, or a name */
  destination: string;
  port?: number;
  /** in words: `no rule allows it` */
  reason: string;
}

/** bytes of one file; a line has some hundred */
const MOST_BYTES = 256 << 10;
/** bytes of a line: a name has at most 1016, written with escapes */
const MOST_OF_LINE = 4096;

/** why a packet was refused, or a name: no rule of the container's is about it */
export const REASONS = { address: 'no rule allows it', name: 'no rule names it' } as const;
/** by the walls of every network, whatever the container's rules say */
const SPOOFED = 'it was sent as somebody else';

export const spoofedBy = (source: string): string => `${SPOOFED}: ${source}`;

/** Whether the container's rules decided: another rule would have let it through. */
export const isOfRules = (reason: string): boolean => !reason.startsWith(SPOOFED);

const refusalsFile = (folder: string): string => join(folder, 'refused.log');
const olderFile = (folder: string): string => `${refusalsFile(folder)}.1`;

export class RefusalLog {
  readonly #folder: string;
  #bytes: number | undefined;

  /** @param folder containers/<id> */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws as fs does */
  write(refusal: Refusal): void {
    const line = `${JSON.stringify(refusal)}\n`;
    if (line.length > MOST_OF_LINE) return;
    const file = refusalsFile(this.#folder);
    this.#bytes ??= sizeOf(file);
    if (this.#bytes + line.length > MOST_BYTES) {
      renameSync(file, olderFile(this.#folder));
      this.#bytes = 0;
    }
    appendFileSync(file, line, { mode: 0o600 });
    this.#bytes += line.length;
  }
}

/** Reads a container's refusals as they are written, the oldest first. */
export class RefusalReader {
  readonly #folder: string;
  /** how far it has read, of a file by its inode: its name becomes that of the older one */
  #place = { inode: 0, bytes: 0 };

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Those since the last call. What is not a whole line yet waits; what was overwritten meanwhile is lost. */
  next(): Refusal[] {
    // in this order: one that becomes the older one meanwhile is seen as both, and none is missed
    using current = openFile(refusalsFile(this.#folder));
    using older = openFile(olderFile(this.#folder));
    const isSame = older?.inode === current?.inode;
    const found: Refusal[] = [];
    if (older && !isSame && this.#place.inode !== current?.inode) found.push(...this.#read(older));
    if (current) found.push(...this.#read(current));
    return found;
  }

  #read({ fd, inode, size }: OpenFile): Refusal[] {
    const from = this.#place.inode === inode ? this.#place.bytes : 0;
    const bytes = Buffer.alloc(Math.max(0, Math.min(size, MOST_BYTES) - from));
    const read = bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, from));
    const whole = read.subarray(0, read.lastIndexOf('\n') + 1);
    this.#place = { inode, bytes: from + whole.length };
    return whole.toString('utf8').split('\n').flatMap(readLine);
  }
}

interface OpenFile extends Disposable {
  fd: number;
  inode: number;
  /** bytes */
  size: number;
}

function openFile(file: string): OpenFile | undefined {
  try {
    const fd = openSync(file, 'r');
    const { ino: inode, size } = fstatSync(fd);
    return { fd, inode, size, [Symbol.dispose]: () => closeSync(fd) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function readLine(line: string): Refusal[] {
  try {
    const { time, network, protocol, destination, port, reason } = JSON.parse(line) as Refusal;
    const isWhole = [protocol, destination, reason].every((text) => typeof text === 'string') && Number.isFinite(time);
    if (!isWhole) return [];
    return [
      {
        time,
        protocol,
        destination,
        reason,
        ...(typeof network === 'string' && { network }),
        ...(typeof port === 'number' && { port }),
      },
    ];
  } catch {
    return [];
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
