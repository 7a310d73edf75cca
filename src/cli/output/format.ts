/**
 * `--format` of the lists: `table`, `table TEMPLATE`, `json`, `raw`, `TEMPLATE`, and none. A column's header comes from
 * the list's own names. On a terminal every cell is made printable first.
 */
import { HuskError } from '../../errors.ts';
import type { Output } from '../grammar/command.ts';
import { evaluate } from '../template/evaluate.ts';
import { goRowJson } from '../template/json.ts';
import { parseTemplate, TemplateError, type Template } from '../template/parse.ts';
import { printable } from './printable.ts';
import { table } from './table.ts';

export type Row = Record<string, unknown>;

export interface List {
  /** the format of `--format` or Docker's client config; empty for the default table */
  format: string;
  quiet: boolean;
  /** template of the default table */
  defaultTable: string;
  /** template of what `-q` prints for a row */
  quietTemplate: string;
  /**
   * template of what `--format raw` prints for a row: one line per field, as in Docker. Absent where Docker has none.
   */
  raw?: { template: string; quiet?: string };
  headers: Record<string, string>;
  /** Go's name of the row's type in Docker's client, for error texts */
  rowType: string;
  words?: Words;
}

/** Docker's words and exit codes for a template that does not parse, and for one that cannot be executed. */
export interface Words {
  parse: string;
  execute: string;
  exitCode: number;
}

const WORDS: Words = { parse: 'template parsing error: ', execute: 'template parsing error: ', exitCode: 1 };
/**
 * Words for a template of `ps`, which Docker checks as it was typed before the list does; docker/cli
 * cli/command/container/list.go
 */
export const PS_TYPED_WORDS: Words = { parse: 'failed to parse template: ', execute: '', exitCode: 1 };
export const PS_WORDS: Words = { ...WORDS, execute: 'failed to execute template: ' };
/** words of `inspect`, `info` and `version`; docker/cli StatusError */
export const OBJECT_WORDS: Words = { parse: 'template parsing error: ', execute: '', exitCode: 64 };

/** @throws HuskError `invalid` for a template that does not parse, before anything is printed */
export function parseFormat(text: string, words: Words = WORDS): Template {
  try {
    return parseTemplate(text);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new HuskError(`${words.parse}${error.message}`, { kind: 'invalid', exitCode: words.exitCode });
  }
}

/** @throws HuskError for a list's format that does not parse */
export function checkFormat(format: string, words?: Words): void {
  parseFormat(listTemplate(format), words);
}

/**
 * @returns the part of a list's format that is a template. `\t` and `\n` typed in a shell's quotes become a tab and a
 * line break in lists, but not in `inspect`; docker/cli formatter.Context.preFormat
 */
function listTemplate(format: string): string {
  return format
    .replace(/^table/, '')
    .replace(/^ +| +$/g, '')
    .replaceAll('\\t', '\t')
    .replaceAll('\\n', '\n');
}

export function writeList(rows: readonly Row[], list: List, output: Output): void {
  const shown = rows.map((row) => safe(row, output));
  if (list.format === 'json') {
    output.write(shown.map((row) => `${goRowJson(row)}\n`).join(''));
    return;
  }
  const body = listTemplate(list.format);
  if (list.format.startsWith('table') && body !== '') writeTable(shown, body, list, output);
  else if ((list.format === '' || list.format.startsWith('table')) && !list.quiet)
    writeTable(shown, list.defaultTable, list, output);
  else {
    const raw =
      list.format === 'raw' && list.raw ? ((list.quiet ? list.raw.quiet : undefined) ?? list.raw.template) : undefined;
    const template = parseFormat(raw ?? (body === '' ? list.quietTemplate : body), list.words);
    for (const row of shown) output.write(`${render(template, row, list)}\n`);
  }
}

function writeTable(rows: readonly Row[], body: string, list: List, output: Output): void {
  const template = parseFormat(body, list.words);
  // The header of a label's column is the last word of the label's name, as in Docker.
  const header = { ...list.headers, Label: (name: string) => name.replace(/^.*\./, '').replace(/[-_]/g, ' ') };
  const lines = [header, ...rows].map((row) => render(template, row, list).split('\n'));
  output.write(table(lines.flat().map((line) => line.split('\t'))));
}

export function render(template: Template, data: unknown, options: { words?: Words; rowType?: string } = {}): string {
  try {
    return evaluate(template, data, { rowType: options.rowType });
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new HuskError(`${(options.words ?? WORDS).execute}${error.message}`, { kind: 'invalid', exitCode: 1 });
  }
}

/** Makes a row's texts printable, because they are untrusted; the template's own text is the user's. */
export function safe<T extends Row>(row: T, output: Pick<Output, 'isTTY'>): T {
  if (!output.isTTY) return row;
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => {
      if (typeof value === 'string') return [key, printable(value, output)];
      if (typeof value === 'function')
        return [
          key,
          (...values: string[]) => printable(String((value as (...values: string[]) => unknown)(...values)), output),
        ];
      return [key, value];
    }),
  ) as T;
}
