/** A command in a container as a program sees it: its streams, its end, and its whole output. */
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants } from 'node:os';
import type { Attachment } from '../engine/contract.ts';
import { HuskError } from '../errors.ts';

export interface Exit {
  /** the command's exit code, or 128 + the number of the signal that ended it */
  exitCode: number;
  /** number of the signal that ended the command */
  signal?: number;
  /** whether the kernel ended the command because memory ran out */
  oomKilled: boolean;
}

export type Encoding = 'utf8' | 'buffer';

export interface Output<E extends Encoding = 'utf8'> extends Exit {
  stdout: E extends 'buffer' ? Buffer : string;
  stderr: E extends 'buffer' ? Buffer : string;
}

export interface CollectOptions<E extends Encoding = 'utf8'> {
  input?: string | Uint8Array | AsyncIterable<Uint8Array>;
  encoding?: E;
  maxOutput?: number;
  signal?: AbortSignal;
}

/** limit of bytes of both outputs, when the caller sets none */
const MAX_OUTPUT = 64 * 2 ** 20;

/**
 * A running command. Its `stdout` and `stderr` must be read, by the caller or by `output()`: else the command waits
 * when the pipe is full.
 */
export class Process {
  /** null where stdin was not asked for */
  readonly stdin: Writable | null;
  /** both outputs, where the command has a terminal */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /**
   * Resolves after the command's last output.
   * @throws HuskError `internal` when the container itself failed: its machine or its supervisor
   */
  readonly exited: Promise<Exit>;
  readonly #attachment: Attachment;
  /** Removes the listener from the signal, which may live as long as the program and serve many processes. */
  readonly #forgetSignal: () => void;

  /** @param signal kills the command when it aborts, or only detaches from it */
  constructor(attachment: Attachment, signal?: AbortSignal, onAbort: 'kill' | 'detach' = 'kill') {
    this.#attachment = attachment;
    this.stdin = attachment.stdin;
    this.stdout = attachment.stdout;
    this.stderr = attachment.stderr;
    this.exited = attachment.exited.then(({ code, signal: number, oomKilled, error }) => {
      if (error !== undefined) throw new HuskError(error, { kind: 'internal', exitCode: code });
      return { exitCode: code, ...(number !== undefined && { signal: number }), oomKilled: oomKilled === true };
    });
    this.exited.catch(() => {}).finally(() => this.#forgetSignal());
    // EPIPE: the command has closed its stdin, or has ended, which `exited` reports.
    this.stdin?.on('error', () => {});
    const aborted = () => (onAbort === 'kill' ? this.kill('SIGKILL') : this.detach());
    this.#forgetSignal = () => signal?.removeEventListener('abort', aborted);
    if (signal?.aborted) aborted();
    else signal?.addEventListener('abort', aborted, { once: true });
  }

  /** @param signal a name or number. @default 'SIGTERM' */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): void {
    const number =
      typeof signal === 'number'
        ? signal
        : Object.hasOwn(constants.signals, signal)
          ? constants.signals[signal]
          : undefined;
    if (number === undefined) throw new TypeError(`unknown signal: ${signal}`);
    this.#attachment.signal(number);
  }

  /** Resizes the command's terminal; in characters. */
  resize(columns: number, rows: number): void {
    this.#attachment.resize(columns, rows);
  }

  /** Detaches from the command, which continues: the streams end, and `exited` never resolves. */
  detach(): void {
    this.#forgetSignal();
    this.#attachment.detach();
  }

  /**
   * Collects everything that the command writes, to its end.
   * @throws HuskError `limit` when that is more than `maxOutput` bytes; the reason of `signal` once it aborts, which
   * kills the command
   */
  output<E extends Encoding = 'utf8'>(options: CollectOptions<E> = {}): Promise<Output<E>> {
    return collect(this, options);
  }
}

/** Feeds a process, reads both of its outputs, and waits for its end. */
export async function collect<E extends Encoding = 'utf8'>(
  running: Process,
  { input, encoding, maxOutput = MAX_OUTPUT, signal }: CollectOptions<E>,
): Promise<Output<E>> {
  const feeding = feed(running, input);
  // The race below reports a failure; one that comes after it must not count as unhandled.
  feeding.catch(() => {});
  let total = 0;
  const take = async (stream: Readable): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > maxOutput)
        throw new HuskError(`the command wrote more than ${maxOutput} bytes`, {
          kind: 'limit',
          fix: 'raise maxOutput, or read its streams',
        });
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  };
  const kill = () => running.kill('SIGKILL');
  if (signal?.aborted) kill();
  signal?.addEventListener('abort', kill, { once: true });
  try {
    // When an input fails, the command waits for the rest of it: the command is killed, and the call throws the input's
    // error.
    const [stdout, stderr, exit] = await Promise.all([
      take(running.stdout),
      take(running.stderr),
      running.exited,
      feeding,
    ]);
    signal?.throwIfAborted();
    const text = (bytes: Buffer) => (encoding === 'buffer' ? bytes : bytes.toString('utf8')) as Output<E>['stdout'];
    return { ...exit, stdout: text(stdout), stderr: text(stderr) };
  } catch (error) {
    kill();
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

/** Feeds a command's stdin. Input that the command does not read is no error: `head` ends before its input does. */
async function feed({ stdin }: Process, input: CollectOptions['input']): Promise<void> {
  if (!stdin) return;
  if (input === undefined || typeof input === 'string' || input instanceof Uint8Array) return void stdin.end(input);
  try {
    await pipeline(input, stdin);
  } catch (error) {
    if (
      (error as NodeJS.ErrnoException).code !== 'EPIPE' &&
      (error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE' &&
      (error as NodeJS.ErrnoException).code !== 'ERR_STREAM_DESTROYED'
    )
      throw error;
  }
}
