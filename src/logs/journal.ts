/**
 * The sink of the driver journald: every line is a datagram to the journal's socket. A slow journal makes the container
 * wait, as a pipe would, or with `mode=non-blocking` loses lines; while the journal is gone, lines are lost.
 */
import { HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { SyscallError } from '../host/libc.ts';
import { sealedMemfd } from '../host/memory/memfd.ts';
import { within } from '../long-timer.ts';
import { whenWritable, type Watch } from '../host/streams/poll.ts';
import { connectDatagram, send } from '../host/streams/socket.ts';
import { rfc3339 } from '../state/time.ts';
import type { LogAttributes } from './attributes.ts';
import type { LoggedContainer } from './request.ts';
import { encodeEntry, sharedFields } from './journal-entry.ts';
import { NEWLINE, PieceCutter, type Piece } from './pieces.ts';
import type { LogSink, Stream } from './sink.ts';

/** path of the journal's socket, systemd-journald.service(8) § Sockets */
export const JOURNAL_SOCKET = '/run/systemd/journal/socket';
/** ms that the end of a log waits for a journal that accepts nothing */
const END_GRACE_MS = 5000;

export interface JournalLogOptions extends LogAttributes {
  dropAbove: number | undefined;
  /**
   * Whether this process may open nothing once its container runs (a VMM); entries larger than a datagram are lost
   * then.
   */
  confined: boolean;
  onTrouble(message: string): void;
}

/** The connection is kept while a container restarts, because a VMM cannot open it a second time. */
let connection: { path: string; fd: Fd } | undefined;

/** @throws HuskError `unsupported` when this host has no journal */
export function openJournalLog(
  container: LoggedContainer,
  options: JournalLogOptions,
  path: string = JOURNAL_SOCKET,
): LogSink {
  const shared = sharedFields(container, options);
  return new JournalLog(connect(path), shared, { ...options, reconnect: () => connect(path, true) });
}

/** Checks that the journal's socket is there. @throws HuskError `unsupported` */
export function checkJournal(path: string = JOURNAL_SOCKET): void {
  connect(path, true);
}

function connect(path: string, again = false): Fd {
  if (connection?.path === path && !again) return connection.fd;
  let fd: Fd;
  try {
    fd = connectDatagram(path);
  } catch (error) {
    throw new HuskError('journald is not enabled on this host', {
      kind: 'unsupported',
      exitCode: 125,
      fix: 'use --log-driver json-file or local',
      cause: error,
    });
  }
  connection?.fd.close();
  connection = { path, fd };
  return fd;
}

class JournalLog implements LogSink {
  readonly stallTimeout = undefined;
  readonly #shared: Buffer;
  readonly #options: JournalLogOptions & { reconnect(): Fd };
  readonly #cutters = { stdout: new PieceCutter(), stderr: new PieceCutter() };
  readonly #queue: Buffer[] = [];
  #fd: Fd;
  #queued = 0;
  #watch: Watch | undefined;
  #waiting: (() => void)[] = [];
  #losing = false;

  constructor(fd: Fd, shared: Buffer, options: JournalLogOptions & { reconnect(): Fd }) {
    this.#fd = fd;
    this.#shared = shared;
    this.#options = options;
  }

  output(stream: Stream, chunk: Buffer): number {
    for (const piece of this.#cutters[stream].push(chunk)) this.#piece(piece, stream);
    this.#flush();
    return this.#options.dropAbove === undefined ? this.#queued : 0;
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
    await within(new Promise<void>((resolve) => this.onceDrained(resolve)), END_GRACE_MS);
    this.#watch?.close();
  }

  #piece({ bytes, whole }: Piece, stream: Stream): void {
    const time = rfc3339();
    if (!whole) return this.#enqueue(encodeEntry({ stream, text: bytes, partial: true, time }, this.#shared));
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(NEWLINE, start);
      this.#enqueue(encodeEntry({ stream, text: bytes.subarray(start, end), partial: false, time }, this.#shared));
      start = end + 1;
    }
  }

  #enqueue(entry: Buffer): void {
    const { dropAbove } = this.#options;
    if (dropAbove !== undefined && this.#queued + entry.length > dropAbove) return;
    this.#queue.push(entry);
    this.#queued += entry.length;
  }

  #flush(): void {
    if (this.#watch) return;
    let sent = 0;
    for (; sent < this.#queue.length; sent++) {
      const outcome = this.#send(this.#queue[sent]!);
      if (outcome === 'full') break;
      this.#queued -= this.#queue[sent]!.length;
    }
    this.#queue.splice(0, sent);
    if (this.#queue.length > 0) {
      this.#watch = whenWritable(this.#fd.number, () => {
        this.#watch = undefined;
        this.#flush();
      });
    } else for (const callback of this.#waiting.splice(0)) callback();
  }

  #send(entry: Buffer): 'sent' | 'full' | 'lost' {
    try {
      send(this.#fd.number, entry);
      this.#losing = false;
      return 'sent';
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'EAGAIN') return 'full';
      if (error.code === 'EMSGSIZE' && !this.#options.confined) return this.#sendLarge(entry);
      return this.#again(entry, error);
    }
  }

  /** Sends an entry that is too large for a datagram, as the protocol has it: an empty message with a sealed file. */
  #sendLarge(entry: Buffer): 'sent' | 'full' | 'lost' {
    try {
      using file = sealedMemfd('husk-journal', entry);
      send(this.#fd.number, new Uint8Array(), [file.number]);
      return 'sent';
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'EAGAIN') return 'full';
      return this.#lose(error);
    }
  }

  /** Connects again and sends the entry: a journal that was restarted has a new socket. */
  #again(entry: Buffer, error: SyscallError): 'sent' | 'lost' {
    if (
      this.#options.confined ||
      (error.code !== 'ECONNREFUSED' && error.code !== 'ENOTCONN' && error.code !== 'ECONNRESET')
    )
      return this.#lose(error);
    try {
      this.#fd = this.#options.reconnect();
      send(this.#fd.number, entry);
      return 'sent';
    } catch (second) {
      return this.#lose(second);
    }
  }

  #lose(error: unknown): 'lost' {
    if (!this.#losing)
      this.#options.onTrouble(
        `cannot write to the journal: ${error instanceof SyscallError ? error.code : String(error)}; output is lost until it can be written again`,
      );
    this.#losing = true;
    return 'lost';
  }
}
