/** `build --call`: what is asked of the Dockerfile. Pure. */
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { parseCsvRecord } from '../notation/quoting.ts';
import { parseBool } from '../notation/scalars.ts';
import type { FlagSet } from './grammar/flag-set.ts';

const METHODS = ['build', 'check', 'outline', 'targets'] as const;

export interface BuildCall {
  method: (typeof METHODS)[number];
  /** whether the answer is JSON. @default false */
  json: boolean;
  /** whether warnings are exit code 0 too. @default false */
  ignoreStatus: boolean;
}

const wrong = (message: string): HuskError => new HuskError(message, { kind: 'invalid', exitCode: EXIT_HUSK_FAILED });

/**
 * Reads `--call METHOD[,format=json][,ignorestatus=BOOL]`, its old name `--print`, and `--check`.
 * @throws HuskError with the exit code of a wrong flag
 */
export function buildCall(flags: FlagSet): BuildCall {
  // As in buildx, one value is set by three flags: the check goes before what the others say.
  if (flags.bool('check')) return { ...readCall(flags.string('call')), method: 'check' };
  return readCall(flags.string('print') || flags.string('call'));
}

function readCall(text: string): BuildCall {
  const call: BuildCall = { method: 'build', json: false, ignoreStatus: false };
  let method: string | undefined;
  for (const field of text === '' ? [] : fieldsOf(text)) {
    const [key, value] = field.split(/=(.*)/s) as [string, string | undefined];
    if (value === undefined && method !== undefined) throw wrong(`--call: invalid print value: ${text}`);
    if (value === undefined) method = field;
    else if (key === 'format') call.json = isJson(value);
    else if (key === 'ignorestatus') call.ignoreStatus = bool(value);
    else throw wrong(`--call: invalid print field: ${field}`);
  }
  // The name that the frontend knows the check by.
  const known = METHODS.find((each) => each === (method === 'lint' ? 'check' : (method ?? 'build')));
  if (known === undefined) throw wrong(`--call: ${JSON.stringify(method)} is none of ${METHODS.join(', ')}`);
  return { ...call, method: known };
}

function fieldsOf(text: string): string[] {
  try {
    return parseCsvRecord(text);
  } catch (error) {
    throw wrong(`--call: ${JSON.stringify(text)}: ${(error as Error).message}`);
  }
}

function isJson(value: string): boolean {
  if (value !== '' && value !== 'text' && value !== 'json')
    throw wrong(`--call: format=${JSON.stringify(value)} is none of text, json`);
  return value === 'json';
}

function bool(value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw wrong(`--call: invalid ignorestatus print value: ${value}`);
  }
}
