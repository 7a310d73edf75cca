/**
 * Starts the program that fetches, with a place on the network that RUN steps have, and reads what it says. Each fetch
 * is a program of its own: what one server sends can harm no other's.
 */
import type { BuildContext } from './run/sandbox.ts';
import { hostsFile, resolvConfFile } from '../../container/etc-files.ts';
import { HuskError } from '../../errors.ts';
import { randomHex } from '../../host/kernel/random.ts';
import { startTimer } from '../../long-timer.ts';
import { DNS_FORWARDER, hostResolvConf } from '../../network/way-out.ts';
import { startFetchProgram, type FetchProgram } from '../../rootless/build/fetch.ts';
import { tmpPath } from '../../state/tmp-folder.ts';
import { resolverSettings } from '../create/resolver-settings.ts';
import { readFrames, type FetchJob, type Frame, type Said } from './fetch/frames.ts';
import { DefaultNetwork } from './run/network.ts';

const HOSTNAME = 'husk-fetch';
const ID_BYTES = 32;
/** ms of one fetch, with all of its submodules */
const LONGEST = 2 * 3_600_000;
/** of the caller's environment: what a proxy is, and whom to trust besides the host's own */
const PASSED_ON = /^(?:https?|no|all)_proxy$/i;

export interface FetcherOptions {
  network: 'default' | 'host';
  extraHosts: readonly { name: string; ip: string }[];
  /** bytes that one fetch may bring */
  maxSize: number;
  problem: (text: string) => void;
}

/** One fetch that has begun. */
export interface Fetch extends AsyncDisposable {
  /** @returns the next message, or undefined at the end of them @throws HuskError for a failure */
  said(): Promise<Said | undefined>;
  /** @returns the bytes up to the end, told of notes between them */
  data(note: (text: string) => void): AsyncGenerator<Buffer, void, void>;
  /** lets it go on */
  go(): void;
}

export class Fetcher implements AsyncDisposable {
  readonly #context: BuildContext;
  readonly #options: FetcherOptions;
  readonly #network: DefaultNetwork;

  constructor(context: BuildContext, options: FetcherOptions) {
    this.#context = context;
    this.#options = options;
    const { paths, database } = context;
    this.#network = new DefaultNetwork({
      database,
      paths,
      network: async () => {
        const found = (await context.networks()).find('bridge');
        if (!found) throw new HuskError('network bridge not found', { kind: 'not-found' });
        return found;
      },
      hostname: HOSTNAME,
      problem: options.problem,
    });
  }

  /** @throws HuskError `unsupported` where this host or user cannot have the sandbox; the signal's reason */
  async start(
    job: FetchJob,
    { signal, ssh }: { signal: AbortSignal; ssh?: { agent: string; knownHosts: string } },
  ): Promise<Fetch> {
    const { paths, config } = this.#context;
    const { network: kind, extraHosts, maxSize } = this.#options;
    const isHost = kind === 'host';
    const network = isHost ? undefined : await this.#network.join(randomHex(ID_BYTES));
    const program = await startFetchProgram({
      paths,
      folder: tmpPath(paths, 'tree'),
      ...(network && { network }),
      ...(ssh && { ssh }),
      hosts: hostsFile({ hostname: HOSTNAME, address: '127.0.0.1', extraHosts }),
      resolvConf: resolvConfFile(hostResolvConf(), {
        ...resolverSettings({ dns: [], dnsSearch: [], dnsOptions: [] }, config),
        hostNetwork: isHost,
        fallback: isHost ? [] : [DNS_FORWARDER],
      }),
      maxFile: maxSize,
      env: Object.entries(process.env).flatMap(([name, value]) => (PASSED_ON.test(name) ? [`${name}=${value}`] : [])),
    });
    program.stdin.write(`${JSON.stringify({ ...job, ...(job.kind === 'git' && { env: program.env }) })}\n`);
    return new RunningFetch(program, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#network.close();
  }
}

class RunningFetch implements Fetch {
  readonly #program: FetchProgram;
  readonly #frames: AsyncGenerator<Frame, void, void>;
  readonly #signal: AbortSignal;
  readonly #cancel: () => void;
  #isDone = false;
  #isLate = false;

  constructor(program: FetchProgram, signal: AbortSignal) {
    this.#program = program;
    this.#signal = signal;
    this.#frames = readFrames(program.stdout);
    signal.addEventListener('abort', program.kill, { once: true });
    if (signal.aborted) program.kill();
    const late = (): void => {
      this.#isLate = true;
      program.kill();
    };
    this.#cancel = startTimer(LONGEST, late, { unref: true });
  }

  async #next(): Promise<Exclude<Frame, { said: { type: 'done' | 'failed' } }> | undefined> {
    if (this.#isDone) return undefined;
    const { value } = await this.#frames.next();
    this.#signal.throwIfAborted();
    if (this.#isLate) throw new HuskError(`it takes longer than ${LONGEST / 3_600_000} hours`, { kind: 'unavailable' });
    if (!value) {
      const complaint = await this.#program.ended;
      throw new HuskError(
        `the program that fetches ended before it was done${complaint === '' ? '' : `: ${complaint.trim().split('\n').at(-1)}`}`,
        { kind: 'internal' },
      );
    }
    if ('said' in value && value.said.type === 'failed') {
      const { message, kind, fix } = value.said;
      throw new HuskError(message, { kind, fix });
    }
    if ('said' in value && value.said.type === 'done') {
      this.#isDone = true;
      return undefined;
    }
    return value;
  }

  async said(): Promise<Said | undefined> {
    const frame = await this.#next();
    if (frame && 'data' in frame)
      throw new HuskError('the program that fetches sent bytes where a message belongs', { kind: 'corrupt' });
    return frame?.said;
  }

  async *data(note: (text: string) => void): AsyncGenerator<Buffer, void, void> {
    for (let frame = await this.#next(); frame; frame = await this.#next())
      if ('data' in frame) yield frame.data;
      else if (frame.said.type === 'note') note(frame.said.text);
  }

  go(): void {
    this.#program.stdin.write('go\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    this.#signal.removeEventListener('abort', this.#program.kill);
    this.#program.stdin.end();
    await this.#program[Symbol.asyncDispose]();
  }
}
