/** A datagram socket at a path, as a host's syslog has one: slow, for it is read only when asked. */
import { rmSync } from 'node:fs';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const recv = libc.func('long recv(int fd, void *buffer, unsigned long length, int flags)');
const close = libc.func('int close(int fd)');
const bind = libc.func('int bind(int fd, const void *address, unsigned int length)');
/** bits/socket.h */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

export class DatagramListener implements Disposable {
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
  take(): string[] {
    const buffer = Buffer.alloc(1 << 16);
    const found: string[] = [];
    for (;;) {
      const length = recv(this.#fd, buffer, buffer.length, MSG_DONTWAIT) as number;
      if (length < 0) return found;
      found.push(buffer.toString('utf8', 0, length));
    }
  }

  [Symbol.dispose](): void {
    close(this.#fd);
    rmSync(this.path, { force: true });
  }
}
