/** Go's fmt for templates: Sprint, Sprintf and the printing of values. The functions are pure; widths are bounded. */
import { entriesOf, GoValue, indirect, isNil, itemsOf, shownFields, textOf, typeOf, underlying } from './go-value.ts';
import { isObject, typeName } from './values.ts';
import { goQuote } from '../../notation/quoting.ts';

/** limit of widths and precisions, which Go has too (fmt: tooLarge) */
const MAX_WIDTH = 1_000_000;
/** limit of nested values that are printed */
const MAX_DEPTH = 64;

/** Formats a value as %v does. */
export function formatValue(value: unknown, verb: 'v' | '+' | '#' = 'v', depth = 0): string {
  if (depth > MAX_DEPTH) return '...';
  if (value === null || value === undefined) return '<nil>';
  if (typeof value === 'string') return verb === '#' ? goQuote(value) : value;
  if (typeof value === 'number') return formatNumber(value);
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'function') return '0x0';
  if (value instanceof GoValue) return formatGoValue(value, verb, depth);
  if (Array.isArray(value)) {
    const items = value.map((item) => formatValue(item, verb, depth + 1));
    return verb === '#' ? `[]string{${items.join(', ')}}` : `[${items.join(' ')}]`;
  }
  const entries = entriesOf(
    value instanceof Map
      ? value
      : new Map(Object.entries(value as object).filter(([, item]) => typeof item !== 'function')),
  )!;
  return verb === '#'
    ? `map[string]interface {}{${entries.map(([key, item]) => `${goQuote(String(key))}:${formatValue(item, verb, depth + 1)}`).join(', ')}}`
    : `map[${entries.map(([key, item]) => `${String(key)}:${formatValue(item, verb, depth + 1)}`).join(' ')}]`;
}

/** Formats a GoValue. Where Go prints the address in a pointer, this prints what the pointer leads to. */
function formatGoValue(value: GoValue, verb: 'v' | '+' | '#', depth: number): string {
  const plain = underlying(value);
  const text = verb === '#' ? undefined : textOf(value);
  if (text !== undefined) return text;
  if (!(plain instanceof GoValue)) return formatValue(plain, verb, depth);
  const inner = (item: unknown): string => formatValue(item, verb, depth + 1);
  const name = verb === '#' ? typeOf(value) : '';
  const brace = (members: string[]): string =>
    verb === '#' ? `${name}{${members.join(', ')}}` : `{${members.join(' ')}}`;
  if (value.type.kind === 'pointer') {
    if (isNil(value)) return verb === '#' ? `(${name})(nil)` : '<nil>';
    const target = indirect(value);
    return `${target instanceof GoValue && target.type.kind === 'struct' && depth === 0 ? '&' : ''}${formatValue(target, verb, depth)}`;
  }
  if (value.type.kind === 'struct')
    return brace(
      shownFields(value).map((field) => (verb === 'v' ? inner(field.value) : `${field.name}:${inner(field.value)}`)),
    );
  if (verb === '#' && isNil(value)) return `${name}(nil)`;
  const items = itemsOf(value)?.map(inner);
  if (items) return verb === '#' ? brace(items) : `[${items.join(' ')}]`;
  const entries = entriesOf(value)!.map(([key, item]) => `${inner(key)}:${inner(item)}`);
  return verb === '#' ? brace(entries) : `map[${entries.join(' ')}]`;
}

/** Formats a number: whole numbers as they are, others as %g with the shortest exponent form. */
function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return String(Object.is(value, -0) ? 0 : value);
  return goFloat(value, 'g', -1);
}

/** Sprint: adds a space between two operands when neither is a string. */
export function sprint(values: readonly unknown[]): string {
  return values
    .map(
      (value, index) =>
        (index > 0 && typeof value !== 'string' && typeof values[index - 1] !== 'string' ? ' ' : '') +
        formatValue(value),
    )
    .join('');
}

interface Directive {
  flags: Set<string>;
  width: number | undefined;
  precision: number | undefined;
}

export function sprintf(format: string, values: readonly unknown[]): string {
  let output = '';
  let next = 0;
  let reordered = false;
  let index = 0;
  while (index < format.length) {
    const percent = format.indexOf('%', index);
    if (percent === -1) {
      output += format.slice(index);
      break;
    }
    output += format.slice(index, percent);
    const match = /^%([-+# 0]*)(?:\[(\d+)\])?(\*|\d+)?(?:\.(\*|\d*))?(?:\[(\d+)\])?([\s\S])?/u.exec(
      format.slice(percent),
    )!;
    index = percent + match[0].length;
    const directive: Directive = { flags: new Set(match[1]), width: undefined, precision: undefined };
    for (const explicit of [match[2], match[5]]) {
      if (explicit === undefined) continue;
      reordered = true;
      next = Number(explicit) - 1;
    }
    const star = (): number | undefined => {
      const value = values[next++];
      return typeof value === 'number' && Number.isInteger(value) ? value : undefined;
    };
    directive.width = match[3] === '*' ? star() : match[3] === undefined ? undefined : Number(match[3]);
    if (match[3] === '*' && directive.width === undefined) output += '%!(BADWIDTH)';
    if (directive.width !== undefined && directive.width < 0) {
      directive.flags.add('-');
      directive.width = -directive.width;
    }
    directive.precision = match[4] === '*' ? star() : match[4] === undefined ? undefined : Number(match[4]);
    if ((directive.width ?? 0) > MAX_WIDTH || (directive.precision ?? 0) > MAX_WIDTH) {
      output += '%!(BADWIDTH)';
      directive.width = directive.precision = undefined;
    }
    const verb = match[6];
    if (verb === undefined) {
      output += '%!(NOVERB)';
      break;
    }
    if (verb === '%') {
      output += '%';
      continue;
    }
    if (next < 0 || (reordered && next >= values.length)) {
      output += `%!${verb}(BADINDEX)`;
      continue;
    }
    if (next >= values.length) {
      output += `%!${verb}(MISSING)`;
      continue;
    }
    output += one(verb, directive, values[next++]);
  }
  if (!reordered && next < values.length) {
    output += `%!(EXTRA ${values
      .slice(next)
      .map((value) => (value === null || value === undefined ? '<nil>' : `${typeName(value)}=${formatValue(value)}`))
      .join(', ')})`;
  }
  return output;
}

/** Formats one verb; lists and maps are formatted item by item, as in Go. */
function one(verb: string, directive: Directive, value: unknown): string {
  if (verb === 'T') return pad(typeName(value), directive);
  if (verb === 'v')
    return pad(
      formatValue(value, directive.flags.has('#') ? '#' : directive.flags.has('+') ? '+' : 'v'),
      numeric(value) ? directive : { ...directive, flags: without(directive.flags, '0') },
    );
  if (value === null || value === undefined) return pad(`%!${verb}(<nil>)`, directive);
  const text = value instanceof GoValue ? textOf(value) : undefined;
  if (text !== undefined && /[sqxX]/.test(verb)) return formatString(verb, directive, text)!;
  const plain = underlying(value);
  if (plain !== value && typeof plain === 'string')
    return formatString(verb, directive, plain) ?? `%!${verb}(${typeName(value)}=${plain})`;
  if (plain !== value) return one(verb, directive, plain);
  const inner = (item: unknown): string => one(verb, directive, item);
  if (value instanceof GoValue && value.type.kind === 'pointer')
    return isNil(value) ? pad(`%!${verb}(${typeOf(value)}=<nil>)`, directive) : `&${inner(indirect(value))}`;
  if (value instanceof GoValue && value.type.kind === 'struct')
    return `{${shownFields(value)
      .map((field) => inner(field.value))
      .join(' ')}}`;
  const items = itemsOf(value);
  if (items && verb !== 'p') return `[${items.map(inner).join(' ')}]`;
  const entries = entriesOf(isObject(value) ? new Map(Object.entries(value)) : value);
  if (entries) return `map[${entries.map(([key, item]) => `${inner(key)}:${inner(item)}`).join(' ')}]`;
  const wrong = (): string => `%!${verb}(${typeName(value)}=${formatValue(value)})`;
  if (typeof value === 'boolean') return verb === 't' ? pad(String(value), directive) : wrong();
  if (typeof value === 'string') return formatString(verb, directive, value) ?? wrong();
  if (typeof value === 'number') return formatNumeric(verb, directive, value) ?? wrong();
  return wrong();
}

function formatString(verb: string, directive: Directive, value: string): string | undefined {
  const cut = directive.precision === undefined ? value : [...value].slice(0, directive.precision).join('');
  const bytes = Buffer.from(
    directive.precision === undefined ? value : Buffer.from(value).subarray(0, directive.precision),
  );
  const separator = directive.flags.has(' ') ? ' ' : '';
  switch (verb) {
    case 's':
      return pad(cut, directive);
    case 'q':
      return pad(
        directive.flags.has('#') && !/[`\x00-\x08\x0a-\x1f\x7f]/.test(cut) ? `\`${cut}\`` : goQuote(cut),
        directive,
      );
    case 'x':
    case 'X': {
      const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(separator);
      return pad(
        (directive.flags.has('#') && hex !== '' ? `0${verb}` : '') + (verb === 'X' ? hex.toUpperCase() : hex),
        directive,
      );
    }
    default:
      return undefined;
  }
}

function formatNumeric(verb: string, directive: Directive, value: number): string | undefined {
  const sign = value < 0 ? '-' : directive.flags.has('+') ? '+' : directive.flags.has(' ') ? ' ' : '';
  const whole = Number.isInteger(value);
  const magnitude = Math.abs(value);
  const radix = { d: 10, b: 2, o: 8, O: 8, x: 16, X: 16 }[verb];
  if (radix !== undefined && whole) {
    let digits = magnitude.toString(radix);
    if (verb === 'X') digits = digits.toUpperCase();
    if (directive.precision !== undefined)
      digits = value === 0 && directive.precision === 0 ? '' : digits.padStart(directive.precision, '0');
    const prefix =
      verb === 'O' ? '0o' : directive.flags.has('#') ? { b: '0b', o: '0', x: '0x', X: '0X', d: '' }[verb as 'b'] : '';
    return pad(
      sign + prefix + digits,
      directive.precision === undefined ? directive : { ...directive, flags: without(directive.flags, '0') },
    );
  }
  if (verb === 'c' && whole) return pad(character(value), directive);
  if (verb === 'q' && whole) return pad(`'${character(value).replace(/['\\]/, '\\$&')}'`, directive);
  if (verb === 'U' && whole) return pad(`U+${magnitude.toString(16).toUpperCase().padStart(4, '0')}`, directive);
  if (!whole && /^[eEfFgG]$/.test(verb))
    return pad(
      sign + goFloat(magnitude, verb.replace('F', 'f') as 'e', directive.precision ?? (/[gG]/.test(verb) ? -1 : 6)),
      directive,
    );
  return undefined;
}

const character = (code: number): string => (code >= 0 && code <= 0x10ffff ? String.fromCodePoint(code) : '\uFFFD');

/**
 * Formats %e, %f, %g as Go does: exponents have at least two digits, and the shortest %g switches at 1e6, as in
 * strconv.
 */
function goFloat(value: number, verb: 'e' | 'E' | 'f' | 'g' | 'G', precision: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  const exponentForm = (text: string): string => text.replace(/e([+-])(\d)$/, 'e$10$2');
  let text: string;
  if (verb === 'f') text = value.toFixed(Math.min(precision, 100));
  else if (verb === 'e' || verb === 'E') text = exponentForm(value.toExponential(Math.min(precision, 100)));
  else {
    const exponent = Number(value.toExponential().split('e')[1]);
    const limit = precision === -1 ? 6 : Math.max(precision, 1);
    const digits = precision === -1 ? String(value) : value.toPrecision(Math.min(Math.max(precision, 1), 100));
    text =
      exponent < -4 || exponent >= limit
        ? exponentForm(precision === -1 ? value.toExponential() : String(Number(digits).toExponential()))
        : precision === -1
          ? value.toString()
          : String(Number(digits));
  }
  return /[EG]/.test(verb) ? text.toUpperCase() : text;
}

const numeric = (value: unknown): boolean => typeof value === 'number';
const without = (flags: Set<string>, flag: string): Set<string> => new Set([...flags].filter((each) => each !== flag));

function pad(text: string, { flags, width }: Directive): string {
  if (width === undefined) return text;
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.has('-')) return text + ' '.repeat(missing);
  if (!flags.has('0')) return ' '.repeat(missing) + text;
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}
