/**
 * A build's end of the connection to the monitor of one of its virtual machines (frames.ts). What the monitor says is
 * a stranger's: shapes are checked, and a tar is bytes that somebody else judges.
 */
import type { Socket } from 'node:net';
import { PassThrough, type Readable } from 'node:stream';
import { HuskError, type ErrorKind } from '../../errors.ts';
import { roomIn } from '../../host/streams/room.ts';
import type { MachineStep } from '../../vmm/build/machine.ts';
import {
  FRAME,
  FrameReader,
  frames,
  MAX_MONITOR_FRAME,
  MAX_REQUEST_FRAME,
  type Frame,
  type MachineExit,
  type MachineRequest,
} from './frames.ts';

/** most characters of a monitor's text that are shown */
const MAX_TEXT = 8192;
/** most lines about what a layer has not */
const MAX_LINES = 64;
const KINDS: readonly ErrorKind[] = [
  'not-found',
  'conflict',
  'invalid',
  'unsupported',
  'corrupt',
  'limit',
  'start-failed',
];

export type OnOutput = (chunk: Buffer, stream: 'stdout' | 'stderr') => void;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onOutput?: OnOutput | undefined;
  tar?: PassThrough | undefined;
}

export class MachineClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #reader = new FrameReader(MAX_MONITOR_FRAME);
  #next = 1;
  #failure: HuskError | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of this.#reader.push(chunk)) this.#take(frame);
      } catch (error) {
        this.#fail(error instanceof HuskError ? error : new HuskError(String(error), { kind: 'corrupt' }));
      }
    });
    socket.on('error', () => {});
    socket.on('close', () =>
      this.#fail(new HuskError('the virtual machine of the build has ended', { kind: 'start-failed' })),
    );
  }

  get isOver(): boolean {
    return this.#failure !== undefined;
  }

  #fail(error: HuskError): void {
    this.#failure ??= error;
    this.#socket.destroy();
    for (const { reject, tar } of this.#waiting.values()) {
      tar?.destroy(this.#failure);
      reject(this.#failure);
    }
    this.#waiting.clear();
  }

  #take({ kind, id, content }: Frame): void {
    if (kind === FRAME.FAILURE && id === 0) return this.#fail(failureOf(parsed(content)));
    const waiting = this.#waiting.get(id);
    // One that nobody waits for any more.
    if (!waiting) return;
    switch (kind) {
      case FRAME.STDOUT:
      case FRAME.STDERR:
        return waiting.onOutput?.(content, kind === FRAME.STDOUT ? 'stdout' : 'stderr');
      case FRAME.DATA:
        if (!waiting.tar)
          throw new HuskError('the virtual machine sent what it was not asked for', { kind: 'corrupt' });
        if (waiting.tar.destroyed || waiting.tar.write(content)) return;
        // Nothing else is on the way while a layer is.
        this.#socket.pause();
        return;
      case FRAME.END:
        waiting.tar?.end();
        return;
      case FRAME.ANSWER:
      case FRAME.FAILURE: {
        const value = parsed(content);
        this.#waiting.delete(id);
        if (kind === FRAME.ANSWER) return waiting.resolve(value);
        const failure = failureOf(value);
        waiting.tar?.destroy(failure);
        return waiting.reject(failure);
      }
      default:
    }
  }

  /** @throws HuskError of the machine, or of its end */
  request(request: MachineRequest, also: Pick<Waiting, 'onOutput' | 'tar'> = {}): Promise<unknown> {
    return this.#ask(request, also).answer;
  }

  #ask(
    request: MachineRequest,
    also: Pick<Waiting, 'onOutput' | 'tar'> = {},
  ): { id: number; answer: Promise<unknown> } {
    if (this.#failure) throw this.#failure;
    const content = Buffer.from(JSON.stringify(request));
    if (content.length > MAX_REQUEST_FRAME)
      throw new HuskError(`a step of ${content.length} bytes is more than a virtual machine is told at once`, {
        kind: 'limit',
        fix: 'shorten its environment, arguments or here-documents',
      });
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject, ...also });
    promise.catch(() => {});
    for (const piece of frames(FRAME.REQUEST, id, content)) this.#socket.write(piece);
    return { id, answer: promise };
  }

  /** Sends a layer, a tar without whiteouts. */
  async layer(number: number, tar: AsyncIterable<Uint8Array>): Promise<void> {
    const { id, answer } = this.#ask({ type: 'layer', number });
    for await (const chunk of tar) {
      // The machine has refused it, or has ended: the answer says why.
      if (!this.#waiting.has(id)) break;
      for (const piece of frames(FRAME.DATA, id, chunk)) this.#socket.write(piece);
      await roomIn(this.#socket);
    }
    if (this.#waiting.has(id)) for (const piece of frames(FRAME.END, id, new Uint8Array())) this.#socket.write(piece);
    await answer;
  }

  /** @throws HuskError `start-failed` where the command cannot be started, and where the machine ends */
  async run(number: number, step: MachineStep, onOutput: OnOutput): Promise<MachineExit> {
    return exitOf(await this.request({ type: 'run', number, step }, { onOutput }));
  }

  signal(number: number, signal: number): void {
    if (!this.#failure) void this.request({ type: 'signal', number, signal });
  }

  /** @returns the bytes of a step's layer, which fail where it is not whole, and lines about what is not in it */
  seal(number: number, epoch: number | undefined): { tar: Readable; leftOut: Promise<string[]> } {
    const tar = new PassThrough();
    const again = () => this.#socket.resume();
    tar
      .on('drain', again)
      .on('close', again)
      .on('error', () => {});
    const leftOut = this.request({ type: 'seal', number, ...(epoch !== undefined && { epoch }) }, { tar }).then(
      linesOf,
    );
    leftOut.catch(() => {});
    return { tar, leftOut };
  }

  close(): void {
    this.#fail(new HuskError('the build was ended', { kind: 'conflict' }));
  }
}

/** @throws HuskError `corrupt` */
function parsed(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch (error) {
    throw new HuskError('the monitor of a virtual machine sent what is no JSON', { kind: 'corrupt', cause: error });
  }
}

const oneLine = (text: unknown, otherwise: string): string =>
  typeof text === 'string' && text !== '' ? text.slice(0, MAX_TEXT).replace(/\p{Cc}+/gu, ' ') : otherwise;

function failureOf(value: unknown): HuskError {
  const { message, kind, exitCode, fix } = (value ?? {}) as Record<string, unknown>;
  return new HuskError(oneLine(message, 'the virtual machine failed without a reason'), {
    kind: KINDS.find((each) => each === kind) ?? 'internal',
    ...(isByte(exitCode) && { exitCode }),
    ...(fix !== undefined && { fix: oneLine(fix, '') }),
  });
}

const isByte = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 256;

/** @throws HuskError `corrupt` */
export function exitOf(value: unknown): MachineExit {
  const { code, signal, oomKilled } = (value ?? {}) as Record<string, unknown>;
  if (!isByte(code)) throw new HuskError('the virtual machine told no exit code of the step', { kind: 'corrupt' });
  return {
    code,
    ...(isByte(signal) && signal > 0 && signal <= 64 && { signal }),
    ...(oomKilled === true && { oomKilled }),
  };
}

export function linesOf(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value
    .slice(0, MAX_LINES)
    .map((line) => oneLine(line, ''))
    .filter((line) => line !== '');
}
