/** Flags of instructions: `--name`, `--name=value`. The table of instructions.ts says which one has which. Pure. */
import { HuskError } from '../../../errors.ts';
import { nearest } from '../../../notation/nearest.ts';

export type FlagKind = 'switch' | 'value' | 'values';

/** What was given: the values of each flag, `true` or `false` for a switch. */
export type Flags = Map<string, string[]>;

const invalid = (message: string) => new HuskError(message, { kind: 'invalid' });

/**
 * Reads flags.
 * @param written words that begin with `--`
 * @throws HuskError `invalid` with Docker's text
 */
export function readFlags(written: readonly string[], known: Readonly<Record<string, FlagKind>>): Flags {
  const flags: Flags = new Map();
  for (const word of written) {
    const [, name, value] = /^--([^=]*)(?:=([^]*))?$/.exec(word)!;
    const kind = Object.hasOwn(known, name!) ? known[name!] : undefined;
    if (kind === undefined) throw invalid(`unknown flag: ${name}${meant(name!, Object.keys(known))}`);
    const before = flags.get(name!);
    if (before && kind !== 'values') throw invalid(`duplicate flag specified: ${name}`);
    const read = kind === 'switch' ? switchValue(name!, value) : valueOf(name!, value);
    if (before) before.push(read);
    else flags.set(name!, [read]);
  }
  return flags;
}

/** @returns ` (did you mean x?)` for a word that is near one of those known; else nothing */
export function meant(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === undefined || near === word ? '' : ` (did you mean ${near}?)`;
}

function valueOf(name: string, value: string | undefined): string {
  if (value === undefined) throw invalid(`missing a value on flag: ${name}`);
  return value;
}

function switchValue(name: string, value: string | undefined): string {
  if (value === '') throw invalid(`missing a value on flag: ${name}`);
  const lower = value?.toLowerCase() ?? 'true';
  if (lower !== 'true' && lower !== 'false') throw invalid(`expecting boolean value for flag ${name}, not: ${value}`);
  return lower;
}
