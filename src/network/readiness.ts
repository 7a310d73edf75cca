/**
 * How pasta says that it is up, and why it is not: it was told to write its pid to stdout once everything is set
 * up, and its stderr is a file in memory that its keeper has as its own, where whoever finds the keeper reads it.
 */
import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import type { Fd } from '../host/fd.ts';
import { boundedMemfd } from '../host/memory/memfd.ts';

/** its stdout. Not /dev/stdout, which not every /dev has */
export const PID_FILE = '/proc/self/fd/1';
/** of the file in memory */
const NAME = 'husk-keeper-stderr';
/** bytes that are kept of what is said, of all the pastas of a keeper */
const MAX_SAID = 4096;
const STDERR = 2;

/** What a keeper is to have as its stderr. @throws SyscallError */
export const openSaid = (): Fd => boundedMemfd(NAME, MAX_SAID);

/** What pasta said last, which is why there is no way out. @param keeper its pid, which may be another's by now */
export function reasonOfKeeper(keeper: number): string | undefined {
  const path = `/proc/${keeper}/fd/${STDERR}`;
  let fd: number | undefined;
  try {
    // by its name before it is opened: opening anything else may have effects
    if (readlinkSync(path).split(' ')[0] !== `/memfd:${NAME}`) return undefined;
    fd = openSync(path, 'r');
    const bytes = Buffer.alloc(MAX_SAID);
    return reasonOf(bytes.toString('utf8', 0, readSync(fd, bytes, 0, MAX_SAID, 0)));
  } catch {
    return undefined; // it has ended
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * The last line of what was said on stderr, on a terminal harmless; what goes to a missing system logger is of no
 * interest. A line without an end is one that the file was full for, unless it is all there is.
 */
export function reasonOf(said: string): string | undefined {
  const lines = said.replaceAll('\0', '').split('\n');
  const rest = lines.pop()!;
  const isReason = (line: string) => line !== '' && !/syslog|^Don't run as root/.test(line);
  return [rest, ...lines].map((line) => line.replaceAll(/\p{Cc}/gu, ' ').trim()).findLast(isReason);
}
