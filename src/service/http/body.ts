/** A request's body: JSON as a whole, bounded in bytes and time, or the bytes as they come. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { HuskError } from '../../errors.ts';
import { JSON_TIMEOUT, MAX_JSON } from './bounds.ts';
import type { Body } from './contract.ts';

const invalid = (message: string): HuskError => new HuskError(message, { kind: 'invalid' });

/** @param source ends where the body does */
export function readBody(source: Readable, headers: IncomingHttpHeaders): Body {
  let whole: Promise<unknown> | undefined;
  return {
    json: () => (whole ??= readJson(source, headers)),
    stream: () => source,
  };
}

async function readJson(source: Readable, headers: IncomingHttpHeaders): Promise<unknown> {
  const text = new TextDecoder().decode(await collect(source));
  // An empty body is fine whatever its type: clients send `Content-Type: text/plain` with none.
  if (text === '') return undefined;
  checkType(headers['content-type']);
  return parse(text) ?? undefined;
}

async function collect(source: Readable): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const late = setTimeout(
    () => source.destroy(invalid(`the body did not come within ${JSON_TIMEOUT / 1000} seconds`)),
    JSON_TIMEOUT,
  );
  try {
    // The source is not destroyed when the loop is left: the answer goes over the same connection.
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      size += (chunk as Uint8Array).length;
      if (size > MAX_JSON) throw invalid(`the body is larger than ${MAX_JSON >> 20} MiB`);
      chunks.push(chunk as Uint8Array);
    }
  } catch (error) {
    // The client has gone, or what it sent further was no HTTP.
    throw (error as NodeJS.ErrnoException).code === 'ECONNRESET' ? invalid('unexpected EOF in the body') : error;
  } finally {
    clearTimeout(late);
  }
  return Buffer.concat(chunks, size);
}

/** Docker's words, moby api/server/httputils/httputils.go. */
function checkType(type: string | undefined): void {
  const media = type?.split(';')[0]!.trim().toLowerCase() ?? '';
  if (media === '') throw invalid('malformed Content-Type header (): mime: no media type');
  if (media !== 'application/json')
    throw invalid(`unsupported Content-Type header (${media.slice(0, 100)}): must be 'application/json'`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const why = (error as Error).message;
    throw invalid(`invalid JSON: ${/^Unexpected end|^Unterminated/.test(why) ? 'unexpected EOF' : why}`);
  }
}
