/**
 * The internal program `files JSON`: answers one FilesRequest as root of the container's user namespace, before whose
 * eyes its starter has put the folders. Bytes out by stdout, a tar in by stdin, both blocking, which is the
 * back-pressure; a failure is one line of JSON on stderr.
 */
import { readFileSync, readSync, writeSync } from 'node:fs';
import { HuskError, systemError } from '../../errors.ts';
import { SyscallError } from '../../host/libc.ts';
import type { FilesRequest } from '../../sandbox.ts';
import { parseStat } from '../processes/tree.ts';
import { answer, header, receiver, type FilesPlaces } from './answer.ts';

export interface FilesJob {
  request: FilesRequest;
  places: FilesPlaces;
  /** whose / is looked at: if the pid is another process's by now, that process's files must not be */
  process?: { pid: number; startTime: string };
}

/** bytes read at once */
const CHUNK = 256 << 10;

export async function main([text = '']: string[]): Promise<number> {
  try {
    process.umask(0);
    run(JSON.parse(text) as FilesJob);
    return 0;
  } catch (error) {
    // whoever read has had enough
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') writeSync(2, `${JSON.stringify(failureOf(error))}\n`);
    return 1;
  }
}

function run({ request, places, process: whose }: FilesJob): void {
  if (request.op !== 'extract') {
    let checked = whose === undefined;
    for (const piece of answer(request, places)) {
      // the first piece comes when the folder is open: from there on it stays the same, whatever becomes of the pid
      if (!checked) check(whose!);
      checked = true;
      write(piece);
    }
    return;
  }
  const unpacker = receiver(request, { ...places, devices: false });
  try {
    if (whose) check(whose);
    write(header({}));
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (let length = readSync(0, buffer); length > 0; length = readSync(0, buffer))
      unpacker.push(buffer.subarray(0, length));
    unpacker.end();
  } finally {
    unpacker.close();
  }
}

function check({ pid, startTime }: NonNullable<FilesJob['process']>): void {
  let now: string | undefined;
  try {
    now = parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.startTime;
  } catch {
    // gone
  }
  if (now !== startTime) throw new HuskError('the container ended meanwhile', { kind: 'conflict' });
}

function write(bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
}

/** what a failure is told as, to the other side of a pipe or of a VM's wall */
export function failureOf(error: unknown): { message: string; kind: HuskError['kind'] } {
  if (error instanceof HuskError) return { message: error.message, kind: error.kind };
  const refused = systemError(error);
  const path = error instanceof SyscallError ? error.path : (error as NodeJS.ErrnoException).path;
  if (refused)
    return {
      message: `cannot ${refused.syscall}${path === undefined ? '' : ` ${path}`}: ${refused.text}`,
      kind: 'invalid',
    };
  return { message: error instanceof Error ? (error.stack ?? error.message) : String(error), kind: 'internal' };
}
