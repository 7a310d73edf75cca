/**
 * What the lint has to say: warnings are collected while a file is planned, those of rules that are skipped left out.
 * `# check=skip=A,B;error=true` at the top is for the file, a comment `# check=skip=A` for the instruction below it.
 */
import { HuskError } from '../../../errors.ts';
import { nearest } from '../../../notation/nearest.ts';
import { goQuote } from '../../../notation/quoting.ts';
import { parseBool } from '../../../notation/scalars.ts';
import { BuildError, type LintWarning, type SourceRange } from '../operations.ts';
import { EXPERIMENTAL, RULES, ruleUrl, type Rule } from './rules.ts';

/** Warnings of a file; a stage that is a thousand lines of the same fault says enough by then. */
const MAX_WARNINGS = 1000;
/** words that a misspelt one is compared with */
const MAX_COMPARED = 100;
/** characters of a text that an error shows */
const MAX_SHOWN = 100;

interface Settings {
  /** names, or `all` */
  skip: Set<string>;
  experimental: Set<string>;
  error: boolean;
}

/**
 * Reads the value of `# check=`.
 * @throws HuskError `invalid`
 */
function readCheck(text: string): Settings {
  const settings: Settings = { skip: new Set(), experimental: new Set(), error: false };
  for (const part of text.split(';')) {
    if (part.trim() === '') continue;
    const equals = part.indexOf('=');
    const [key, value] = [part.slice(0, Math.max(equals, 0)).trim(), part.slice(equals + 1).trim()];
    if (key === 'skip' || key === 'experimental') for (const name of value.split(',')) settings[key].add(name.trim());
    else if (key === 'error') settings.error = booleanOf(value);
    else throw new HuskError(`invalid check option ${goQuote(part.slice(0, MAX_SHOWN))}`, { kind: 'invalid' });
  }
  return settings;
}

function booleanOf(value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new HuskError(`failed to parse check option: error=${value.slice(0, MAX_SHOWN)}`, { kind: 'invalid' });
  }
}

export class Lint {
  readonly #settings: Settings;
  readonly #warnings: LintWarning[] = [];

  constructor(check = '') {
    this.#settings = readCheck(check);
  }

  /**
   * Warns, unless the rule is skipped for the file or by a comment above the instruction.
   * @param message a function where it costs something to find the words
   */
  warn(rule: Rule, range: SourceRange, message: string | (() => string), comments: readonly string[] = []): void {
    const { skip, experimental } = this.#settings;
    if (this.#warnings.length >= MAX_WARNINGS) return;
    if (skip.has('all') || skip.has(rule) || skippedBy(comments, rule)) return;
    if (EXPERIMENTAL.has(rule) && !experimental.has('all') && !experimental.has(rule)) return;
    const text = typeof message === 'string' ? message : message();
    this.#warnings.push({ rule, message: text, description: RULES[rule].description, url: ruleUrl(rule), range });
  }

  /** @returns the warnings in the order of their lines */
  get warnings(): LintWarning[] {
    return this.#warnings.toSorted((one, other) => one.range.start - other.range.start);
  }

  /** @throws BuildError if the file asks that warnings be errors, and there are some */
  throwIfErrors(): void {
    if (!this.#settings.error || this.#warnings.length === 0) return;
    const { warnings } = this;
    const rules = [...new Set(warnings.map(({ rule }) => rule))].toSorted();
    const { range } = warnings[0]!;
    throw new BuildError(`lint violation found for rules: ${rules.join(', ')}`, { kind: 'invalid', range });
  }
}

/** @returns ` (did you mean x?)` for a name that is near one of those known; else nothing */
export function meantName(name: string, known: Iterable<string>, sign = ''): string {
  const near = nearest(name, [...Iterator.from(known).take(MAX_COMPARED)]);
  return near === undefined || near === name ? '' : ` (did you mean ${sign}${near}?)`;
}

function skippedBy(comments: readonly string[], rule: Rule): boolean {
  return comments.some((comment) => {
    const value = /^check\s*=\s*skip\s*=\s*(.*)$/.exec(comment)?.[1];
    return value?.split(',').some((name) => name.trim() === rule || name.trim() === 'all') ?? false;
  });
}
