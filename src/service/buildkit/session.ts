/**
 * Sessions: connections over which a client serves its own files, secrets, credentials and agents to the builds that it
 * asks for. husk is the client of these. They are known by the id that the client gives them, as long as they are open.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { HuskError } from '../../errors.ts';
import type { Credentials } from '../../images/store/contract.ts';
import type { Hijacked } from '../http/contract.ts';
import { GrpcClient, type ClientCall } from './client.ts';
import { GrpcError, NOT_FOUND, UNIMPLEMENTED } from './grpc.ts';
import { bytes, Fields, message, text } from './wire.ts';

/** sessions that are open at a time, and methods that one serves */
const MAX_SESSIONS = 1024;
const MAX_METHODS = 100;
/** ms for a session to come that a build names: the two have connections of their own */
const PATIENCE = 30_000;
/** bytes of a secret, BuildKit's MaxSecretSize */
const MAX_SECRET = 500 * 1024;

const PREFIX = 'x-docker-expose-session-';

export class Session {
  readonly id: string;
  readonly #client: GrpcClient;
  readonly #methods: ReadonlySet<string>;

  constructor(id: string, methods: readonly string[], client: GrpcClient) {
    this.id = id;
    this.#client = client;
    this.#methods = new Set(methods.map((method) => method.toLowerCase()));
  }

  /** @param path `/moby.filesync.v1.FileSync/DiffCopy` */
  serves(path: string): boolean {
    return this.#methods.has(path.toLowerCase());
  }

  call(path: string, signal: AbortSignal, metadata?: Record<string, string | string[]>): ClientCall {
    if (!this.serves(path)) throw new HuskError(`the client does not serve ${path.slice(1)}`, { kind: 'unsupported' });
    return this.#client.call(path, signal, metadata);
  }

  async unary(path: string, request: Uint8Array, signal: AbortSignal): Promise<Buffer | undefined> {
    if (!this.serves(path)) return undefined;
    try {
      return await this.#client.unary(path, request, signal);
    } catch (error) {
      if (error instanceof GrpcError && (error.code === NOT_FOUND || error.code === UNIMPLEMENTED)) return undefined;
      throw error;
    }
  }

  /** @returns undefined where the client has no such secret */
  async secret(id: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const answer = await this.unary('/moby.buildkit.secrets.v1.Secrets/GetSecret', message(text(1, id)), signal);
    if (!answer) return undefined;
    const value = new Fields(answer).bytes(1);
    if (value.length > MAX_SECRET)
      throw new HuskError(`the secret ${id} is larger than ${MAX_SECRET / 1024} KiB`, { kind: 'limit' });
    return value;
  }

  /** @returns null where the client has none for this registry, which is then asked by nobody in particular */
  async credentials(host: string, signal: AbortSignal): Promise<Credentials | null> {
    const named = host === 'docker.io' ? 'registry-1.docker.io' : host;
    const answer = await this.unary('/moby.filesync.v1.Auth/Credentials', message(text(1, named)), signal);
    const fields = new Fields(answer ?? Buffer.alloc(0));
    const [username, secret] = [fields.text(1), fields.text(2)];
    if (secret === '') return null;
    // An identity token has no user.
    return username === '' ? { kind: 'identity', token: secret } : { kind: 'password', username, password: secret };
  }

  /** @returns whether the client forwards an agent of this id */
  async hasAgent(id: string, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.unary('/moby.sshforward.v1.SSH/CheckAgent', message(text(1, id)), signal)) !== undefined;
    } catch (error) {
      // The client words "unset ssh forward key" as an error of no kind.
      if (error instanceof GrpcError && !signal.aborted) return false;
      throw error;
    }
  }
}

/** The sessions of one server. */
export class Sessions {
  readonly #open = new Map<string, Session>();
  readonly #waiting = new Map<string, Set<(session: Session) => void>>();

  /**
   * Takes a connection to a client until it is closed.
   * @throws HuskError `invalid`, `limit` before it takes it
   */
  async serve(headers: IncomingHttpHeaders, begin: () => Hijacked): Promise<void> {
    const id = String(headers[`${PREFIX}uuid`] ?? '');
    if (!/^[\w-]{1,128}$/.test(id)) throw new HuskError('the session has no id', { kind: 'invalid' });
    if (this.#open.has(id)) throw new HuskError(`session ${id} is there already`, { kind: 'conflict' });
    if (this.#open.size >= MAX_SESSIONS) throw new HuskError(`more than ${MAX_SESSIONS} sessions`, { kind: 'limit' });
    const methods = String(headers[`${PREFIX}grpc-method`] ?? '')
      .split(',')
      .map((method) => method.trim());
    const { stream, signal } = begin();
    const client = new GrpcClient(stream);
    const destroy = (): void => client.destroy();
    signal.addEventListener('abort', destroy, { once: true });
    const session = new Session(id, methods.slice(0, MAX_METHODS), client);
    this.#open.set(id, session);
    for (const resolve of this.#waiting.get(id) ?? []) resolve(session);
    try {
      if (!signal.aborted) await client.closed;
    } finally {
      this.#open.delete(id);
      client.destroy();
      signal.removeEventListener('abort', destroy);
    }
  }

  /** @returns the session, which may be yet to come @throws HuskError `not-found` */
  async get(id: string, signal: AbortSignal): Promise<Session> {
    const found = this.#open.get(id);
    if (found) return found;
    const come = Promise.withResolvers<Session>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(come.resolve));
    const late = setTimeout(
      () => come.reject(new HuskError(`no active session for ${id.slice(0, 128)}`, { kind: 'not-found' })),
      PATIENCE,
    );
    const abort = (): void => come.reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await come.promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', abort);
      waiting.delete(come.resolve);
      if (waiting.size === 0) this.#waiting.delete(id);
    }
  }
}

/** @returns the bytes of BytesMessage messages, as uploads and agents send them */
export async function* bytesOf(messages: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const each of messages) yield new Fields(each).bytes(1);
}

/** @returns a BytesMessage */
export const bytesMessage = (data: Uint8Array): Buffer => message(bytes(1, data));
