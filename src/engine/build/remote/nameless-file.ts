/** A file without a name, for what is fetched before anybody knows how long it is. */
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { HuskError } from '../../../errors.ts';
import type { Paths } from '../../../paths.ts';
import { tmpPath } from '../../../state/tmp-folder.ts';

/** bytes that are read at once */
const PIECE = 1 << 20;

/** A file in tmp/ that goes with its descriptor. */
export class NamelessFile implements Disposable {
  readonly #fd: number;

  constructor(paths: Pick<Paths, 'tmp'>) {
    const path = tmpPath(paths, 'half-layer');
    this.#fd = openSync(path, 'wx+', 0o600);
    rmSync(path);
  }

  write(bytes: Buffer): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }

  *pieces(size: number): Generator<Buffer, void, void> {
    for (let at = 0; at < size;) {
      const buffer = Buffer.allocUnsafe(Math.min(PIECE, size - at));
      const read = readSync(this.#fd, buffer, 0, buffer.length, at);
      if (read === 0) throw new HuskError('a fetched file has become shorter', { kind: 'internal' });
      at += read;
      yield buffer.subarray(0, read);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
