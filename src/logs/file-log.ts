/**
 * The sink of json-file and local: output is cut into pieces, encoded into a batch, and appended once per turn of the
 * event loop, or sooner when there is much of it. A slow disk holds the container back through write(2) itself; nothing
 * ever waits in this sink.
 */
import { nowNanoseconds } from '../state/time.ts';
import { Batch, type LogFormat } from './format.ts';
import { PieceCutter } from './pieces.ts';
import { RotatingFile } from './rotating-file.ts';
import type { LogSink, Stream } from './sink.ts';

export interface FileLogOptions {
  format: LogFormat;
  maxSize: number;
  maxFile: number;
  compress: boolean;
  onTrouble(message: string): void;
}

export class FileLog implements LogSink {
  readonly stallTimeout = undefined;
  readonly #format: LogFormat;
  readonly #file: RotatingFile;
  readonly #batch: Batch;
  readonly #cutters = { stdout: new PieceCutter(), stderr: new PieceCutter() };
  #scheduled = false;

  constructor(path: string, options: FileLogOptions) {
    this.#format = options.format;
    this.#file = new RotatingFile(path, options);
    this.#batch = new Batch({ now: nowNanoseconds, flush: (bytes) => this.#file.append(bytes) });
  }

  output(stream: Stream, chunk: Buffer): number {
    for (const piece of this.#cutters[stream].push(chunk)) this.#format.encode(piece, stream, this.#batch);
    if (!this.#scheduled && this.#batch.length > 0) {
      this.#scheduled = true;
      setImmediate(() => this.#flush());
    }
    return 0;
  }

  onceDrained(callback: () => void): void {
    callback();
  }

  drop(): void {}

  async end(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const)
      for (const piece of this.#cutters[stream].end()) this.#format.encode(piece, stream, this.#batch);
    this.#batch.flush();
    await this.#file.close();
  }

  #flush(): void {
    this.#scheduled = false;
    this.#batch.flush();
  }
}
