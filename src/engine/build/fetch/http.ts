/**
 * Fetches a file of http(s), in the program that does so for a build. Redirects, credentials and the wait for an answer
 * are the transport's matter; here are the conditional request, and the bounds of a body: bytes, whatever
 * Content-Length promises, a speed below which nobody waits, and the time in all.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { HuskError } from '../../../errors.ts';
import { parseEtag } from '../../../images/build/remote/http-url.ts';
import { isRetryable, Transient, withRetries } from '../../../images/registry/retry.ts';
import { shown, Transport, TransportError, type TransportResponse } from '../../../images/registry/transport.ts';
import { causeOf } from '../../../errors.ts';
import { elapsed } from '../../../long-timer.ts';
import type { FetchJob, Said } from './frames.ts';

/** of a failure to connect, or of the server's own */
const ATTEMPTS = 3;
/** fewer bytes in this many ms, and the sender is not waited for any longer */
const SLOWEST = { bytes: 32 << 10, within: 60_000 };
/** ms in all */
const LONGEST = 3_600_000;

export interface Sink {
  say(said: Said): Promise<void> | void;
  /** resolves when more may come */
  data(bytes: Uint8Array): Promise<void> | void;
}

/** Bounds that tests make smaller. */
interface HttpBounds {
  slowest?: typeof SLOWEST;
  longest?: number;
  attempts?: number;
}

/** @throws HuskError `unavailable`, `not-found`, `limit` */
export async function fetchHttp(
  job: Extract<FetchJob, { kind: 'http' }>,
  sink: Sink,
  { slowest = SLOWEST, longest = LONGEST, attempts = ATTEMPTS }: HttpBounds = {},
): Promise<void> {
  using transport = new Transport({ userAgent: job.userAgent, env: process.env });
  const known = job.etags.filter((etag) => parseEtag(etag) !== undefined);
  let response = await ask(transport, job.url, { etags: known, attempts });
  if (response.status === 304) {
    response.body.destroy();
    const etag = parseEtag(header(response.headers, 'etag'));
    if (etag !== undefined && known.includes(etag)) {
      await sink.say({ type: 'answer', unchanged: true, etag });
      return;
    }
    // Some servers say that nothing has changed of something that nobody has asked for.
    response = await ask(transport, job.url, { etags: [], attempts });
  }
  const { status, headers, body } = response;
  if (status !== 200) {
    body.destroy();
    throw new HuskError(`invalid response status ${status}`, { kind: status === 404 ? 'not-found' : 'unavailable' });
  }
  const etag = parseEtag(header(headers, 'etag'));
  const lastModified = header(headers, 'last-modified')?.slice(0, 100);
  const promised = header(headers, 'content-length');
  const size = promised !== undefined && /^\d{1,15}$/.test(promised) ? Number(promised) : undefined;
  const tooLarge = () =>
    new HuskError(`${shown(response.url)} is larger than ${job.maxSize} bytes`, {
      kind: 'limit',
      fix: 'if it is to be trusted, set "max-layer-size" in the config',
    });
  if (size !== undefined && size > job.maxSize) {
    body.destroy();
    throw tooLarge();
  }
  await sink.say({
    type: 'answer',
    unchanged: false,
    ...(etag !== undefined && { etag }),
    ...(lastModified !== undefined && { lastModified }),
    ...(size !== undefined && { size }),
  });
  await pass(response, sink, { maxSize: job.maxSize, tooLarge, slowest, longest });
}

async function pass(
  { body, url }: TransportResponse,
  sink: Sink,
  {
    maxSize,
    tooLarge,
    slowest,
    longest,
  }: { maxSize: number; tooLarge: () => HuskError; slowest: typeof SLOWEST; longest: number },
): Promise<void> {
  let size = 0;
  let before = 0;
  const began = elapsed();
  const refuse = (why: string) =>
    body.destroy(new HuskError(`cannot get ${shown(url)}: ${why}`, { kind: 'unavailable' }));
  const pace = setInterval(() => {
    if (elapsed() - began > longest) refuse(`it takes longer than ${longest / 1000} s`);
    else if (size - before < slowest.bytes && !waits)
      refuse(`fewer than ${slowest.bytes} bytes came in ${slowest.within / 1000} s`);
    before = size;
  }, slowest.within);
  /** whether it is this side that others wait for */
  let waits = false;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxSize) throw tooLarge();
      waits = true;
      await sink.data(chunk);
      waits = false;
    }
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw new HuskError(`the answer of ${shown(url)} broke off: ${causeOf(error)}`, {
      kind: 'unavailable',
      cause: error,
    });
  } finally {
    clearInterval(pace);
    body.destroy();
  }
}

async function ask(
  transport: Transport,
  url: string,
  { etags, attempts }: { etags: readonly string[]; attempts: number },
): Promise<TransportResponse> {
  return await withRetries(
    async () => {
      let response: TransportResponse;
      try {
        response = await transport.send({
          method: 'GET',
          url: new URL(url),
          // What is compressed on the way would have another digest.
          headers: { 'accept-encoding': 'identity', ...(etags.length > 0 && { 'if-none-match': etags.join(', ') }) },
        });
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        throw error.transient ? new Transient(error) : withoutAdvice(error);
      }
      if (!isRetryable(response.status)) return response;
      response.body.destroy();
      throw new Transient(new HuskError(`invalid response status ${response.status}`, { kind: 'unavailable' }));
    },
    { attempts },
  );
}

/** Node's advice is about Node. */
function withoutAdvice(error: TransportError): HuskError {
  const [message, advice] = error.message.split('; if the root CA is installed locally');
  if (advice === undefined) return error;
  return new HuskError(message!, {
    kind: error.kind,
    cause: error,
    fix: "if it is to be trusted, add its CA to the host's (update-ca-certificates)",
  });
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}
