/**
 * Stands for systemd-journald: a datagram socket at a path, and what comes to it, parsed by the rules of its native
 * protocol; sealed files are read.
 */
import { fstatSync, readSync, rmSync } from 'node:fs';
import koffi from 'koffi';
import { receive } from '../../src/host/streams/socket.ts';

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const recv = libc.func('long recv(int fd, void *buffer, unsigned long length, int flags)');
const close = libc.func('int close(int fd)');
const bind = libc.func('int bind(int fd, const void *address, unsigned int length)');
/** bits/socket.h */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;

export type Fields = Record<string, string>;

export class JournalListener implements Disposable {
  readonly path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.path = path;
    const address = Buffer.alloc(110);
    address.writeUInt16LE(AF_UNIX, 0);
    address.write(path, 2);
    this.#fd = socket(AF_UNIX, SOCK_DGRAM, 0) as number;
    if (bind(this.#fd, address, address.length) !== 0) throw new Error(`cannot bind ${path}`);
  }

  /** what has come since the last time */
  take(): Fields[] {
    const found: Fields[] = [];
    const buffer = Buffer.alloc(1 << 20);
    for (;;) {
      const length = recv(this.#fd, buffer, buffer.length, MSG_PEEK | MSG_DONTWAIT) as number;
      if (length < 0) break;
      if (length > 0) {
        recv(this.#fd, buffer, buffer.length, MSG_DONTWAIT);
        found.push(parse(Buffer.from(buffer.subarray(0, length))));
      } else {
        // nothing but a descriptor
        const [file] = receive(this.#fd)!.fds;
        found.push(parse(readFile(file!.number)));
        file!.close();
      }
    }
    return found;
  }

  [Symbol.dispose](): void {
    close(this.#fd);
    rmSync(this.path, { force: true });
  }
}

function readFile(fd: number): Buffer {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  readSync(fd, bytes, 0, bytes.length, 0);
  return bytes;
}

function parse(bytes: Buffer): Fields {
  const fields: Fields = {};
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0x0a, at);
    const equals = bytes.subarray(at, end).indexOf('=');
    if (equals !== -1) {
      fields[bytes.toString('utf8', at, at + equals)] = bytes.toString('latin1', at + equals + 1, end);
      at = end + 1;
    } else {
      const length = Number(bytes.readBigUInt64LE(end + 1));
      fields[bytes.toString('utf8', at, end)] = bytes.toString('latin1', end + 9, end + 9 + length);
      at = end + 9 + length + 1;
    }
  }
  return fields;
}
