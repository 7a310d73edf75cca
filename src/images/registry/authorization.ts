/**
 * Answers a registry's 401: for Basic with the credentials themselves, for Bearer with a token fetched from the realm
 * that the registry names. Tokens live in memory, one per scope, for this process only.
 *
 * Source: distribution's token specification (GET with Basic) and its OAuth2 variant (POST, grant_type=refresh_token).
 */
import { HuskError } from '../../errors.ts';
import type { Challenge } from './challenge.ts';
import { parseChallenges } from './challenge.ts';
import type { Credentials } from '../store/contract.ts';
import type { Transport } from './transport.ts';
import { readBody, shown } from './transport.ts';

/** limit of bytes of a token server's answer */
const MAX_TOKEN_ANSWER = 64 << 10;
const CLIENT_ID = 'husk';
/** what a token is made of: a line break in it would write a header of its own */
const PRINTABLE = /^[\x21-\x7e]+$/;

/** Credentials that a token server makes a token of. */
type Exchanged = Exclude<Credentials, { kind: 'registry-token' }>;

export interface AuthorizationOptions {
  transport: Transport;
  /** the host whose credentials are used: `docker.io`, `localhost:5000` */
  host: string;
  /** whether plain HTTP and unverified TLS are allowed for this registry, hence for its realm on the same host */
  insecure: boolean;
  credentials: () => Promise<Credentials | undefined>;
  signal?: AbortSignal;
}

export class Authorization {
  #options: AuthorizationOptions;
  #tokens = new Map<string, Promise<string>>();
  #credentials: Promise<Credentials | undefined> | undefined;

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  /** @returns the header for a request of this scope, when one is known already */
  async header(scope: string): Promise<string | undefined> {
    return this.#tokens.get(scope);
  }

  /**
   * Makes a new header after a 401 to a request whose header was `rejected`.
   * @throws HuskError `unauthorized`
   */
  answer(wwwAuthenticate: string | undefined, scope: string, rejected: string | undefined): Promise<string> {
    const known = this.#tokens.get(scope);
    // Several layers get their 401 at once: the first asks for a token, and the others wait for the same one.
    const fresh = (async () => {
      const previous = await known?.catch(() => undefined);
      return previous !== undefined && previous !== rejected
        ? previous
        : this.#authorize(parseChallenges(wwwAuthenticate ?? ''), scope, rejected);
    })();
    this.#tokens.set(scope, fresh);
    fresh.catch(() => this.#tokens.get(scope) === fresh && this.#tokens.delete(scope));
    return fresh;
  }

  async #authorize(challenges: Challenge[], scope: string, rejected: string | undefined): Promise<string> {
    const { host } = this.#options;
    const credentials = await (this.#credentials ??= this.#options.credentials());
    if (credentials?.kind === 'registry-token') return this.#given(credentials.token, rejected);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer) return `Bearer ${await this.#token(bearer, scope, credentials)}`;
    if (!challenges.some(({ scheme }) => scheme === 'basic'))
      throw new HuskError(`${host} refuses access and names no way to log in that husk knows`, {
        kind: 'unauthorized',
      });
    if (credentials?.kind !== 'password')
      throw new HuskError('no basic auth credentials', { kind: 'unauthorized', fix: `husk login ${host}` });
    const header = basic(credentials);
    if (header === rejected)
      throw new HuskError(`${host} does not accept the user name and password`, {
        kind: 'unauthorized',
        fix: `husk login ${host}`,
      });
    return header;
  }

  /** The header of a token that needs no exchange. @throws HuskError `unauthorized` for one that was refused */
  #given(token: string, rejected: string | undefined): string {
    const header = `Bearer ${token}`;
    if (header !== rejected && PRINTABLE.test(token)) return header;
    throw new HuskError(`${this.#options.host} does not accept the registry token`, { kind: 'unauthorized' });
  }

  async #token({ parameters }: Challenge, scope: string, credentials: Exchanged | undefined): Promise<string> {
    const { host, transport, signal } = this.#options;
    const realm = this.#realm(parameters['realm']);
    const service = parameters['service'];
    const identity = credentials?.kind === 'identity';
    const query = new URLSearchParams();
    if (service) query.set('service', service);
    // GET repeats the parameter; the OAuth2 form has one list (distribution: token and oauth specifications).
    for (const each of identity ? [scope] : scope.split(' ')) if (each !== '') query.append('scope', each);
    const headers: Record<string, string> = { accept: 'application/json' };
    let body: Uint8Array | undefined;
    if (identity) {
      query.set('grant_type', 'refresh_token');
      query.set('refresh_token', credentials.token);
      query.set('client_id', CLIENT_ID);
      headers['content-type'] = 'application/x-www-form-urlencoded';
      body = Buffer.from(query.toString());
    } else {
      for (const [name, value] of query) realm.searchParams.append(name, value);
      if (credentials) {
        realm.searchParams.set('account', credentials.username);
        headers['authorization'] = basic(credentials);
      }
    }
    const response = await transport.send({
      method: identity ? 'POST' : 'GET',
      url: realm,
      headers,
      body,
      signal,
      unverifiedTls: this.#options.insecure,
    });
    const text = await readBody(response, MAX_TOKEN_ANSWER);
    if (response.status === 401 || response.status === 403 || response.status === 400)
      throw new HuskError(`${shown(realm)} refuses a token for ${host}${credentials ? '' : ' without credentials'}`, {
        kind: 'unauthorized',
        fix: `husk login ${host}`,
      });
    if (response.status !== 200)
      throw new HuskError(`${shown(realm)} answers a token request with status ${response.status}`, {
        kind: 'unavailable',
      });
    return readToken(text, shown(realm));
  }

  /**
   * Checks the realm, to which the registry's own password goes: only over TLS, unless the registry itself is reached
   * without TLS.
   */
  #realm(text: string | undefined): URL {
    const { host, insecure } = this.#options;
    let realm: URL;
    try {
      realm = new URL(text ?? '');
    } catch {
      throw new HuskError(`${host} asks for a token without saying where to get it`, { kind: 'unauthorized' });
    }
    if (realm.protocol !== 'https:' && !(insecure && realm.protocol === 'http:'))
      throw new HuskError(`${host} wants its credentials sent to ${shown(realm)}, which is not https`, {
        kind: 'unauthorized',
      });
    realm.username = '';
    realm.password = '';
    return realm;
  }
}

const basic = ({ username, password }: { username: string; password: string }) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

function readToken(bytes: Buffer, from: string): string {
  let token: unknown;
  try {
    const value = JSON.parse(bytes.toString('utf8')) as { token?: unknown; access_token?: unknown };
    token = value.token || value.access_token;
  } catch {
    // The answer is not shown, because it may hold a token.
  }
  if (typeof token !== 'string' || !PRINTABLE.test(token))
    throw new HuskError(`${from} sends no token`, { kind: 'unavailable' });
  return token;
}
