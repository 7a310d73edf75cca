/**
 * `--format` of the lists: `table`, `table TEMPLATE`, `json`, `TEMPLATE`, and none. Writes rows as they are asked for; a
 * column's header comes from the list's own names. On a terminal every cell is made printable first.
 */
import { HuskError } from '../../errors.ts';
import type { Output } from '../command.ts';
import { evaluate } from '../template/evaluate.ts';
import { goJson } from '../template/json.ts';
import { parseTemplate, TemplateError, type Template } from '../template/parse.ts';
import { printable } from './printable.ts';
import { table } from './table.ts';

export interface List {
  /** from `--format`; empty is the default table */
  format: string;
  quiet: boolean;
  /** the default table, as a template */
  defaultTable: string;
  /** what `-q` prints of a row */
  quietTemplate: string;
  headers: Record<string, string>;
}

/**
 * @param refusal Docker's words and exit code where they are others than the lists'
 * @throws HuskError `invalid` for a template that does not parse, before anything is printed
 */
export function parseFormat(text: string, refusal: { words: string; exitCode: number } = { words: 'failed to parse template', exitCode: 1 }): Template {
  try {
    return parseTemplate(unescape(text));
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new HuskError(`${refusal.words}: ${error.message}`, { kind: 'invalid', exitCode: refusal.exitCode });
  }
}

/** docker/cli: StatusError of `inspect` */
export const INSPECT_REFUSAL = { words: 'template parsing error', exitCode: 64 };

/** `\t` and `\n` typed in a shell's quotes mean what they say. docker/cli templates.NewParse */
function unescape(text: string): string {
  return text.replace(/\\t/g, '\t').replace(/\\n/g, '\n');
}

export function writeList(rows: readonly Record<string, unknown>[], list: List, output: Output): void {
  let format = list.format;
  if (format === '' && list.quiet) format = list.quietTemplate;
  if (format === 'json') {
    output.write(rows.map((row) => `${goJson(Object.fromEntries(Object.entries(row).filter(([, value]) => typeof value !== 'function')))}\n`).join(''));
    return;
  }
  if (format === '' || format === 'table' || format.startsWith('table ')) {
    const isDefault = format === '' || format.trim() === 'table';
    if (isDefault && list.quiet) format = list.quietTemplate;
    else {
      const body = isDefault ? list.defaultTable : format.slice('table '.length).trimStart();
      writeTable(rows, parseFormat(body), list.headers, output);
      return;
    }
  }
  const template = parseFormat(format);
  for (const row of rows) output.write(`${render(template, safe(row, output))}\n`);
}

function writeTable(rows: readonly Record<string, unknown>[], template: Template, headers: Record<string, string>, output: Output): void {
  // a label's column is headed by the label's last word, as Docker does
  const header = { ...headers, Label: (name: string) => name.replace(/^.*\./, '').replace(/[-_]/g, ' ').toUpperCase() };
  const lines = [header, ...rows.map((row) => safe(row, output))].map((row) => render(template, row).split('\n'));
  output.write(table(lines.flat().map((line) => line.split('\t'))));
}

export function render(template: Template, data: unknown): string {
  try {
    return evaluate(template, data);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new HuskError(`failed to execute template: ${error.message}`, { kind: 'invalid', exitCode: 1 });
  }
}

function safe(row: Record<string, unknown>, output: Output): Record<string, unknown> {
  if (!output.isTTY) return row;
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => {
      if (typeof value === 'string') return [key, printable(value, output)];
      if (typeof value === 'function') return [key, (...values: string[]) => printable(String((value as (...values: string[]) => unknown)(...values)), output)];
      return [key, value];
    }),
  );
}
