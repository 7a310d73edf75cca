/**
 * A JSON object of a request's body, read field by field as Go's decoder reads one: a name counts in any case, null is
 * absent, a wrong type is an error that names the field. Everything here is hostile: no text may have a NUL, at which
 * the kernel would end it, and lists are bounded. Pure.
 */
import { HuskError } from '../../errors.ts';

/** entries of a list or a map; the longest that clients send are some hundred variables */
const MAX_ENTRIES = 10_000;
/** characters of a value that an error repeats */
const SHOWN = 60;

export class BodyFields {
  /** path of the object in the body, for errors: `HostConfig.LogConfig`; '' for the body itself */
  readonly where: string;
  readonly #values = new Map<string, unknown>();

  /** @throws HuskError `invalid` for what is no object */
  constructor(value: unknown, where = '') {
    this.where = where;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw wrongType(where === '' ? 'the body' : where, 'an object', value);
    for (const [name, item] of Object.entries(value))
      if (item !== null && item !== undefined) this.#values.set(name.toLowerCase(), item);
  }

  /** @returns whether something is asked: not absent, and none of Go's zero values */
  asks(name: string): boolean {
    return !isZero(this.#get(name));
  }

  has(name: string): boolean {
    return this.#get(name) !== undefined;
  }

  /** @returns '' where it is absent */
  text(name: string): string {
    return this.#read(name, 'a string', isText) ?? '';
  }

  /** @returns undefined where it is absent or empty */
  optional(name: string): string | undefined {
    return this.text(name) || undefined;
  }

  flag(name: string): boolean {
    return this.#read(name, 'true or false', isFlag) ?? false;
  }

  /** @returns 0 where it is absent */
  integer(name: string): number {
    return this.optionalInteger(name) ?? 0;
  }

  /** @returns undefined where it is absent; 0 is a value */
  optionalInteger(name: string): number | undefined {
    return this.#read(name, 'a whole number', isInteger);
  }

  /** @returns undefined where it is absent or 0 */
  positive(name: string): number | undefined {
    return this.integer(name) || undefined;
  }

  /** @returns [] where it is absent */
  texts(name: string): string[] {
    return this.#read(name, 'a list of strings', isTexts) ?? [];
  }

  /** A list for which one string may stand. @returns undefined where it is absent */
  words(name: string): string[] | undefined {
    const value = this.#get(name);
    return typeof value === 'string' ? [this.text(name)] : value === undefined ? undefined : this.texts(name);
  }

  textLists(name: string): string[][] {
    return this.#read(name, 'a list of lists of strings', isTextLists) ?? [];
  }

  integers(name: string): number[] {
    return this.#read(name, 'a list of whole numbers', isIntegers) ?? [];
  }

  /** @returns {} where it is absent */
  map(name: string): Record<string, string> {
    const entries = this.#entries(name);
    const wrong = entries.find(([, value]) => !isText(value));
    if (wrong) throw wrongType(this.path(`${name}[${shown(wrong[0])}]`), 'a string', wrong[1]);
    return Object.fromEntries(entries) as Record<string, string>;
  }

  /** @returns the names of a map whose values say nothing: `{"80/tcp": {}}` */
  names(name: string): string[] {
    return this.#entries(name).map(([key]) => key);
  }

  object(name: string): BodyFields | undefined {
    const value = this.#get(name);
    return value === undefined ? undefined : new BodyFields(value, this.path(name));
  }

  objects(name: string): BodyFields[] {
    return (this.#read(name, 'a list', isList) ?? []).map(
      (item, index) => new BodyFields(item, this.path(`${name}[${index}]`)),
    );
  }

  /** A map of objects, of which each may be null. */
  named(name: string): [key: string, value: BodyFields | undefined][] {
    return this.#entries(name).map(([key, value]) => [
      key,
      value === null ? undefined : new BodyFields(value, this.path(`${name}[${shown(key)}]`)),
    ]);
  }

  /** A map of lists of objects, of which each may be null. */
  lists(name: string): [key: string, values: BodyFields[]][] {
    return this.#entries(name).map(([key, value]) => [
      key,
      new BodyFields({ list: value }, this.path(`${name}[${shown(key)}]`)).objects('list'),
    ]);
  }

  /** @returns how a field is called in an error */
  path(name: string): string {
    return this.where === '' ? name : `${this.where}.${name}`;
  }

  #get(name: string): unknown {
    return this.#values.get(name.toLowerCase());
  }

  #read<T>(name: string, type: string, fits: (value: unknown) => value is T): T | undefined {
    const value = this.#get(name);
    if (value === undefined || fits(value)) return value;
    throw wrongType(this.path(name), type, value);
  }

  #entries(name: string): [string, unknown][] {
    const value = this.#get(name);
    if (value === undefined) return [];
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw wrongType(this.path(name), 'an object', value);
    const entries = Object.entries(value);
    if (entries.length > MAX_ENTRIES || entries.some(([key]) => key.includes('\0')))
      throw wrongType(this.path(name), `an object of at most ${MAX_ENTRIES} names without NUL`, value);
    return entries;
  }
}

/** @returns whether a value of JSON is what Go has where nothing was said: "", 0, false, null, [], {} */
function isZero(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === '' || value === 0 || value === false;
}

const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);
const isList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length <= MAX_ENTRIES;
const isTexts = (value: unknown): value is string[] => isList(value) && value.every(isText);
const isTextLists = (value: unknown): value is string[][] => isList(value) && value.every(isTexts);
const isIntegers = (value: unknown): value is number[] => isList(value) && value.every(isInteger);

function wrongType(path: string, type: string, value: unknown): HuskError {
  return new HuskError(`invalid JSON: ${path} must be ${type}, not ${shown(value)}`, { kind: 'invalid' });
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
