/**
 * One connection to a supervisor: decodes requests, answers them in order, and after `attach`, `start` with attach or
 * `exec` carries that process's stdio until it exits or the client goes. A client that breaks the protocol loses its
 * connection and harms nobody else. Decides nothing about the container itself: that is src/supervisor/life/.
 */
import type { Socket } from 'node:net';
import { HuskError } from '../../errors.ts';
import { startTimer, within } from '../../long-timer.ts';
import type { FilesRequest, SandboxProcess } from '../../sandbox.ts';
import { ClientConnection } from './client-connection.ts';
import { FilesAnswer } from './client-files.ts';
import { ClientStdio, writeHeldBack } from './client-stdio.ts';
import type { ContainerControl } from '../life/control.ts';
import { FanOut } from '../life/fan-out.ts';
import { decodeMessage, FrameDecoder } from '../protocol/frames.ts';
import { FRAME_JSON, FRAME_STDIN, type AttachRequest, type Request } from '../protocol/protocol.ts';
import { answer } from './requests.ts';

/**
 * After an exec's process has exited, its output is over when nothing came for so long: children may hold the pipes.
 */
const EXEC_QUIET_MS = 200;
/**
 * What it wrote may be read so long before others are told of its end; Docker's (moby daemon/monitor.go) is the same.
 */
const EXEC_DRAIN_MS = 2000;

/**
 * Takes as long whatever differs. Not crypto.timingSafeEqual: node:crypto is 8 ms of CPU, and 0.8 MB of each supervisor
 * for as long as its container lives.
 */
function isSameSecret(said: Buffer, wanted: Buffer): boolean {
  if (said.length !== wanted.length) return false;
  let difference = 0;
  for (let at = 0; at < wanted.length; at++) difference |= said[at]! ^ wanted[at]!;
  return difference === 0;
}

export class Conversation {
  readonly #socket: Socket;
  readonly #connection: ClientConnection;
  readonly #stdio: ClientStdio;
  readonly #control: ContainerControl;
  /** the connection belongs to one process's stdio now, or to an answer about files */
  #streaming = false;
  /** of the process whose stdio this is */
  #ofTerminal = false;
  /** counted among the users of open files */
  #joined = false;
  /** the last answer about files */
  #files: FilesAnswer | undefined;
  /** resolves when it has been sent */
  #answered: Promise<void> | undefined;
  /** resolves when the client has been told */
  #execEnded: Promise<void> | undefined;
  /** what the client has still to say */
  #key: string | undefined;

  /**
   * @param options.key without it nothing is answered; absent: the connection was made by whoever started this process
   */
  constructor(socket: Socket, control: ContainerControl, { key }: { key?: string } = {}) {
    this.#socket = socket;
    this.#connection = new ClientConnection(socket);
    this.#stdio = new ClientStdio(this.#connection);
    this.#control = control;
    this.#key = key;
    this.#connection.onceClosed(() => this.#gone());
  }

  /** Resolves when the client is gone. */
  async run(): Promise<void> {
    const decoder = new FrameDecoder();
    try {
      // frames are handled one after another: a full stdin holds the client back, not this process's memory
      for await (const chunk of this.#socket)
        for (const frame of decoder.push(chunk as Buffer)) await this.#frame(frame.kind, frame.payload);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined || error instanceof HuskError)
        this.#connection.fail(error);
    }
    this.#connection.destroy();
  }

  /**
   * Sends what is left and closes; a client that does not read, and did not start the container or an exec, is cut off
   * after a while.
   */
  async finish(): Promise<void> {
    await this.#answered;
    const closed = new Promise<void>((resolve) => {
      if (this.#connection.isClosed) resolve();
      else this.#connection.onceClosed(resolve);
    });
    // how an exec has ended is told behind all that it wrote
    await Promise.race([this.#execEnded, closed]);
    const { stallTimeout } = this.#stdio;
    if (stallTimeout !== undefined) startTimer(stallTimeout, () => this.#connection.destroy(), { unref: true });
    this.#connection.end();
    return closed;
  }

  /** @throws HuskError: the connection ends */
  #unlock(key: string, kind: number, payload: Buffer): void {
    const request = kind === FRAME_JSON ? decodeMessage<Request>(payload) : undefined;
    const said = Buffer.from(request?.type === 'hello' ? String(request.key) : '');
    const wanted = Buffer.from(key);
    if (!isSameSecret(said, wanted)) {
      const refused = new HuskError("this client does not know the supervisor's key", { kind: 'unauthorized' });
      // here and not by run(): leaving its loop closes the connection first
      this.#connection.fail(refused);
      throw refused;
    }
    this.#key = undefined;
  }

  async #frame(kind: number, payload: Buffer): Promise<void> {
    if (this.#key !== undefined) return this.#unlock(this.#key, kind, payload);
    if (kind === FRAME_STDIN) return writeHeldBack(this.#files?.input ?? this.#stdio.stdin, payload, this.#connection);
    if (kind !== FRAME_JSON) throw new HuskError('only stdin and messages come from a client', { kind: 'corrupt' });
    const request = decodeMessage<Request>(payload);
    try {
      await this.#request(request);
    } catch (error) {
      this.#connection.fail(error);
    }
  }

  async #request(request: Request): Promise<void> {
    switch (request.type) {
      case 'hello':
        // known already: the connection is its starter's
        return;
      case 'prepare-networks':
        // the task comes next, and whoever needs them meets a failure again
        void import('../life/networks.ts').catch(() => {});
        return;
      case 'start':
        return this.#start(request);
      case 'attach':
        return this.#attach(request);
      case 'exec':
        return this.#exec(request);
      case 'files':
        return this.#sendFiles(request.request);
      case 'join-files':
        return this.#joinFiles();
      case 'stdin-end':
        if (this.#files?.input) return void this.#files.input.end();
        return this.#stdio.endStdin();
      case 'detach':
        return this.#detach();
      default:
        return this.#connection.send(await answer(this.#control, request));
    }
  }

  async #start(request: Extract<Request, { type: 'start' }>): Promise<void> {
    const control = this.#control;
    this.#onlyOnce();
    // the client that starts a container may hold it, as a pipe would
    this.#stdio.mayHold();
    const size = { columns: request.attach?.columns ?? request.columns, rows: request.attach?.rows ?? request.rows };
    try {
      const { pid, begin, warnings = [] } = await control.start(request.task, size);
      try {
        this.#connection.send({ type: 'started', pid, ...(warnings.length > 0 && { warnings: [...warnings] }) });
        if (request.attach) this.#attachTo(running(control), request.attach);
      } finally {
        // whatever becomes of this client, the container's output is read and its exit recorded
        begin();
      }
    } catch (error) {
      this.#connection.fail(error);
      control.abandon();
    }
  }

  #attach(request: AttachRequest): void {
    this.#onlyOnce();
    const process = running(this.#control);
    this.#connection.send({ type: 'ok' });
    this.#attachTo(process, request);
  }

  /** Connects this client to the container's stdio; the exit follows by itself. */
  #attachTo(process: SandboxProcess, request: AttachRequest): void {
    const control = this.#control;
    this.#ofTerminal = control.terminal;
    this.#stdio.want(request);
    // the stdin of a terminal is never ended: whoever has it next could type nothing
    if (request.stdin) this.#stdio.writeTo(process, { endsWithClient: control.stdinOnce && !control.terminal });
    control.output.add(this.#stdio);
    if (request.awaited) control.arrived(request.awaited);
    void control.exit().then((status) => {
      this.#connection.send({ type: 'exit', ...status });
      this.#connection.end();
    });
    if (control.terminal && request.columns && request.rows) process.resize(request.columns, request.rows);
    this.#unlessGone();
  }

  async #exec(request: Extract<Request, { type: 'exec' }>): Promise<void> {
    this.#onlyOnce();
    const control = this.#control;
    const { stdin, terminal, columns, rows } = request;
    const process = await control.execs.start(request.id, request.process, { stdin, terminal, columns, rows });
    const output = new FanOut();
    this.#ofTerminal = terminal;
    if (!request.detach) {
      // a client that does not read may hold up its own exec, as the reader of a pipe would
      this.#stdio.mayHold();
      this.#stdio.want(request.attach ?? { stdout: true, stderr: true });
      if (!this.#connection.isClosed) output.add(this.#stdio);
      this.#connection.onceClosed(() => output.delete(this.#stdio));
      if (stdin) this.#stdio.writeTo(process, { endsWithClient: true });
    }
    process.stdin?.on('error', () => {});
    this.#unlessGone();
    this.#connection.send({ type: 'started', pid: process.pid });
    output.addSource(process.stdout, 'stdout');
    if (process.stderr) output.addSource(process.stderr, 'stderr');
    this.#execEnded = process.exited.then(async (status) => {
      const drained = output.drained(EXEC_QUIET_MS);
      // its row says that it has ended before its client hears of it, who may ask another process then; but a client
      // that does not read keeps nobody else from knowing
      await within(drained, EXEC_DRAIN_MS);
      control.execs.end(request.id, status);
      await drained;
      process.stdout.destroy();
      process.stderr?.destroy();
      control.settled();
      if (request.detach) return;
      this.#connection.send({ type: 'exit', ...status });
      this.#connection.end();
    });
  }

  /** Answers while more frames are read: the input of the request comes in them. Then the connection is free again. */
  #sendFiles(request: FilesRequest): void {
    this.#onlyOnce();
    const files = new FilesAnswer(this.#control, request);
    this.#files = files;
    this.#connection.send({ type: 'ok' });
    this.#answered = files.send(this.#connection).then((end) => {
      this.#streaming = false;
      this.#connection.send(end);
    });
  }

  #joinFiles(): void {
    if (this.#joined) throw new HuskError('this connection has joined already', { kind: 'corrupt' });
    this.#control.joinFiles();
    // a client that has gone meanwhile is not heard of again
    if (this.#connection.isClosed) return this.#control.leaveFiles();
    this.#joined = true;
    this.#connection.send({ type: 'ok' });
  }

  #detach(): void {
    this.#stdio.leaveStdin();
    this.#control.output.delete(this.#stdio);
    this.#connection.end();
  }

  #onlyOnce(): void {
    if (this.#streaming) throw new HuskError('this connection already carries a process', { kind: 'corrupt' });
    this.#streaming = true;
  }

  /**
   * Says once more that a client is gone which went while its process was being started, when there was nothing to
   * leave.
   */
  #unlessGone(): void {
    if (this.#connection.isClosed) this.#gone();
  }

  #gone(): void {
    if (this.#joined) this.#control.leaveFiles();
    this.#joined = false;
    this.#control.output.delete(this.#stdio);
    // a client of a terminal may have detached: the shell in it must not see end-of-file (docker attach)
    if (!this.#ofTerminal) this.#stdio.endStdin();
  }
}

function running(control: ContainerControl): SandboxProcess {
  if (!control.process) throw new HuskError('the container is not running', { kind: 'conflict' });
  return control.process;
}
