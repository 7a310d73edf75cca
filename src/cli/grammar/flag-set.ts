/**
 * Docker's flag grammar (that of the Go package pflag): `-it`, `-p80:80`, `-e=A`, `--name x`, `--name=x`, `--rm=false`,
 * `--`. This module turns words into typed values and arguments; it has no effects and knows no command.
 */
import { HuskError } from '../../errors.ts';
import type { Flag } from './flag.ts';
import { goQuote } from '../../notation/quoting.ts';
import { parseBool } from '../../notation/scalars.ts';
import { EMPTY_VALUES, parseFlagValue, type FlagValue } from './values.ts';
import { nearest } from '../../notation/nearest.ts';

/** An error for words that do not fit the flags; the message is Docker's to the letter. */
export class FlagError extends Error {
  override name = 'FlagError';
  /** the flag that was perhaps meant */
  readonly suggestion: string | undefined;

  constructor(message: string, suggestion?: string) {
    super(message);
    this.suggestion = suggestion;
  }
}

/** Thrown for `--help` (or `-h` where no flag has that letter); the words after it are not parsed. */
export class HelpRequest extends Error {}

/** The values of one invocation. A flag that the command does not have is a bug, and throws. */
export class FlagSet {
  readonly #flags: Map<string, Flag>;
  readonly #values = new Map<string, FlagValue>();
  readonly #changed = new Set<string>();

  constructor(flags: readonly Flag[], env: NodeJS.ProcessEnv = {}) {
    this.#flags = new Map(flags.map((flag) => [flag.name, flag]));
    for (const flag of flags) {
      if (flag.env !== undefined && env[flag.env])
        this.#values.set(flag.name, parseFlagValue(flag, env[flag.env]!, undefined, env));
    }
  }

  set(flag: Flag, text: string, env: NodeJS.ProcessEnv): void {
    const previous = this.#changed.has(flag.name) ? this.#values.get(flag.name) : undefined;
    this.#values.set(flag.name, parseFlagValue(flag, text, previous, env));
    this.#changed.add(flag.name);
  }

  /** @returns whether the flag was typed */
  changed(name: string): boolean {
    this.#find(name);
    return this.#changed.has(name);
  }

  /** @returns whether the command has such a flag */
  has(name: string): boolean {
    return this.#flags.has(name);
  }

  bool(name: string): boolean {
    const value = this.#get(name);
    return typeof value === 'boolean' ? value : value === undefined ? false : parseBool(String(value));
  }

  string(name: string): string {
    const value = this.#get(name);
    return value === undefined ? '' : String(value);
  }

  /** @returns undefined for a flag that is neither typed nor has a default, and for an empty string */
  optional(name: string): string | undefined {
    return this.string(name) || undefined;
  }

  number(name: string): number | undefined {
    const value = this.#get(name);
    return value === undefined ? undefined : Number(value);
  }

  /** @returns every value, in order; also for `map` flags */
  list(name: string): string[] {
    const value = this.#get(name);
    return Array.isArray(value) ? (value as string[]) : [];
  }

  /** @returns values that a flag type of its own has made (ulimit, mount) */
  items<T>(name: string): T[] {
    const value = this.#get(name);
    return Array.isArray(value) ? (value as T[]) : [];
  }

  #find(name: string): Flag {
    const flag = this.#flags.get(name);
    if (!flag) throw new Error(`this command has no flag --${name}`);
    return flag;
  }

  #get(name: string): FlagValue | undefined {
    const flag = this.#find(name);
    return this.#values.get(name) ?? flag.default ?? EMPTY_VALUES[flag.type];
  }
}

/**
 * Parses words against flags.
 * @param options.interspersed false where the first argument ends the flags
 * @throws FlagError with pflag's texts; HelpRequest for `--help`
 */
export function parseFlags(
  flags: readonly Flag[],
  words: readonly string[],
  options: { interspersed: boolean; env: NodeJS.ProcessEnv },
): { flags: FlagSet; arguments: string[] } {
  const set = new FlagSet(flags, options.env);
  const byName = new Map<string, Flag>();
  const byShort = new Map<string, Flag>();
  for (const flag of flags) {
    byName.set(flag.name, flag);
    for (const alias of flag.aliases ?? []) byName.set(alias, flag);
    if (flag.short !== undefined) byShort.set(flag.short, flag);
  }
  const positional: string[] = [];
  let index = 0;
  const store = (flag: Flag, text: string): void => {
    try {
      set.set(flag, text, options.env);
    } catch (error) {
      // A HuskError is no error of spelling, so it keeps its text.
      if (error instanceof HuskError) throw error;
      const spelled = flag.short === undefined ? `--${flag.name}` : `-${flag.short}, --${flag.name}`;
      throw new FlagError(`invalid argument ${goQuote(text)} for "${spelled}" flag: ${(error as Error).message}`);
    }
  };
  const next = (problem: string): string => {
    const word = words[index++];
    if (word === undefined) throw new FlagError(problem);
    return word;
  };

  while (index < words.length) {
    const word = words[index++]!;
    if (word.length < 2 || word[0] !== '-') {
      positional.push(word);
      if (options.interspersed) continue;
      positional.push(...words.slice(index));
      break;
    }
    if (word === '--') {
      positional.push(...words.slice(index));
      break;
    }
    if (word.startsWith('--')) {
      parseLong(word);
    } else {
      parseShort(word.slice(1));
    }
  }
  return { flags: set, arguments: positional };

  function parseLong(word: string): void {
    const body = word.slice(2);
    if (body === '' || body[0] === '-' || body[0] === '=') throw new FlagError(`bad flag syntax: ${word}`);
    const equals = body.indexOf('=');
    const name = equals === -1 ? body : body.slice(0, equals);
    const flag = byName.get(name);
    if (!flag) {
      if (name === 'help') throw new HelpRequest();
      const meant = nearest(
        name,
        flags.filter((each) => !each.hidden).map((each) => each.name),
      );
      throw new FlagError(`unknown flag: --${name}`, meant === undefined ? undefined : `--${meant}`);
    }
    if (equals !== -1) store(flag, body.slice(equals + 1));
    else if (flag.type === 'bool') store(flag, 'true');
    else store(flag, next(`flag needs an argument: --${name}`));
  }

  function parseShort(letters: string): void {
    let rest = letters;
    while (rest !== '') {
      const letter = [...rest][0]!;
      const flag = byShort.get(letter);
      if (!flag) {
        if (letter === 'h') throw new HelpRequest();
        throw new FlagError(`unknown shorthand flag: '${letter}' in -${rest}`);
      }
      const after = rest.slice(letter.length);
      if (after.length > 1 && after[0] === '=') {
        store(flag, after.slice(1));
        return;
      }
      if (flag.type === 'bool') {
        store(flag, 'true');
        rest = after;
        continue;
      }
      store(flag, after === '' ? next(`flag needs an argument: '${letter}' in -${rest}`) : after);
      return;
    }
  }
}
