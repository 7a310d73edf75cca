/**
 * Asks the resolvers of the host, or those of `--dns`, what the container's networks do not know: one after the other,
 * each with an id of its own that nobody can guess. Knows no sockets: how a resolver is reached is behind `Resolver`,
 * because a VMM has only those that it was given.
 */
import type { Protocol } from './compose.ts';
import { answers, FLAG, HEADER, type Query, RCODE } from './message.ts';

export interface Resolver {
  /** whose network namespace the query leaves from */
  readonly from: 'host' | 'container';
  /**
   * Sends a query. Every message that comes from this resolver's address is handed over, until the call is closed;
   * neither of the two is called before `ask` has returned, or after that.
   */
  ask(query: Buffer, protocol: Protocol, call: { received(message: Buffer): void; failed(): void }): Call;
  /** Lets go of what it has kept for the next query. */
  close(): void;
}

export interface Call {
  close(): void;
}

export interface Limits {
  /** milliseconds that a resolver has */
  patience: number;
  /** queries that are not answered yet */
  atOnce: number;
}

/** Source of these and of MOST_RESOLVERS: moby libnetwork's resolver, extIOTimeout, maxConcurrent, maxExtDNS */
const LIMITS: Limits = { patience: 4000, atOnce: 1024 };
export const MOST_RESOLVERS = 3;

/** What a resolver says of itself rather than of the name: another one may know. */
const NO_ANSWER: ReadonlySet<number> = new Set([RCODE.SERVFAIL, RCODE.REFUSED]);

export class Upstream {
  readonly #resolvers: readonly Resolver[];
  readonly #limits: Limits;
  /** of each query that waits, what ends its waiting */
  readonly #waiting = new Set<() => void>();
  #asking = 0;
  #closed = false;
  /** Off while all networks of the container are internal: then the host asks nobody on its behalf. */
  forward: boolean;

  /** @param options.forward @default true */
  constructor(resolvers: readonly Resolver[], options: { forward?: boolean; limits?: Partial<Limits> } = {}) {
    this.#resolvers = resolvers.slice(0, MOST_RESOLVERS);
    this.forward = options.forward ?? true;
    this.#limits = { ...LIMITS, ...options.limits };
  }

  /** @returns an answer with the query's own id; or the code of why there is none */
  async ask(query: Query, protocol: Protocol): Promise<Buffer | number> {
    // what is asked for and not answered is held here, and costs a socket each
    if (this.#asking >= this.#limits.atOnce) return RCODE.REFUSED;
    this.#asking++;
    try {
      for (const resolver of this.#resolvers) {
        // a resolver that is asked from within the container is its own affair: it may be on the internal network
        if (this.#closed || (!this.forward && resolver.from === 'host')) continue;
        const answer = await this.#askOne(resolver, query, protocol);
        if (answer === undefined || NO_ANSWER.has(answer.readUInt16BE(2) & 0xf)) continue;
        query.bytes.copy(answer, 0, 0, 2);
        return answer;
      }
      return RCODE.SERVFAIL;
    } finally {
      this.#asking--;
    }
  }

  /**
   * Who wants to put words into a resolver's mouth has to know its address, our port, the id and the question; what
   * does not fit is as if it had not come, and the true answer is still waited for.
   */
  #askOne(resolver: Resolver, query: Query, protocol: Protocol): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const id = process.getBuiltinModule('node:crypto').randomInt(0x1_0000);
      const settle = (answer?: Buffer) => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        call.close();
        resolve(answer);
      };
      const timer = setTimeout(settle, this.#limits.patience, undefined);
      const call = resolver.ask(forwarded(query, id), protocol, {
        received: (message) => {
          if (message.length >= HEADER && message.readUInt16BE(0) === id && answers(message, query)) settle(message);
        },
        failed: () => settle(),
      });
      this.#waiting.add(settle);
    });
  }

  /** Whoever waits is told that there is no answer. */
  close(): void {
    this.#closed = true;
    for (const settle of this.#waiting) settle();
    for (const resolver of this.#resolvers) resolver.close();
  }
}

/**
 * The query as it goes out: the question and OPT as they came, so that case, size, cookies and DNSSEC are between
 * client and resolver; nothing else of what the container has sent.
 */
function forwarded(query: Query, id: number): Buffer {
  const { bytes, edns, end } = query;
  const options = edns ? bytes.subarray(edns.start, edns.end) : Buffer.alloc(0);
  const message = Buffer.concat([bytes.subarray(0, end), options]);
  message.writeUInt16BE(id, 0);
  message.writeUInt16BE(bytes.readUInt16BE(2) & (FLAG.RD | FLAG.AD | FLAG.CD), 2);
  message.fill(0, 6, HEADER);
  message.writeUInt16BE(edns ? 1 : 0, 10);
  return message;
}
