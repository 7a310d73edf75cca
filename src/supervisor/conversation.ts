/**
 * One connection to a supervisor: decodes requests, answers them in order, and after `attach`, `start` with attach or `exec`
 * carries that process's stdio until it exits or the client goes. A client that breaks the protocol loses its connection and
 * harms nobody else. Decides nothing about the container itself: that is container-life.ts.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { PassThrough, type Readable } from 'node:stream';
import type { Resources } from '../container/spec.ts';
import { HuskError, refusal } from '../errors.ts';
import type { ExitStatus, FilesRequest, Sandbox, SandboxProcess } from '../sandbox.ts';
import { FanOut, STALL_TIMEOUT_MS, type Listener } from './fan-out.ts';
import { decodeMessage, encodeMessage, encodeStream, FrameDecoder } from './frames.ts';
import {
  FRAME_JSON,
  FRAME_STDERR,
  FRAME_STDIN,
  FRAME_STDOUT,
  type AttachRequest,
  type Event,
  type Request,
  type RestartPolicy,
  type Task,
} from './protocol.ts';

/** What a conversation may ask of the container it is about. */
export interface ContainerControl {
  /** the running container's first process; undefined before the start and after the exit */
  readonly process: SandboxProcess | undefined;
  readonly output: FanOut;
  readonly terminal: boolean;
  readonly stdinOnce: boolean;
  /** of the life that runs now; @throws when there is none */
  sandbox(): Sandbox;
  /** @returns once the command runs; its output is held until `begin` */
  start(task: Task, size: { columns?: number; rows?: number }): Promise<{ pid: number; begin(): void }>;
  /** as `start`, for the files of a container that does not run */
  open(task: Task): Promise<void>;
  files(request: FilesRequest, input?: Readable): Readable;
  /** one more user of the files that are open. @throws HuskError `conflict` when they are being closed */
  joinFiles(): void;
  leaveFiles(): void;
  /** somebody wants the container itself */
  releaseFiles(): void;
  /** the start failed and its client knows: nothing is left to supervise */
  abandon(): void;
  stop(options: { timeout?: number; signal?: number }): Promise<void>;
  signal(signal: number, byUser: boolean): Promise<void>;
  pause(): Promise<void>;
  unpause(): Promise<void>;
  update(change: { resources?: Resources; restart?: RestartPolicy }): Promise<void>;
  /** the next exit of the container, after it is recorded */
  exit(): Promise<ExitStatus>;
  /** an event of the container, for `events` */
  record(action: string, attributes?: Record<string, string>): void;
  /** something is over: what it took of memory may be given back */
  settled(): void;
  /** exec sessions by id */
  readonly execs: Map<string, SandboxProcess>;
}

/** After an exec's process has exited, its output is over when nothing came for so long: children may hold the pipes. */
const EXEC_QUIET_MS = 200;

export class Conversation implements Listener {
  stallTimeout: number | undefined = STALL_TIMEOUT_MS;
  readonly #socket: Socket;
  readonly #control: ContainerControl;
  #wanted = { stdout: true, stderr: true };
  #stdin: { process: SandboxProcess; endsWithClient: boolean } | undefined;
  /** the connection belongs to one process's stdio now */
  #streaming = false;
  /** counted among the users of open files */
  #joined = false;
  /** a `files` request is being answered */
  #answering: Promise<void> | undefined;
  /** its input */
  #input: PassThrough | undefined;
  /** what the client has still to say */
  #key: string | undefined;

  /** @param key without it nothing is answered; absent: the connection was made by whoever started this process */
  constructor(socket: Socket, control: ContainerControl, key?: string) {
    this.#socket = socket;
    this.#control = control;
    this.#key = key;
    socket.on('error', () => {});
    socket.once('close', () => this.#gone());
  }

  /** Resolves when the client is gone. */
  async run(): Promise<void> {
    const decoder = new FrameDecoder();
    try {
      // frames are handled one after another: a full stdin holds the client back, not this process's memory
      for await (const chunk of this.#socket)
        for (const frame of decoder.push(chunk as Buffer)) await this.#frame(frame.kind, frame.payload);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined || error instanceof HuskError) this.fail(error);
    }
    this.#socket.destroy();
  }

  send(event: Event): void {
    if (!this.#socket.destroyed) this.#socket.write(encodeMessage(event));
  }

  fail(error: unknown): void {
    this.send(errorEvent(error));
  }

  /** Sends what is left and closes; a client that does not read, and did not start the container, is cut off after a while. */
  async finish(): Promise<void> {
    await this.#answering;
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      this.#socket.once('close', () => resolve());
      if (this.stallTimeout !== undefined) setTimeout(() => this.#socket.destroy(), this.stallTimeout).unref();
      this.#socket.end();
    });
  }

  output(stream: 'stdout' | 'stderr', chunk: Buffer): number {
    if (!this.#wanted[stream] || this.#socket.destroyed) return 0;
    for (const frame of encodeStream(stream === 'stdout' ? FRAME_STDOUT : FRAME_STDERR, chunk))
      this.#socket.write(frame);
    return this.#socket.writableLength;
  }

  onceDrained(callback: () => void): void {
    const done = () => {
      this.#socket.off('drain', done);
      this.#socket.off('close', done);
      callback();
    };
    this.#socket.once('drain', done);
    this.#socket.once('close', done);
  }

  drop(message: string): void {
    this.fail(new HuskError(message, { kind: 'limit' }));
    // its buffer is full: it will not read the message's end; the connection closes when it does, or with the container
    this.#socket.end();
  }

  /** Connects this client to the container's stdio; the exit follows by itself. */
  attachTo(process: SandboxProcess, request: AttachRequest): void {
    this.#wanted = { stdout: request.stdout, stderr: request.stderr };
    if (request.stdin) this.#stdin = { process, endsWithClient: this.#control.stdinOnce };
    this.#control.output.add(this);
    void this.#control.exit().then((status) => {
      this.send({ type: 'exit', ...status });
      this.#socket.end();
    });
    if (this.#control.terminal && request.columns && request.rows) process.resize(request.columns, request.rows);
    this.#unlessGone();
  }

  /** A client that went while its process was being started has been taken leave of before there was anything to take from it. */
  #unlessGone(): void {
    if (this.#socket.destroyed) this.#gone();
  }

  /** @throws HuskError: the connection ends */
  #unlock(key: string, kind: number, payload: Buffer): void {
    const request = kind === FRAME_JSON ? decodeMessage<Request>(payload) : undefined;
    const said = Buffer.from(request?.type === 'hello' ? String(request.key) : '');
    const wanted = Buffer.from(key);
    if (said.length !== wanted.length || !timingSafeEqual(said, wanted)) {
      const refused = new HuskError("this client does not know the supervisor's key", { kind: 'unauthorized' });
      // here and not by run(): leaving its loop closes the connection first
      this.fail(refused);
      throw refused;
    }
    this.#key = undefined;
  }

  async #frame(kind: number, payload: Buffer): Promise<void> {
    if (this.#key !== undefined) return this.#unlock(this.#key, kind, payload);
    if (kind === FRAME_STDIN) return this.#writeStdin(payload);
    if (kind !== FRAME_JSON) throw new HuskError('only stdin and messages come from a client', { kind: 'corrupt' });
    const request = decodeMessage<Request>(payload);
    try {
      await this.#request(request);
    } catch (error) {
      this.fail(error);
    }
  }

  async #request(request: Request): Promise<void> {
    const control = this.#control;
    switch (request.type) {
      case 'hello':
        // known already: the connection is its starter's
        return;
      case 'start':
        return this.#start(request);
      case 'attach': {
        this.#onlyOnce();
        const process = running(control);
        this.send({ type: 'ok' });
        this.attachTo(process, request);
        return;
      }
      case 'exec':
        this.#onlyOnce();
        return this.#exec(request);
      case 'open':
        await control.open(request.task);
        return this.send({ type: 'ok' });
      case 'join-files':
        if (this.#joined) throw new HuskError('this connection has joined already', { kind: 'corrupt' });
        control.joinFiles();
        // a client that has gone meanwhile is not heard of again
        if (this.#socket.destroyed) return control.leaveFiles();
        this.#joined = true;
        return this.send({ type: 'ok' });
      case 'release-files':
        control.releaseFiles();
        return this.send({ type: 'ok' });
      case 'files':
        return this.#files(request.request);
      case 'stdin-end':
        if (this.#input) return void this.#input.end();
        return this.#endStdin();
      case 'resize':
        (request.exec === undefined ? control.process : control.execs.get(request.exec))?.resize(
          bounded(request.columns),
          bounded(request.rows),
        );
        if (request.exec === undefined)
          control.record('resize', { height: String(bounded(request.rows)), width: String(bounded(request.columns)) });
        return this.send({ type: 'ok' });
      case 'signal':
        if (request.exec === undefined) await control.signal(request.signal, request.byUser === true);
        else control.execs.get(request.exec)?.signal(request.signal);
        return this.send({ type: 'ok' });
      case 'stop':
        await control.stop(request);
        return this.send({ type: 'ok' });
      case 'wait':
        return this.send({ type: 'exit', ...(await control.exit()) });
      case 'pause':
        await control.pause();
        return this.send({ type: 'ok' });
      case 'unpause':
        await control.unpause();
        return this.send({ type: 'ok' });
      case 'stats':
        return this.send({ type: 'ok', value: await control.sandbox().stats() });
      case 'processes':
        return this.send({ type: 'ok', value: await control.sandbox().processes() });
      case 'ps':
        return this.send({ type: 'ok', value: await control.sandbox().ps(request.options) });
      case 'update':
        await control.update(request);
        return this.send({ type: 'ok' });
      default:
        throw new HuskError(`unknown request "${(request as { type: string }).type}"`, { kind: 'corrupt' });
    }
  }

  async #start(request: Extract<Request, { type: 'start' }>): Promise<void> {
    const control = this.#control;
    this.#onlyOnce();
    // the client that starts a container may hold it, as a pipe would
    this.stallTimeout = undefined;
    const size = { columns: request.attach?.columns ?? request.columns, rows: request.attach?.rows ?? request.rows };
    try {
      const { pid, begin } = await control.start(request.task, size);
      this.send({ type: 'started', pid });
      if (request.attach) this.attachTo(running(control), request.attach);
      begin();
    } catch (error) {
      this.fail(error);
      control.abandon();
    }
  }

  async #exec(request: Extract<Request, { type: 'exec' }>): Promise<void> {
    const process = await this.#control.sandbox().exec(request.process, {
      stdin: request.stdin,
      terminal: request.terminal,
      columns: request.columns,
      rows: request.rows,
    });
    const output = new FanOut();
    this.#control.execs.set(request.id, process);
    if (!request.detach) {
      // its own client may hold an exec, as a pipe would
      this.stallTimeout = undefined;
      if (!this.#socket.destroyed) output.add(this);
      this.#socket.once('close', () => output.delete(this));
      if (request.stdin) this.#stdin = { process, endsWithClient: true };
    }
    process.stdin?.on('error', () => {});
    this.#unlessGone();
    this.#control.record(`exec_start: ${request.process.args.join(' ')}`, { execID: request.id });
    this.send({ type: 'started', pid: process.pid });
    output.addSource(process.stdout, 'stdout');
    if (process.stderr) output.addSource(process.stderr, 'stderr');
    void process.exited.then(async (status) => {
      await output.drained(EXEC_QUIET_MS);
      process.stdout.destroy();
      process.stderr?.destroy();
      this.#control.execs.delete(request.id);
      this.#control.record('exec_die', { execID: request.id, exitCode: String(status.code) });
      this.#control.settled();
      if (request.detach) return;
      this.send({ type: 'exit', ...status });
      this.#socket.end();
    });
  }

  #files(request: FilesRequest): void {
    this.#onlyOnce();
    const input = request.op === 'extract' ? new PassThrough() : undefined;
    // its failure is the answer's
    input?.on('error', () => {});
    const output = this.#control.files(request, input);
    this.#input = input;
    this.send({ type: 'ok' });
    const cut = () => {
      output.destroy();
      input?.destroy(new HuskError('the client went away', { kind: 'unavailable' }));
    };
    this.#socket.once('close', cut);
    if (this.#socket.destroyed) cut();
    this.#answering = this.#answer(output).finally(() => {
      this.#socket.off('close', cut);
      input?.destroy();
      this.#answering = undefined;
    });
  }

  /** The answer at the client's pace; then the connection is free again. */
  async #answer(output: Readable): Promise<void> {
    let end: Event = { type: 'exit', code: 0 };
    try {
      for await (const chunk of output) {
        let ready = true;
        for (const frame of encodeStream(FRAME_STDOUT, chunk as Buffer)) ready = this.#socket.write(frame);
        if (!ready && !this.#socket.destroyed) await new Promise<void>((resolve) => this.onceDrained(resolve));
      }
    } catch (error) {
      end = errorEvent(error);
    }
    this.#streaming = false;
    this.send(end);
  }

  async #writeStdin(payload: Buffer): Promise<void> {
    const stdin = this.#input ?? this.#stdin?.process.stdin;
    if (!stdin || stdin.destroyed || stdin.writableEnded) return;
    if (stdin.write(payload)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        stdin.off('drain', done);
        stdin.off('close', done);
        this.#socket.off('close', done);
        resolve();
      };
      stdin.once('drain', done);
      stdin.once('close', done);
      this.#socket.once('close', done);
    });
  }

  #endStdin(): void {
    if (this.#stdin?.endsWithClient) this.#stdin.process.stdin?.end();
  }

  #onlyOnce(): void {
    if (this.#streaming) throw new HuskError('this connection already carries a process', { kind: 'corrupt' });
    this.#streaming = true;
  }

  #gone(): void {
    if (this.#joined) this.#control.leaveFiles();
    this.#joined = false;
    this.#control.output.delete(this);
    // with a terminal the client may have detached: the shell behind it must not see end-of-file (docker attach)
    if (!this.#control.terminal) this.#endStdin();
  }
}

function running(control: ContainerControl): SandboxProcess {
  if (!control.process) throw new HuskError('the container is not running', { kind: 'conflict' });
  return control.process;
}

/** terminal sizes are u16 in struct winsize, ioctl_tty(2) */
function bounded(size: number): number {
  return Math.max(0, Math.min(0xffff, Math.trunc(size) || 0));
}

export function errorEvent(error: unknown): Event {
  if (error instanceof HuskError)
    return { type: 'error', message: error.message, kind: error.kind, exitCode: error.exitCode, fix: error.fix };
  const refused = refusal(error);
  if (refused) return { type: 'error', message: refused.message, kind: refused.kind, exitCode: 125 };
  return {
    type: 'error',
    message: `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    kind: 'internal',
    exitCode: 125,
  };
}
