/**
 * What the program that fetches says to the build, over one pipe: frames of a type, a length and a payload, which is
 * either a message or a piece of what is fetched. The program reads what strangers send, so that nothing which it says
 * is believed: lengths are bounded, and a message has the fields of its type or is refused.
 */
import { HuskError, type ErrorKind } from '../../../errors.ts';
import type { GitTransport } from '../../../images/build/remote/git-url.ts';

/** bytes: type, and length as a big-endian number */
const HEADER = 5;
const MESSAGE = 1;
const DATA = 2;
/** bytes of a payload */
const MAX_MESSAGE = 64 << 10;
const MAX_DATA = 1 << 20;
/** characters of a text for people */
const MAX_TEXT = 4096;

/** Who asks, where a server wants to know: a value of the header Authorization. */
export interface GitAuth {
  origin: string;
  header: string;
}

/** One order for the program, a line of JSON on its stdin. */
export type FetchJob =
  | {
      kind: 'http';
      url: string;
      /** of what is known already */
      etags: readonly string[];
      /** bytes that the file may have */
      maxSize: number;
      userAgent: string;
    }
  | {
      kind: 'git';
      repository: string;
      transport: GitTransport;
      ref?: string;
      subdir: string;
      keepGitDir: boolean;
      submodules: boolean;
      /** bytes that the packs of a repository may have */
      maxSize: number;
      userAgent: string;
      /** variables for ssh */
      env?: Record<string, string>;
      /** a header for one server alone, `https://host[:port]/` */
      auth?: GitAuth;
    };

export type Said =
  /** the file follows as data, unless it is that of the ETag */
  | { type: 'answer'; etag?: string; lastModified?: string; unchanged: boolean; size?: number }
  /** the program goes on, with a tar as data, when it is told `go` */
  | { type: 'commit'; commit: string }
  | { type: 'note'; text: string }
  | { type: 'done' }
  | { type: 'failed'; kind: ErrorKind; message: string; fix?: string };

export type Frame = { said: Said } | { data: Buffer };

const KINDS: ReadonlySet<string> = new Set<ErrorKind>([
  'not-found',
  'conflict',
  'invalid',
  'unsupported',
  'corrupt',
  'unauthorized',
  'unavailable',
  'limit',
  'internal',
]);

export function messageFrame(said: Said): Buffer {
  return frame(MESSAGE, Buffer.from(JSON.stringify(said)));
}

/** @returns the frames of a piece of any length */
export function* dataFrames(bytes: Uint8Array): Generator<Buffer, void, void> {
  for (let at = 0; at < bytes.length; at += MAX_DATA) yield frame(DATA, bytes.subarray(at, at + MAX_DATA));
}

function frame(type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER);
  header[0] = type;
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

/**
 * Takes frames out of a stream.
 * @throws HuskError `corrupt` for what no frame can be; a stream that ends within one just ends
 */
export async function* readFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Frame, void, void> {
  let held: Buffer[] = [];
  let length = 0;
  let wanted = HEADER;
  for await (const chunk of source) {
    held.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    length += chunk.length;
    if (length < wanted) continue;
    let bytes = held.length === 1 ? held[0]! : Buffer.concat(held, length);
    for (;;) {
      wanted = HEADER;
      if (bytes.length < HEADER) break;
      const type = bytes[0]!;
      const size = bytes.readUInt32BE(1);
      if ((type !== MESSAGE || size > MAX_MESSAGE) && (type !== DATA || size > MAX_DATA))
        throw broken(`a frame of type ${type} and ${size} bytes`);
      wanted += size;
      if (bytes.length < wanted) break;
      const payload = bytes.subarray(HEADER, wanted);
      yield type === DATA ? { data: payload } : { said: parseSaid(payload.toString('utf8')) };
      bytes = bytes.subarray(wanted);
    }
    held = [bytes];
    ({ length } = bytes);
  }
}

const broken = (what: string): HuskError =>
  new HuskError(`the program that fetches said what makes no sense: ${what}`, { kind: 'corrupt' });

/** @throws HuskError `corrupt` */
export function parseSaid(text: string): Said {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw broken('no JSON');
  }
  if (typeof value !== 'object' || value === null) throw broken('no object');
  const said = value as Record<string, unknown>;
  const string = (key: string): string | undefined => {
    const field = said[key];
    if (field !== undefined && (typeof field !== 'string' || field.length > MAX_TEXT)) throw broken(`its ${key}`);
    return field;
  };
  const { type } = said;
  switch (type) {
    case 'answer': {
      const { unchanged, size } = said;
      const [etag, lastModified] = [string('etag'), string('lastModified')];
      if (typeof unchanged !== 'boolean') throw broken('its unchanged');
      if (size !== undefined && (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0))
        throw broken('its size');
      return {
        type,
        unchanged,
        ...(etag !== undefined && { etag }),
        ...(lastModified !== undefined && { lastModified }),
        ...(size !== undefined && { size }),
      };
    }
    case 'commit': {
      const commit = string('commit') ?? '';
      if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(commit)) throw broken('its commit');
      return { type, commit };
    }
    case 'note':
      return { type, text: string('text') ?? '' };
    case 'done':
      return { type };
    case 'failed': {
      const [kind = '', message = '', fix] = [string('kind'), string('message'), string('fix')];
      if (!KINDS.has(kind)) throw broken('its kind');
      return { type, kind: kind as ErrorKind, message, ...(fix !== undefined && { fix }) };
    }
    default:
      throw broken('its type');
  }
}
