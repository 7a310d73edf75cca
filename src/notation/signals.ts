/**
 * Signal names and numbers of Linux on x86-64 and arm64 (signal(7)), and Docker's error texts for others. Source: linux
 * include/uapi/asm-generic/signal.h; the parser accepts what moby's signal package accepts.
 */
import { HuskError } from '../errors.ts';

const NAMES = [
  'HUP',
  'INT',
  'QUIT',
  'ILL',
  'TRAP',
  'ABRT',
  'BUS',
  'FPE',
  'KILL',
  'USR1',
  'SEGV',
  'USR2',
  'PIPE',
  'ALRM',
  'TERM',
  'STKFLT',
  'CHLD',
  'CONT',
  'STOP',
  'TSTP',
  'TTIN',
  'TTOU',
  'URG',
  'XCPU',
  'XFSZ',
  'VTALRM',
  'PROF',
  'WINCH',
  'IO',
  'PWR',
  'SYS',
] as const;

/** SIGRTMIN as programs see it: glibc uses 32 and 33 itself */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

const BY_NAME = new Map<string, number>(NAMES.map((name, index) => [name, index + 1]));
for (const [alias, name] of [
  ['IOT', 'ABRT'],
  ['CLD', 'CHLD'],
  ['POLL', 'IO'],
  ['UNUSED', 'SYS'],
] as const)
  BY_NAME.set(alias, BY_NAME.get(name)!);

export const SIGKILL = 9;
/** Docker's stop signal when neither the image nor the command line names one */
export const DEFAULT_STOP_SIGNAL = 'SIGTERM';

/**
 * @param text `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`, `SIGRTMAX-1`
 * @returns 1..64
 * @throws HuskError `invalid` with Docker's text
 */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= SIGRTMAX) return number;
    throw invalid(text);
  }
  const name = text.toUpperCase().replace(/^SIG/, '');
  const plain = BY_NAME.get(name);
  if (plain !== undefined) return plain;
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime) {
    const offset = Number(realTime[3] ?? 0) * (realTime[2] === '-' ? -1 : 1);
    const number = (realTime[1] === 'MIN' ? SIGRTMIN : SIGRTMAX) + offset;
    if (number >= SIGRTMIN && number <= SIGRTMAX) return number;
  }
  throw invalid(text);
}

function invalid(text: string): HuskError {
  return new HuskError(`invalid signal: ${text}`, { kind: 'invalid' });
}

/** @returns `SIGTERM`, `SIGRTMIN+3`, or the number as text for a signal without a name */
export function signalName(number: number): string {
  const name = NAMES[number - 1];
  if (name !== undefined) return `SIG${name}`;
  if (number === SIGRTMIN) return 'SIGRTMIN';
  if (number > SIGRTMIN && number <= SIGRTMAX) return `SIGRTMIN+${number - SIGRTMIN}`;
  return String(number);
}
