/**
 * A file that node:fs has opened, closed at the end of its block. Descriptors that system calls of husk's own have
 * opened are src/host/fd.ts's: Node keeps books of its own ones in a worker thread, and each is closed by who opened
 * it.
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
