/**
 * The sink of drivers that send each line away as a message (syslog, fluentd). A slow peer makes the container wait, as
 * a pipe would, but not for ever: when the peer has accepted nothing for STALL_MS, lines are lost until it accepts
 * messages again. After a lost connection the sink tries to connect again, unless this process may open nothing more.
 */
import { startTimer, within } from '../long-timer.ts';
import { NEWLINE, PieceCutter, type Piece } from './pieces.ts';
import type { LogSink, Stream } from './sink.ts';
import type { Connection, ConnectionEvents } from './transport.ts';

/** ms without progress after which the waiting messages are lost */
const STALL_MS = 10_000;
/** ms between two tries to connect again */
const RETRY_MS = 1000;
/** ms that the end of a log waits for a peer that accepts nothing */
const END_GRACE_MS = 5000;
/** bytes that may wait once the container no longer does; more lines are lost */
const MOST_WAITING = 1 << 20;

export interface MessageLogOptions {
  /** @returns the message for a line without its \n, or for a part of a line */
  encode(line: Uint8Array, stream: Stream, time: Date, partial: boolean): Buffer;
  connect(events: ConnectionEvents): Promise<Connection>;
  /** bytes that may wait before lines are dropped; undefined where the container waits instead */
  dropAbove: number | undefined;
  /** whether this process may open nothing once its container runs (a VMM) */
  confined: boolean;
  /** name of the peer, for messages */
  peer: string;
  onTrouble(message: string): void;
  /** @default STALL_MS */
  stallMs?: number;
}

/**
 * @param how.later whether to start without a connection, and to connect meanwhile
 * @throws HuskError when the peer does not answer
 */
export async function openMessageLog(options: MessageLogOptions, how: { later?: boolean } = {}): Promise<LogSink> {
  const log = new MessageLog(options);
  if (how.later && !options.confined) log.seek();
  else await log.open();
  return log;
}

class MessageLog implements LogSink {
  readonly stallTimeout = undefined;
  readonly #options: MessageLogOptions;
  readonly #cutters = { stdout: new PieceCutter(), stderr: new PieceCutter() };
  #queue: Buffer[] = [];
  #queued = 0;
  #connection: Connection | undefined;
  #waiting: (() => void)[] = [];
  #cancelStall: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;
  #isLosing = false;
  #isOver = false;

  constructor(options: MessageLogOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const connection = await this.#options.connect({ onReady: () => this.#progress(), onClosed: () => this.#closed() });
    if (this.#isOver) return connection.destroy();
    this.#connection = connection;
    this.#progress();
  }

  /** Tries to connect until it succeeds or the log ends. */
  seek(): void {
    if (this.#isOver || this.#cancelRetry) return;
    this.open().catch(() => {
      if (this.#isOver) return;
      this.#cancelRetry = startTimer(
        RETRY_MS,
        () => {
          this.#cancelRetry = undefined;
          this.seek();
        },
        { unref: true },
      );
    });
  }

  output(stream: Stream, chunk: Buffer): number {
    for (const piece of this.#cutters[stream].push(chunk)) this.#piece(piece, stream);
    this.#flush();
    return this.#options.dropAbove === undefined && !this.#isLosing ? this.#queued : 0;
  }

  onceDrained(callback: () => void): void {
    if (this.#queue.length === 0) callback();
    else this.#waiting.push(callback);
  }

  drop(): void {}

  async end(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const)
      for (const piece of this.#cutters[stream].end()) this.#piece(piece, stream);
    this.#flush();
    const endsAt = performance.now() + END_GRACE_MS;
    await within(new Promise<void>((resolve) => this.onceDrained(resolve)), END_GRACE_MS);
    this.#isOver = true;
    this.#cancelStall?.();
    this.#cancelRetry?.();
    if (this.#queue.length > 0) this.#lose('the container has ended, and it does not take the rest of its output');
    await within(Promise.resolve(this.#connection?.end()), Math.max(0, endsAt - performance.now()));
    this.#connection?.destroy();
  }

  #piece({ bytes, whole }: Piece, stream: Stream): void {
    const time = new Date();
    if (!whole) return this.#enqueue(this.#options.encode(bytes, stream, time, true));
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(NEWLINE, start);
      this.#enqueue(this.#options.encode(bytes.subarray(start, end), stream, time, false));
      start = end + 1;
    }
  }

  #enqueue(message: Buffer): void {
    const bound = this.#options.dropAbove ?? (this.#isLosing ? MOST_WAITING : Infinity);
    if (this.#queued + message.length > bound) return;
    this.#queue.push(message);
    this.#queued += message.length;
  }

  #flush(): void {
    let sent = 0;
    for (; sent < this.#queue.length && this.#connection?.isReady; sent++) {
      if (!this.#connection.send(this.#queue[sent]!)) break;
      this.#queued -= this.#queue[sent]!.length;
    }
    this.#queue.splice(0, sent);
    if (this.#queue.length === 0) {
      this.#cancelStall?.();
      this.#cancelStall = undefined;
      for (const callback of this.#waiting.splice(0)) callback();
    } else if (!this.#isLosing)
      this.#cancelStall ??= startTimer(this.#options.stallMs ?? STALL_MS, () => this.#lose('it takes nothing'));
  }

  /** The peer accepts messages again. */
  #progress(): void {
    this.#isLosing = false;
    this.#cancelStall?.();
    this.#cancelStall = undefined;
    this.#flush();
  }

  #closed(): void {
    this.#connection = undefined;
    if (this.#isOver) return;
    if (this.#options.confined) this.#lose('it has gone away');
    else this.seek();
  }

  #lose(why: string): void {
    this.#queue = [];
    this.#queued = 0;
    this.#cancelStall = undefined;
    if (!this.#isLosing)
      this.#options.onTrouble(
        `cannot write the log to ${this.#options.peer}: ${why}; output is lost${this.#isOver ? '' : ' until it takes some again'}`,
      );
    this.#isLosing = true;
    for (const callback of this.#waiting.splice(0)) callback();
  }
}
