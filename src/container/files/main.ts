/**
 * The internal program `files JSON`: it answers one FilesRequest as root of the container's user namespace, in a mount
 * namespace where its starter has put the folders. Bytes go out by stdout and a tar comes in by stdin, both blocking,
 * which is the back-pressure; a failure is one line of JSON on stderr.
 */
import { readFileSync, readSync, writeSync } from 'node:fs';
import { HuskError, systemError } from '../../errors.ts';
import { SyscallError } from '../../host/libc.ts';
import type { FilesRequest } from '../../sandbox.ts';
import { parseStat } from '../processes/tree.ts';
import { answer, header, receiver } from './answer.ts';
import type { FilesPlaces } from './request-places.ts';

export interface FilesJob {
  request: FilesRequest;
  places: FilesPlaces;
  /** the process whose / is read: once its pid names another process, that process's files must not be read */
  process?: { pid: number; startTime: string };
}

/** bytes that are read at once */
const CHUNK = 256 << 10;

export async function main([text = '']: string[]): Promise<number> {
  try {
    process.umask(0);
    run(JSON.parse(text) as FilesJob);
    return 0;
  } catch (error) {
    // EPIPE means that the reader has closed the pipe because it needs no more.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') writeSync(2, `${JSON.stringify(failureOf(error))}\n`);
    return 1;
  }
}

function run({ request, places, process: whose }: FilesJob): void {
  if (request.op !== 'extract') {
    let checked = whose === undefined;
    for (const piece of answer(request, places)) {
      // The first piece comes when the folder is open: from then on the folder stays the same, whatever becomes of the
      // pid.
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
    // The process has ended.
  }
  if (now !== startTime) throw new HuskError('the container ended meanwhile', { kind: 'conflict' });
}

function write(bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
}

/** @returns the form in which a failure crosses a pipe or the border of a VM */
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
