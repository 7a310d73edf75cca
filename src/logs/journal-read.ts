/**
 * Reads a container's entries back from the journal by journalctl. Only entries that this user wrote count, because any
 * user may write to the journal and name any container. This module never writes.
 */
import { spawn } from 'node:child_process';
import { causeOf, HuskError } from '../errors.ts';
import { nanoseconds, parseRfc3339, rfc3339 } from '../state/time.ts';
import { timeWindow, type ReadOptions } from './read.ts';
import type { LogEntry } from './sink.ts';

/** limit of bytes of one entry as JSON: 16 KiB of text as numbers, and attributes; a longer line is skipped */
const MAX_LINE = 1 << 20;
/**
 * ms without an entry after which a follower ends: after the container's exit the journal may still be writing entries
 */
const QUIET_MS = 500;
/** ns by which an entry may be received after the time that it bears, unless the journal was at a standstill */
const MAX_DELAY = 1_000_000_000n;
const STDERR_PRIORITY = '3';
const OWN_FIELDS = new Set(['MESSAGE', 'PRIORITY', 'SYSLOG_IDENTIFIER', 'SYSLOG_TIMESTAMP']);

/** journalctl's name for the place of an entry */
const CURSOR = /"__CURSOR" ?: ?"([^"]+)"/;

/** Yields a container's entries. @throws HuskError `unsupported` when there is no journalctl */
export async function* readJournal(id: string, options: Omit<ReadOptions, 'format'>): AsyncGenerator<LogEntry[]> {
  const place: { cursor?: string } = {};
  yield* ask(id, options, place);
  // A following journalctl is ended when it has been quiet for a while, so it may have missed entries: the rest is read
  // once more.
  if (options.follow && !options.signal?.aborted)
    yield* ask(id, { ...options, follow: undefined, after: place.cursor }, place);
}

interface Asked extends Omit<ReadOptions, 'format'> {
  /** cursor behind which the entries begin */
  after?: string;
}

/** Runs journalctl once. @param place gets the cursor of the last entry that was read */
async function* ask(id: string, options: Asked, place: { cursor?: string }): AsyncGenerator<LogEntry[]> {
  const child = spawn('journalctl', journalArguments(id, options), { stdio: ['ignore', 'pipe', 'pipe'] });
  const failed = new Promise<never>((_, reject) =>
    child.once('error', (error) =>
      reject(
        new HuskError(`cannot read the journal: ${causeOf(error)}`, {
          kind: 'unsupported',
          fix: 'install systemd (journalctl)',
          cause: error,
        }),
      ),
    ),
  );
  failed.catch(() => {});
  const within = timeWindow(options);
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString('latin1')).slice(-1000)));
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const stop = () => void child.kill();
  options.signal?.addEventListener('abort', stop, { once: true });
  let heard = performance.now();
  const watch =
    options.follow &&
    setInterval(() => {
      if (!options.follow!() && performance.now() - heard > QUIET_MS) stop();
    }, QUIET_MS / 2);
  try {
    await Promise.race([failed, new Promise((resolve) => child.once('spawn', resolve))]);
    for await (const lines of wholeLines(child.stdout)) {
      heard = performance.now();
      place.cursor = CURSOR.exec(lines.at(-1) ?? '')?.[1] ?? place.cursor;
      const { shown, over } = within(lines.flatMap((line) => parseJournalEntry(line) ?? []));
      if (shown.length > 0) yield shown;
      if (over) return;
    }
    const code = await closed;
    if (code !== 0 && code !== null && complaint.trim() !== '')
      throw new HuskError(`cannot read the journal: ${complaint.trim().split('\n').at(-1)}`, {
        kind: 'unavailable',
        fix: /permission/.test(complaint) ? 'ask for the group systemd-journal' : undefined,
      });
  } finally {
    clearInterval(watch);
    options.signal?.removeEventListener('abort', stop);
    stop();
  }
}

/** @returns arguments of journalctl(1) */
export function journalArguments(id: string, { tail, since, until, follow, after }: Asked): string[] {
  // journalctl accepts one beginning only.
  const beginning = [
    ...(tail === undefined ? (follow ? ['--no-tail'] : []) : [`--lines=${tail}`]),
    ...(since === undefined ? [] : [`--since=${at(nanoseconds(since))}`]),
  ];
  return [
    '--output=json',
    '--all',
    '--quiet',
    '--no-pager',
    ...(after === undefined ? beginning : [`--after-cursor=${after}`]),
    ...(until === undefined ? [] : [`--until=${at(nanoseconds(until) + MAX_DELAY)}`]),
    ...(follow ? ['--follow'] : []),
    `CONTAINER_ID_FULL=${id}`,
    `_UID=${process.getuid!()}`,
  ];
}

/**
 * @returns a time in journalctl's form. It has microseconds and means the time of receipt, so that as a bound it lets
 * too much through.
 */
function at(time: bigint): string {
  const microseconds = time / 1000n;
  return `@${microseconds / 1_000_000n}.${String(microseconds % 1_000_000n).padStart(6, '0')}`;
}

async function* wholeLines(stream: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  let held = '';
  let skipping = false;
  for await (const chunk of stream) {
    const lines = (held + chunk.toString('utf8')).split('\n');
    held = lines.pop()!;
    if (skipping && lines.length > 0) lines.shift();
    skipping &&= lines.length === 0;
    if (held.length > MAX_LINE) {
      held = '';
      skipping = true;
    }
    yield lines;
  }
}

/**
 * Parses one object of `journalctl -o json`, in which a value that is not UTF-8 is a list of bytes.
 * @returns undefined for a line that is no entry
 */
export function parseJournalEntry(line: string): LogEntry | undefined {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof fields !== 'object' || fields === null) return undefined;
  const message = bytesOf(fields['MESSAGE']);
  if (!message) return undefined;
  const end = fields['CONTAINER_PARTIAL_MESSAGE'] === 'true' ? '' : '\n';
  const text = message.toString('utf8') + end;
  const attributes = Object.fromEntries(
    Object.entries(fields).filter(
      ([key, value]) => typeof value === 'string' && !/^(_|CONTAINER_|IMAGE_NAME$)/.test(key) && !OWN_FIELDS.has(key),
    ),
  ) as Record<string, string>;
  return {
    text,
    time: timeOf(fields),
    stream: fields['PRIORITY'] === STDERR_PRIORITY ? 'stderr' : 'stdout',
    ...(text.includes('\ufffd') && { bytes: Buffer.concat([message, Buffer.from(end)]) }),
    ...(Object.keys(attributes).length > 0 && { attributes }),
  };
}

function bytesOf(value: unknown): Buffer | undefined {
  if (typeof value === 'string') return Buffer.from(value);
  return Array.isArray(value) && value.every((byte) => Number.isInteger(byte))
    ? Buffer.from(value as number[])
    : undefined;
}

function timeOf(fields: Record<string, unknown>): string {
  const sent = fields['SYSLOG_TIMESTAMP'];
  if (typeof sent === 'string' && parseRfc3339(sent) !== undefined) return sent;
  const received = fields['__REALTIME_TIMESTAMP'];
  // The journal's own time is in microseconds.
  return rfc3339(typeof received === 'string' && /^\d{1,18}$/.test(received) ? BigInt(received) * 1000n : 0n);
}
