/**
 * What comes back when a container's files are asked for, which is the container's word: a line of JSON, then bytes.
 * The line is checked field by field, a listing of changes is bounded; archives are passed on as they are. Asks
 * nothing.
 */
import type { Readable } from 'node:stream';
import { HuskError } from '../../errors.ts';
import type { FilesHeader, FilesRequest } from '../../sandbox.ts';

/** bytes of an answer's first line: two paths and a few numbers */
const MAX_HEADER = 64 << 10;
/** what a listing of changes may have: bytes, and one path of each */
const MAX_CHANGES = 64 << 20;
const MAX_CHANGE = 8192;

/** Added, changed or deleted, as `docker diff` has it. */
export interface Change {
  kind: 'A' | 'C' | 'D';
  path: string;
}

const broken = (what: string) =>
  new HuskError(`the container's answer about its files is broken: ${what}`, { kind: 'corrupt' });

/** Takes the first line off a stream, which then goes on behind it. */
export function firstLine(stream: Readable): Promise<string> {
  return new Promise((resolveLine, reject) => {
    let head: Buffer = Buffer.alloc(0);
    const done = () => {
      stream.off('readable', read);
      stream.off('error', fail);
      stream.off('end', early);
      stream.off('close', early);
    };
    const fail = (error: Error) => {
      done();
      reject(error);
    };
    const early = () => fail(stream.errored ?? broken('it ended before it began'));
    const read = () => {
      for (let chunk = stream.read() as Buffer | null; chunk; chunk = stream.read() as Buffer | null) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(0x0a);
        if (end === -1 && head.length <= MAX_HEADER) continue;
        done();
        if (end === -1) {
          stream.destroy();
          return reject(broken(`its first line is longer than ${MAX_HEADER} bytes`));
        }
        if (head.length > end + 1) stream.unshift(head.subarray(end + 1));
        return resolveLine(head.toString('utf8', 0, end));
      }
    };
    if (stream.destroyed) return early();
    stream.on('readable', read).once('error', fail).once('end', early).once('close', early);
  });
}

export function checkHeader(line: string, { op }: FilesRequest): FilesHeader {
  let value: { stat?: Record<string, unknown>; size?: unknown } | null;
  try {
    value = JSON.parse(line) as typeof value;
  } catch (error) {
    throw new HuskError("the container's answer about its files is broken: its first line is not JSON", {
      kind: 'corrupt',
      cause: error,
    });
  }
  const index = (number: unknown, what: string): number => {
    if (!Number.isSafeInteger(number) || (number as number) < 0) throw broken(`${what} is no number`);
    return number as number;
  };
  if (op === 'size') return { size: index(value?.size, 'the size') };
  if (op !== 'stat' && op !== 'archive') return {};
  const stat = value?.stat;
  if (
    typeof stat !== 'object' ||
    stat === null ||
    typeof stat['name'] !== 'string' ||
    typeof stat['linkTarget'] !== 'string' ||
    !Number.isSafeInteger(stat['mtime'])
  )
    throw broken('there is no stat');
  return {
    stat: {
      name: stat['name'],
      size: index(stat['size'], 'a size'),
      mode: index(stat['mode'], 'a mode') & 0o177777,
      mtime: stat['mtime'] as number,
      mtimeNanoseconds: index(stat['mtimeNanoseconds'], 'a time') % 1e9,
      linkTarget: stat['linkTarget'],
    },
  };
}

/** @returns every change, by its path */
export async function readChanges(listing: Readable): Promise<Change[]> {
  const found: Change[] = [];
  let pending: Buffer = Buffer.alloc(0);
  let total = 0;
  for await (const chunk of listing as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > MAX_CHANGES)
      throw new HuskError(`the container has more changes than fit into ${MAX_CHANGES} bytes`, { kind: 'limit' });
    pending = Buffer.concat([pending, chunk]);
    let start = 0;
    for (let end = pending.indexOf(0); end !== -1; end = pending.indexOf(0, start)) {
      found.push(changeOf(pending.toString('utf8', start, end)));
      start = end + 1;
    }
    pending = pending.subarray(start);
    if (pending.length > MAX_CHANGE) throw broken('a change without end');
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function changeOf(text: string): Change {
  const kind = text[0];
  if ((kind !== 'A' && kind !== 'C' && kind !== 'D') || text[1] !== '/') throw broken('a change of no kind');
  return { kind, path: text.slice(1) };
}
