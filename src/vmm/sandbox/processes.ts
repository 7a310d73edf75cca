/**
 * The processes of a guest as the host sees them: their numbers, their streams over vsock, their exits. What the agent
 * says of a process is believed of that process only.
 */
import { PassThrough, type Duplex, type Readable, type Writable } from 'node:stream';
import type { Notice, ProcessNumber, ProcessStreams, StreamToken } from '../../agent-protocol.ts';
import type { ExitStatus, SandboxProcess, StdioRequest } from '../../sandbox.ts';
import type { Guest } from './guest.ts';
import { startTimer } from '../../long-timer.ts';

/** ms after a process's exit in which its streams may still be opened */
const LATE_STREAM = 20_000;
export const FIRST_PROCESS: ProcessNumber = 0;

export interface Stdio {
  streams: ProcessStreams;
  ends: ProcessEnds;
  /** from the guest, those that it has opened */
  outputs: Duplex[];
}

interface ProcessEnds {
  stdin: Writable | null;
  stdout: PassThrough & Readable;
  stderr: (PassThrough & Readable) | null;
}

export class GuestProcesses {
  readonly #guest: Pick<Guest, 'agent' | 'tell'>;
  readonly #exits = new Map<ProcessNumber, PromiseWithResolvers<ExitStatus>>();
  #next: ProcessNumber;

  /** @param next of a machine that was saved: the numbers before are those of processes that may still run */
  constructor(guest: Pick<Guest, 'agent' | 'tell'>, { next = FIRST_PROCESS + 1 }: { next?: ProcessNumber } = {}) {
    this.#guest = guest;
    this.#next = next;
  }

  /** what the number of the next process beside the first will be */
  get next(): ProcessNumber {
    return this.#next;
  }

  /** The number of the next process beside the first. */
  takeNumber(): ProcessNumber {
    return this.#next++;
  }

  openStdio(stdio: StdioRequest): Stdio {
    const stdin = stdio.stdin ? new PassThrough() : null;
    const stdout = new PassThrough();
    const stderr = stdio.terminal ? null : new PassThrough();
    const outputs: Duplex[] = [];
    const from = (target: PassThrough) =>
      this.#guest.agent.expectStream((stream) => {
        outputs.push(stream);
        receive(stream, target);
      });
    return {
      outputs,
      ends: { stdin, stdout, stderr },
      streams: {
        ...(stdin && { stdin: this.#guest.agent.expectStream((stream) => void stdin.pipe(stream)) }),
        stdout: from(stdout),
        ...(stderr && { stderr: from(stderr) }),
      },
    };
  }

  /**
   * The stdio of a process that was saved with its machine. An end that was closed then is closed.
   * @param streams as they were named to its agent
   */
  takeStdio(streams: ProcessStreams, { stdin: isOpen, terminal }: StdioRequest): Stdio {
    const { agent } = this.#guest;
    const outputs: Duplex[] = [];
    const stdin = isOpen && streams.stdin !== undefined ? new PassThrough() : null;
    const isThere =
      stdin !== null && agent.takeStream(streams.stdin!, (stream) => void stdin.pipe(stream)) ? stdin : null;
    const output = (token: StreamToken | undefined) => {
      const target = new PassThrough();
      const open = (stream: Duplex) => {
        outputs.push(stream);
        receive(stream, target);
      };
      if (token === undefined || !agent.takeStream(token, open)) target.end();
      return target;
    };
    const stdout = output(streams.stdout);
    return { streams, outputs, ends: { stdin: isThere, stdout, stderr: terminal ? null : output(streams.stderr) } };
  }

  closeStdio({ streams, ends }: Pick<Stdio, 'streams' | 'ends'>): void {
    const closeUnopened = (token: StreamToken | undefined, end: PassThrough | Writable | null) => {
      if (token !== undefined && this.#guest.agent.forgetStream(token)) end?.end();
    };
    closeUnopened(streams.stdin, ends.stdin);
    closeUnopened(streams.stdout, ends.stdout);
    closeUnopened(streams.stderr, ends.stderr);
  }

  /** A process that is about to be started. */
  expect(number: ProcessNumber, { streams, ends }: Pick<Stdio, 'streams' | 'ends'>): SandboxProcess {
    const exit = Promise.withResolvers<ExitStatus>();
    this.#exits.set(number, exit);
    // an agent that never opens a stream it was asked for must not fill the list of those awaited
    void exit.promise.then(() => startTimer(LATE_STREAM, () => this.closeStdio({ streams, ends }), { unref: true }));
    return {
      pid: process.pid,
      stdin: ends.stdin,
      stdout: ends.stdout,
      stderr: ends.stderr,
      resize: (columns, rows) => this.#guest.tell({ type: 'resize', process: number, columns, rows }),
      signal: (signal, { group } = {}) => this.#guest.tell({ type: 'signal', process: number, signal, group }),
      exited: exit.promise,
    };
  }

  /** It could not be started. */
  forget(number: ProcessNumber, stdio: Stdio): void {
    this.closeStdio(stdio);
    this.#exits.delete(number);
  }

  has(number: ProcessNumber): boolean {
    return this.#exits.has(number);
  }

  /** The agent says that a process has ended. */
  settle({ process: number, code, signal, oomKilled }: Exclude<Notice, { type: 'ready' }>): void {
    const exit = this.#exits.get(number);
    this.#exits.delete(number);
    exit?.resolve({ code, signal, oomKilled });
  }

  /** The machine has ended, and every process with it. */
  settleAll(status: ExitStatus): void {
    for (const exit of this.#exits.values()) exit.resolve(status);
    this.#exits.clear();
  }
}

function receive(stream: Duplex, target: PassThrough): void {
  stream.end(); // nothing is said on an output
  stream.on('close', () => target.end());
  // nobody takes it any more: the agent reads and drops the rest, and what writes it never blocks
  target.on('close', () => stream.destroy());
  stream.pipe(target);
}
