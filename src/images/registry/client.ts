/**
 * The OCI distribution API of one repository at one endpoint: manifests, blobs from any offset, tags, uploads. The
 * client adds authorization and retries to the transport. It checks status and length; the digests of blobs are checked
 * by their readers.
 *
 * Source: OCI distribution-spec 1.1.
 */
import type { Readable } from 'node:stream';
import { HuskError } from '../../errors.ts';
import { sha256 } from '../store/blobs.ts';
import { MANIFEST_TYPES, MAX_MANIFEST } from '../store/manifest.ts';
import { isDigest } from '../store/reference.ts';
import { answeringBase } from './answering-base.ts';
import { Authorization } from './authorization.ts';
import { credentialsFor } from './credentials.ts';
import type { Asking } from '../store/contract.ts';
import type { Endpoint } from './endpoints.ts';
import { isRetryable, parseRetryAfter, Transient, withRetries } from './retry.ts';
import type { Transport, TransportRequest, TransportResponse } from './transport.ts';
import { readBody, redirectTarget, TransportError } from './transport.ts';

/** limit of bytes of an error answer that are read for its message */
const MAX_ERROR = 64 << 10;
/** limit of characters of a registry's message that are shown */
const MAX_MESSAGE = 300;
/** limits of tags of one repository, and of bytes of one page of them */
const MAX_TAGS = 10_000;
const MAX_TAG_PAGE = 4 << 20;

export interface RepositoryOptions extends Asking {
  transport: Transport;
  endpoint: Endpoint;
  /** path of the repository: `library/alpine` */
  path: string;
  /** whether the endpoint is a mirror, which is not told who the caller is. @default false */
  isMirror?: boolean;
  /** tries of one request; fewer where another registry can be asked */
  attempts?: number;
  /**
   * Asks for the right to push as well, and to read these repositories of the same registry (cross-repository mounts).
   */
  push?: { mountFrom: string[] };
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal;
}

interface ApiRequest {
  method?: TransportRequest['method'];
  /** path below v2/<name>/ */
  path: string;
  /** URL to which the registry has sent this client; used instead of the path */
  url?: URL;
  headers?: Record<string, string>;
  body?: () => Uint8Array | Readable;
  /** statuses that are not errors */
  accepts?: number[];
  attempts?: number;
}

export interface FetchedManifest {
  bytes: Buffer;
  contentType: string;
  digest: string;
}

export class Repository {
  readonly host: string;
  #options: RepositoryOptions;
  #authorization: Authorization;
  #base: Promise<URL> | undefined;

  constructor(options: RepositoryOptions) {
    const { endpoint, transport, env, signal, credentials, isMirror = false } = options;
    this.#options = options;
    this.host = endpoint.host;
    this.#authorization = new Authorization({
      transport,
      host: endpoint.host,
      insecure: endpoint.insecure,
      signal,
      credentials: () => credentialsFor(endpoint.host, { credentials, isOwn: !isMirror, env, signal }),
    });
  }

  /**
   * Fetches a manifest.
   * @param reference tag or digest; a digest is verified here
   * @throws HuskError `not-found` with Docker's "manifest unknown" text
   */
  async manifest(reference: string): Promise<FetchedManifest> {
    const response = await this.#request({
      path: `manifests/${reference}`,
      headers: { accept: MANIFEST_TYPES.join(', ') },
    });
    const bytes = await readBody(response, MAX_MANIFEST);
    const digest = sha256(bytes);
    if (isDigest(reference) && reference !== digest)
      throw new HuskError(`${this.host} sends a manifest with digest ${digest} for ${reference}`, { kind: 'corrupt' });
    return { bytes, contentType: response.headers['content-type'] ?? '', digest };
  }

  /**
   * Opens a blob for reading from `offset`.
   * @param size bytes of the whole blob, from its descriptor
   * @returns `from` is the offset at which the body really begins: 0 when the registry does not support ranges
   */
  async blob(digest: string, offset: number, size: number): Promise<{ response: TransportResponse; from: number }> {
    const response = await this.#request({
      path: `blobs/${digest}`,
      headers: offset > 0 ? { range: `bytes=${offset}-` } : {},
    });
    const { 'content-range': range, 'content-length': length } = response.headers;
    const from = response.status === 206 ? Number(/^bytes (\d{1,16})-/.exec(range ?? '')?.[1] ?? Number.NaN) : 0;
    const refuse = (cause: string) => {
      response.body.destroy();
      return new HuskError(`cannot fetch ${digest} from ${this.host}: ${cause}`, { kind: 'corrupt' });
    };
    if (from !== 0 && from !== offset)
      throw refuse(`asked for bytes from ${offset}, the answer has ${JSON.stringify((range ?? '').slice(0, 100))}`);
    if (length !== undefined && Number(length) !== size - from)
      throw refuse(`it has ${Number(length) + from} bytes there, the manifest says ${size}`);
    return { response, from };
  }

  /** Lists the repository's tags. @throws HuskError `limit` beyond MAX_TAGS */
  async tags(): Promise<string[]> {
    const tags: string[] = [];
    let path: string | undefined = 'tags/list';
    while (path !== undefined) {
      const response = await this.#request({ path, headers: { accept: 'application/json' } });
      const bytes = await readBody(response, MAX_TAG_PAGE);
      let page: unknown;
      try {
        page = (JSON.parse(bytes.toString('utf8')) as { tags?: unknown }).tags ?? [];
      } catch (error) {
        throw new HuskError(`${this.host} lists tags that are not JSON`, { kind: 'corrupt', cause: error });
      }
      if (!Array.isArray(page) || !page.every((tag) => typeof tag === 'string'))
        throw new HuskError(`${this.host} lists tags that are no strings`, { kind: 'corrupt' });
      tags.push(...(page as string[]));
      if (tags.length > MAX_TAGS)
        throw new HuskError(`${this.#options.path} has more than ${MAX_TAGS} tags`, { kind: 'limit' });
      const next = /<([^<>]{1,2048})>;\s*rel="?next"?/.exec(String(response.headers['link'] ?? ''))?.[1];
      const last: string | null = next === undefined ? null : new URL(next, response.url).searchParams.get('last');
      path = last === null || page.length === 0 ? undefined : `tags/list?last=${encodeURIComponent(last)}&n=1000`;
    }
    return tags;
  }

  /** @returns whether the registry has the blob */
  async hasBlob(digest: string): Promise<boolean> {
    const response = await this.#request({ method: 'HEAD', path: `blobs/${digest}`, accepts: [200, 404] });
    response.body.resume();
    return response.status === 200;
  }

  /**
   * Begins an upload, or mounts the blob from another repository of this registry.
   * @returns where to upload to; undefined when the registry has mounted it
   */
  async startUpload(mount?: { digest: string; from: string }): Promise<URL | undefined> {
    const query = mount ? `?${new URLSearchParams({ mount: mount.digest, from: mount.from })}` : '';
    const response = await this.#request({
      method: 'POST',
      path: `blobs/uploads/${query}`,
      headers: { 'content-length': '0' },
      accepts: [201, 202],
    });
    response.body.resume();
    if (response.status === 201 && mount) return undefined;
    const { location } = response.headers;
    if (location === undefined)
      throw new HuskError(`${this.host} does not say where to upload to`, { kind: 'unavailable' });
    return redirectTarget(location, response.url);
  }

  /** Uploads a whole blob in one request. @param blob its body is opened anew for each try */
  async upload(
    location: URL,
    blob: { digest: string; size: number; body: () => Uint8Array | Readable },
  ): Promise<void> {
    const url = new URL(location);
    url.searchParams.set('digest', blob.digest);
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(blob.size) };
    // A failed upload session is gone, so there is one try only; the caller begins a new session.
    const response = await this.#request({
      method: 'PUT',
      url,
      path: `blobs/uploads/${blob.digest}`,
      headers,
      body: blob.body,
      accepts: [201],
      attempts: 1,
    });
    response.body.resume();
  }

  /** Uploads a manifest. @param reference tag or digest */
  async putManifest(reference: string, bytes: Uint8Array, mediaType: string): Promise<void> {
    const headers = { 'content-type': mediaType, 'content-length': String(bytes.length) };
    const response = await this.#request({
      method: 'PUT',
      path: `manifests/${reference}`,
      headers,
      body: () => bytes,
      accepts: [201],
    });
    response.body.resume();
  }

  #scope(): string {
    const { path, push } = this.#options;
    if (!push) return `repository:${path}:pull`;
    return [`repository:${path}:pull,push`, ...push.mountFrom.map((from) => `repository:${from}:pull`)].join(' ');
  }

  /**
   * Sends a request, answers a 401 once with a new token, and retries failures that may pass. A status that is not
   * accepted is an error.
   */
  #request(request: ApiRequest): Promise<TransportResponse> {
    let isTokenNew = false;
    const attempt = async (): Promise<TransportResponse> => {
      const { response, scope, authorization, isRegistry } = await this.#sendAuthorized(request);
      if ((request.accepts ?? [200, 206]).includes(response.status)) return response;
      const text = await readBody(response, MAX_ERROR).catch(() => Buffer.alloc(0));
      // A 401 of a host that a redirect led to is not answered: the registry's credentials would go to a realm of that
      // host's choice.
      if (response.status === 401 && !isTokenNew && isRegistry) {
        isTokenNew = true;
        await this.#authorization.answer(response.headers['www-authenticate'], scope, authorization);
        return attempt();
      }
      const refusal = this.#refusal(response.status, text, request.path);
      throw isRetryable(response.status)
        ? new Transient(refusal, parseRetryAfter(response.headers['retry-after']))
        : refusal;
    };
    return withRetries(
      () =>
        attempt().catch((error: unknown) => {
          throw error instanceof TransportError && error.transient ? new Transient(error) : error;
        }),
      { attempts: request.attempts ?? this.#options.attempts, signal: this.#options.signal },
    );
  }

  async #sendAuthorized({ method = 'GET', url: location, path, headers = {}, body }: ApiRequest) {
    const base = await this.#resolveBase();
    const url = location ?? new URL(`v2/${this.#options.path}/${path}`, base);
    const scope = this.#scope();
    // An upload's location may be on another host, which must not get the registry's token.
    const authorization = url.origin === base.origin ? await this.#authorization.header(scope) : undefined;
    const response = await this.#send(
      method,
      url,
      authorization === undefined ? headers : { ...headers, authorization },
      body?.(),
    );
    return { response, scope, authorization, isRegistry: response.url.origin === base.origin };
  }

  #send(
    method: TransportRequest['method'],
    url: URL,
    headers: Record<string, string>,
    body?: Uint8Array | Readable,
  ): Promise<TransportResponse> {
    const { transport, endpoint, signal } = this.#options;
    return transport.send({ method, url, headers, body, signal, unverifiedTls: endpoint.insecure });
  }

  /** Finds the URL that answers, once, without credentials: an insecure host may have TLS or not. */
  #resolveBase(): Promise<URL> {
    return (this.#base ??= this.#probe().catch((error: unknown) => {
      this.#base = undefined;
      throw error;
    }));
  }

  async #probe(): Promise<URL> {
    const { endpoint, signal } = this.#options;
    if (endpoint.bases.length === 1) return endpoint.bases[0]!;
    const { base, response } = await answeringBase(endpoint, (url) => this.#send('GET', url, {}), signal);
    response.body.resume();
    response.body.on('error', () => {});
    return base;
  }

  /** @returns the error for a registry's status, in Docker's words */
  #refusal(status: number, body: Buffer, path: string): HuskError {
    const { code, message } = firstError(body);
    const name = this.#options.path;
    if (status === 404 && path.startsWith('manifests/')) {
      const reference = path.slice('manifests/'.length);
      if (code === 'NAME_UNKNOWN')
        return new HuskError(`${this.host}/${name} not found: name unknown: repository name not known to registry`, {
          kind: 'not-found',
        });
      return new HuskError(
        `manifest for ${this.host}/${name}${reference.startsWith('sha256:') ? '@' : ':'}${reference} not found: manifest unknown: ${message || 'manifest unknown'}`,
        { kind: 'not-found' },
      );
    }
    if ((status === 401 || status === 403) && this.#options.push)
      return new HuskError(`denied: requested access to the resource is denied${message ? `: ${message}` : ''}`, {
        kind: 'unauthorized',
        fix: `husk login ${this.host}`,
      });
    if (status === 401 || status === 403)
      return new HuskError(
        `pull access denied for ${this.host}/${name}, repository does not exist or may require authorization${message ? `: ${message}` : ''}`,
        { kind: 'unauthorized', fix: `husk login ${this.host}` },
      );
    if (status === 429)
      return new HuskError(`toomanyrequests: ${message || `${this.host} limits the rate of requests`}`, {
        kind: 'unavailable',
      });
    return new HuskError(`${this.host} answers ${name}/${path} with status ${status}${message ? `: ${message}` : ''}`, {
      kind: status === 404 ? 'not-found' : 'unavailable',
    });
  }
}

/** Parses `{"errors":[{"code","message"}]}`. The message is shown on a terminal, so only printable characters stay. */
function firstError(body: Buffer): { code: string; message: string } {
  try {
    const first = (JSON.parse(body.toString('utf8')) as { errors?: { code?: unknown; message?: unknown }[] })
      .errors?.[0];
    return {
      code: String(first?.code ?? ''),
      message: String(first?.message ?? '')
        .replaceAll(/[^\x20-\x7e]/g, ' ')
        .slice(0, MAX_MESSAGE),
    };
  } catch {
    return { code: '', message: '' };
  }
}
