/**
 * Forms of instructions: a joined line becomes a name, flags and arguments. Which form an instruction has says the
 * table of instructions.ts; what the arguments mean is not known here. These functions are pure.
 *
 * Source: the Dockerfile reference § Shell and exec form; BuildKit's syntax trees stand in
 * test/images/build/corpus/parser.
 */
import { HuskError } from '../../../errors.ts';
import { goQuote } from '../../../notation/quoting.ts';
import { splitWords, type Escape } from './words.ts';

/** characters of a word that an error shows */
const MAX_SHOWN = 200;

export interface Arguments {
  args: string[];
  /** whether they were written as a JSON array */
  json: boolean;
  /** of `NAME value`, the old form of ENV and LABEL */
  legacy?: boolean;
}

export type Form =
  /** the whole rest is one argument */
  | 'text'
  /** words between blanks, quotes mean nothing */
  | 'blanks'
  /** words between blanks outside quotes */
  | 'words'
  /** a JSON array, or the whole rest as one argument */
  | 'command'
  /** a JSON array, or words between blanks */
  | 'paths'
  /** `NAME=value …` or `NAME value`: three arguments each, the name, the value, and `=` or nothing */
  | 'pairs'
  /** a word, then as `command` */
  | 'health'
  /** another instruction */
  | 'instruction';

const invalid = (message: string, fix?: string) => new HuskError(message, { kind: 'invalid', fix });

/** Splits a line into the instruction's word, its flags, and the rest. */
export function splitInstruction(line: string): { word: string; flags: string[]; rest: string } {
  const [, word, behind] = /^([^\t\v\f\r ]*)[\t\v\f\r ]*([^]*)$/.exec(line.trim())!;
  const { flags, rest } = leadingFlags(behind!);
  return { word: word!, flags, rest: rest.trim() };
}

/** Reads words that begin with `--`, up to `--` alone or the first other word. Quotes and backslashes are resolved. */
function leadingFlags(text: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && /\s/.test(text[at]!)) at++;
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at) };
    let word = '';
    let quote = '';
    for (; at < text.length; at++) {
      const character = text[at]!;
      if (quote === '' && /\s/.test(character)) break;
      if (character === '\\') word += text[++at] ?? '';
      else if (character === quote) quote = '';
      else if (quote === '' && (character === '"' || character === "'")) quote = character;
      else word += character;
    }
    if (word === '--') return { flags, rest: text.slice(at) };
    flags.push(word);
  }
}

/**
 * Reads arguments in an instruction's form; `instruction` is not for here.
 * @throws HuskError `invalid` with Docker's text
 */
export function readArguments(
  form: Exclude<Form, 'instruction'>,
  rest: string,
  name: string,
  escape: Escape,
): Arguments {
  if (rest === '') return { args: [], json: false };
  switch (form) {
    case 'text':
      return { args: [rest], json: false };
    case 'blanks':
      return { args: blanks(rest), json: false };
    case 'words':
      return { args: splitWords(rest, escape), json: false };
    case 'command':
      return jsonArguments(rest) ?? { args: [rest], json: false };
    case 'paths':
      return jsonArguments(rest) ?? { args: blanks(rest), json: false };
    case 'pairs':
      return pairs(rest, name, escape);
    case 'health': {
      const [, type, command] = /^(\S+)\s*([^]*)$/.exec(rest)!;
      const read = command === '' ? { args: [], json: false } : readArguments('command', command!, name, escape);
      return { args: [type!, ...read.args], json: read.json };
    }
  }
}

const blanks = (text: string) => text.split(/[\t\v\f\r ]+/);

/** @returns undefined when the text is no JSON array: it is the shell form then */
function jsonArguments(text: string): Arguments | undefined {
  if (!text.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (!value.every((item) => typeof item === 'string'))
    throw invalid('when using JSON array syntax, arrays must be comprised of strings only');
  return { args: value, json: true };
}

function pairs(rest: string, name: string, escape: Escape): Arguments {
  const words = splitWords(rest, escape);
  if (words.length === 0) return { args: [], json: false };
  if (!words[0]!.includes('=')) {
    const [, key, value] = /^([^\t\v\f\r ]*)(?:[\t\v\f\r ]+([^]*))?$/.exec(rest)!;
    if (value === undefined) throw invalid(`${name} must have two arguments`);
    return { args: [key!, value, ''], json: false, legacy: true };
  }
  const args = words.flatMap((word) => {
    const equals = word.indexOf('=');
    if (equals === -1)
      throw invalid(
        `Syntax error - can't find = in ${goQuote(word.slice(0, MAX_SHOWN))}. Must be of the form: name=value`,
        word.startsWith('#') ? 'put the comment on a line of its own' : undefined,
      );
    return [word.slice(0, equals), word.slice(equals + 1), '='];
  });
  return { args, json: false };
}
