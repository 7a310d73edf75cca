/**
 * The engine's side of a supervisor's socket: one request and its answer, or a process's stdio as streams.
 * Back-pressure goes through: what the reader of `stdout` does not take is not read from the socket. Never touches
 * records.
 */
import { closeSync, writeSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { dirname } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { EXIT_HUSK_FAILED, HuskError, TemplateFailed } from '../errors.ts';
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
  /** closes the connection, leaves the process running, with its stdin open; `exited` then never resolves */
  detach(): void;
}

/** The connection ended before the supervisor answered. What a supervisor answers is a HuskError of its own kind. */
export class SupervisorGone extends HuskError {
  constructor() {
    super('the supervisor went away without an answer', { kind: 'unavailable', exitCode: EXIT_HUSK_FAILED });
  }
}

export class SupervisorClient implements Disposable {
  /** a connection of which only the number is known as yet */
  #number: number | undefined;
  #opened: Socket | undefined;
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
  /** outputs that are full */
  readonly #full = new Set<Readable>();
  #detached = false;
  #closed = false;

  /** @param connection a blocking socket's number becomes a stream when there is something to wait for */
  constructor(connection: Socket | number) {
    if (typeof connection === 'number') this.#number = connection;
    else this.#use(connection);
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

  /** A supervisor that waits for its task loads what containers on networks need. */
  prepareNetworks(): void {
    this.#send({ type: 'prepare-networks' });
  }

  /** @throws HuskError as the supervisor answered, or `unavailable` when it went away instead */
  request(request: Request): Promise<Event> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new SupervisorGone());
      this.#waiting = {
        resolve: (event) => (event.type === 'error' ? reject(errorOf(event)) : resolve(event)),
        reject,
      };
      this.#send(request);
      void this.#socket;
    });
  }

  /** Sends a request whose success turns the connection into a process's stdio. */
  async open(
    request: Extract<Request, { type: 'start' | 'attach' | 'exec' }>,
    options: { stdin: boolean },
  ): Promise<{ event: Event; streams: ProcessStreams }> {
    const answer = this.request(request);
    // made in the turn in which the request is sent: output may follow the answer in the same read
    const streams = this.#stream(options.stdin);
    try {
      return { event: await answer, streams };
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
    if (this.#number !== undefined) closeSync(this.#number);
    this.#number = undefined;
    this.#closed ||= this.#opened === undefined;
    this.#opened?.destroy();
  }

  get #socket(): Socket {
    if (this.#opened) return this.#opened;
    const fd = this.#number!;
    this.#number = undefined;
    return this.#use(new Socket({ fd }));
  }

  #use(socket: Socket): Socket {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    socket.once('close', () => this.#close());
    return (this.#opened = socket);
  }

  /**
   * What a supervisor that was started beside this command is told, it is told before Node's streams are made, which
   * takes as long as a tenth of Node's own start: the supervisor works meanwhile.
   */
  #send(request: Request): void {
    const message = encodeMessage(request);
    if (this.#number === undefined) return void this.#socket.write(message);
    try {
      for (let sent = 0; sent < message.length;) sent += writeSync(this.#number, message, sent);
    } catch {
      // it has gone, and the end of the stream says so
    }
  }

  #stream(stdin: boolean): ProcessStreams {
    const socket = this.#socket;
    const [stdout, stderr] = [this.#newOutput(), this.#newOutput()];
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
      detach: () => this.#detach(),
    };
  }

  /** What is read from neither output is not read from the socket: one that is full holds the other back. */
  #newOutput(): Readable {
    const free = () => {
      this.#full.delete(output);
      if (this.#full.size === 0) this.#socket.resume();
    };
    const output = new Readable({ read: free });
    output.once('close', free);
    return output;
  }

  /** The supervisor is told before the connection ends, whose end alone would be that of the process's stdin. */
  #detach(): void {
    if (this.#detached) return;
    this.#detached = true;
    this.#streams?.stdout.push(null);
    this.#streams?.stderr.push(null);
    this.#streams = undefined;
    const socket = this.#socket;
    // input that the process does not take holds up what would be said behind it
    if (socket.destroyed || socket.writableLength > 0) return void socket.destroy();
    socket.unref();
    socket.resume();
    socket.write(encodeMessage({ type: 'detach' }));
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
    if (!stream || stream.destroyed || stream.push(bytes)) return;
    this.#full.add(stream);
    this.#socket.pause();
  }

  #message(event: Event): void {
    if (this.#waiting) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      return waiting.resolve(event);
    }
    if (event.type === 'exit') {
      // after files comes the next request
      const isLast = this.#streams !== undefined && this.#streams.failing !== true;
      this.#end({ code: event.code, signal: event.signal, oomKilled: event.oomKilled, error: event.error });
      // the supervisor's own end comes only when it has deleted the container's files
      if (isLast) this.#socket.destroy();
      return;
    }
    // of a supervisor that was started before there was `detach`
    if (event.type === 'error' && this.#detached) return void this.#socket.destroy();
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
    this.#waiting?.reject(new SupervisorGone());
    this.#waiting = undefined;
    if (this.#detached) {
      this.#streams?.stdout.push(null);
      this.#streams?.stderr.push(null);
      return;
    }
    // Docker gives 137 too when the one that waited for the container is killed
    this.#end({ code: 128 + 9, error: 'the supervisor was killed' }, new SupervisorGone());
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
  if (event.ofTemplate === true) return new TemplateFailed(event.message);
  return new HuskError(event.message, { kind: event.kind, exitCode: event.exitCode, fix: event.fix });
}
