/**
 * A file that node:fs has opened, closed at the end of its block. Descriptors that husk's own system calls have opened
 * belong to src/host/fd.ts: in a worker thread Node keeps track of the descriptors that it opened, so each kind is
 * closed by its opener.
 */
import { closeSync, openSync } from 'node:fs';

export class OpenFile implements Disposable {
  readonly fd: number;

  /** @throws the error of open(2) */
  constructor(path: string | Buffer, flags: string | number, mode?: number) {
    this.fd = openSync(path, flags, mode);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
