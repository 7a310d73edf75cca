/**
 * The engine's side of a supervisor's socket: one request and its answer, or a process's stdio as streams.
 * Back-pressure goes through: what the reader of `stdout` does not take is not read from the socket. Never touches
 * records.
 */
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { checkRuntimeFolder, isHeldInPlace, nameSocket } from '../runtime-folder.ts';
import type { ExitStatus, FilesRequest } from '../sandbox.ts';
import type { Access } from './protocol/access.ts';
import { decodeMessage, encodeMessage, encodeStream, FrameDecoder } from './protocol/frames.ts';
import { FRAME_JSON, FRAME_STDERR, FRAME_STDIN, FRAME_STDOUT, type Event, type Request } from './protocol/protocol.ts';

/** A process's stdio over a connection. `exited` resolves after the last output has been handed to the streams. */
export interface ProcessStreams {
  stdin: Writable | null;
  stdout: Readable;
  stderr: Readable;
  readonly exited: Promise<ExitStatus>;
  /** closes the connection, leaves the process running; `exited` then never resolves */
  detach(): void;
}

export class SupervisorClient implements Disposable {
  readonly #socket: Socket;
  readonly #decoder = new FrameDecoder();
  #waiting: { resolve(event: Event): void; reject(error: unknown): void } | undefined;
  #streams:
    | {
        stdout: Readable;
        stderr: Readable;
        exited: PromiseWithResolvers<ExitStatus>;
        /** an error is the stream's, not an exit status */ failing?: boolean;
      }
    | undefined;
  #detached = false;
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    socket.once('close', () => this.#close());
  }

  /**
   * @returns undefined when nobody listens there
   * @throws HuskError when the folder of the socket, or who listens there, is not this user's: what a person types is
   * not told to others
   */
  static async connect({ socket: path, key }: Access): Promise<SupervisorClient | undefined> {
    const folder = dirname(path);
    checkRuntimeFolder(folder);
    const socket = await connected(path);
    if (!socket) return undefined;
    // koffi costs every command its loading (src/host/libc.ts): the kernel is asked where a path alone proves nothing
    if (!isHeldInPlace(folder)) await checkListener(socket, path);
    const client = new SupervisorClient(socket);
    if (key !== undefined) socket.write(encodeMessage({ type: 'hello', key } satisfies Request));
    return client;
  }

  /** @throws HuskError as the supervisor answered, or `unavailable` when it went away instead */
  request(request: Request): Promise<Event> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(gone());
      this.#waiting = {
        resolve: (event) => (event.type === 'error' ? reject(errorOf(event)) : resolve(event)),
        reject,
      };
      this.#socket.write(encodeMessage(request));
    });
  }

  /** Sends a request whose success turns the connection into a process's stdio. */
  async open(
    request: Extract<Request, { type: 'start' | 'attach' | 'exec' }>,
    options: { stdin: boolean },
  ): Promise<{ event: Event; streams: ProcessStreams }> {
    // before the request is sent: output may follow the answer in the same read
    const streams = this.#stream(options.stdin);
    try {
      return { event: await this.request(request), streams };
    } catch (error) {
      this.#streams = undefined;
      throw error;
    }
  }

  /**
   * The bytes of the answer, whose end is success; a failure is the stream's error. After its end the connection takes
   * the next request. An error of either side ends both: the input's is the answer's too, and an answer that failed
   * takes no more input.
   * @param input for `extract`
   */
  files(request: FilesRequest, input?: Readable): Readable {
    const { stdin, stdout } = this.#stream(true);
    const streams = this.#streams!;
    streams.failing = true;
    // whoever reads gets it; one that is dropped has nobody left to tell
    stdout.on('error', () => {});
    // dropped before its end: there is no other way to stop the other side
    stdout.once('close', () => stdout.readableEnded || stdout.errored || this.#socket.destroy());
    if (input) {
      const fail = (error: Error) => {
        stdout.destroy(error);
        this.#socket.destroy();
      };
      if (input.errored) fail(input.errored);
      input.once('error', fail);
      stdout.once('close', () => {
        input.unpipe(stdin!);
        // whoever writes into a pipe must not be cut off because the answer came early
        if (stdout.readableEnded) input.resume();
        else input.destroy();
      });
    }
    this.request({ type: 'files', request }).then(
      () => {
        if (!input || stdout.destroyed) return;
        stdin!.on('error', () => {});
        input.pipe(stdin!);
      },
      (error: unknown) => {
        if (this.#streams === streams) this.#streams = undefined;
        stdout.destroy(error as Error);
      },
    );
    return stdout;
  }

  /** keep the event loop alive, or not */
  unref(): void {
    this.#socket.unref();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #stream(stdin: boolean): ProcessStreams {
    const socket = this.#socket;
    const resume = () => void socket.resume();
    const stdout = new Readable({ read: resume });
    const stderr = new Readable({ read: resume });
    const exited = Promise.withResolvers<ExitStatus>();
    this.#streams = { stdout, stderr, exited };
    const input = new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        if (socket.destroyed) return callback();
        const frames = [...encodeStream(FRAME_STDIN, chunk)];
        frames.forEach((frame, index) =>
          socket.write(frame, index === frames.length - 1 ? () => callback() : undefined),
        );
        if (frames.length === 0) callback();
      },
      final: (callback) => {
        if (!socket.destroyed) socket.write(encodeMessage({ type: 'stdin-end' }));
        callback();
      },
    });
    return {
      stdin: stdin ? input : null,
      stdout,
      stderr,
      exited: exited.promise,
      detach: () => {
        this.#detached = true;
        socket.destroy();
      },
    };
  }

  #data(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (frame.kind === FRAME_JSON) this.#message(decodeMessage<Event>(frame.payload));
        else if (frame.kind === FRAME_STDOUT) this.#output(this.#streams?.stdout, frame.payload);
        else if (frame.kind === FRAME_STDERR) this.#output(this.#streams?.stderr, frame.payload);
      }
    } catch (error) {
      this.#waiting?.reject(error);
      this.#waiting = undefined;
      this.#socket.destroy();
    }
  }

  #output(stream: Readable | undefined, bytes: Buffer): void {
    if (stream && !stream.destroyed && !stream.push(bytes)) this.#socket.pause();
  }

  #message(event: Event): void {
    if (this.#waiting) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      return waiting.resolve(event);
    }
    if (event.type === 'exit')
      return this.#end({ code: event.code, signal: event.signal, oomKilled: event.oomKilled, error: event.error });
    if (event.type === 'error') this.#end({ code: event.exitCode, error: event.message }, errorOf(event));
  }

  #end(status: ExitStatus, error?: HuskError): void {
    if (error && this.#streams?.failing) this.#streams.stdout.destroy(error);
    else this.#streams?.stdout.push(null);
    this.#streams?.stderr.push(null);
    this.#streams?.exited.resolve(status);
    this.#streams = undefined;
  }

  #close(): void {
    this.#closed = true;
    this.#waiting?.reject(gone());
    this.#waiting = undefined;
    if (this.#detached) {
      this.#streams?.stdout.push(null);
      this.#streams?.stderr.push(null);
      return;
    }
    // Docker gives 137 too when the one that waited for the container is killed
    this.#end({ code: 128 + 9, error: 'the supervisor was killed' }, gone());
  }
}

/** @returns undefined when nobody listens */
function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      // ECONNRESET: it stopped listening with this connection in its backlog
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') resolve(undefined);
      else
        reject(
          new HuskError(`cannot connect to the supervisor at ${path}: ${error.message}`, {
            kind: 'unavailable',
            cause: error,
          }),
        );
    };
    try {
      const { used: socket, release } = nameSocket(path, connect);
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        resolve(socket);
      });
      for (const event of ['connect', 'error'] as const) socket.once(event, release);
    } catch (error) {
      failed(error as NodeJS.ErrnoException);
    }
  });
}

async function checkListener(socket: Socket, path: string): Promise<void> {
  const [{ peerCredentials }, { descriptorOf }] = await Promise.all([
    import('../host/streams/socket.ts'),
    import('./conversation/peer.ts'),
  ]);
  const fd = descriptorOf(socket);
  const uid = fd === undefined ? undefined : peerCredentials(fd).uid;
  if (uid === process.geteuid!()) return;
  socket.destroy();
  const who = uid === undefined ? 'nobody any more' : `uid ${uid}`;
  throw new HuskError(`cannot use the supervisor at ${path}: ${who} listens there, not you`, {
    kind: 'unauthorized',
    fix: 'set XDG_RUNTIME_DIR to a folder of your own',
  });
}

function errorOf(event: Extract<Event, { type: 'error' }>): HuskError {
  return new HuskError(event.message, { kind: event.kind, exitCode: event.exitCode, fix: event.fix });
}

function gone(): HuskError {
  return new HuskError('the supervisor went away without an answer', {
    kind: 'unavailable',
    exitCode: EXIT_HUSK_FAILED,
  });
}
