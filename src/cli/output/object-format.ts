/**
 * `--format` of single objects: `inspect`, `info`, `version`, `events`. A template is evaluated over Docker's typed
 * structure first; where that fails, over the JSON as it is, in which a missing key is an error. On a terminal the
 * texts in it are made printable before.
 */
import { HuskError } from '../../errors.ts';
import type { Output } from '../grammar/command.ts';
import { evaluate } from '../template/evaluate.ts';
import { any, type GoType } from '../template/go-types.ts';
import { view } from '../template/go-value.ts';
import { goJson } from '../template/json.ts';
import { TemplateError, type Template } from '../template/parse.ts';
import { OBJECT_WORDS, parseFormat, type Words } from './format.ts';
import { printableJson } from './printable.ts';

/**
 * @returns a function that formats one object
 * @throws HuskError `invalid` for a template that does not parse
 */
export function objectFormat(
  format: string,
  type: GoType,
  words: Words = OBJECT_WORDS,
): (json: object, output: Pick<Output, 'isTTY'>) => string {
  if (format === 'json') return (json, output) => goJson(view(type, printableJson(json, output)));
  const template = parseFormat(format, words);
  return (json, output) => {
    try {
      return renderTyped(template, type, printableJson(json, output), { told: 'first' });
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw new HuskError(`${words.execute}${error.message}`, {
        kind: 'invalid',
        exitCode: words === OBJECT_WORDS ? 1 : words.exitCode,
      });
    }
  };
}

/** Writes one object and a line break, which Docker's client writes even where the template failed. */
export function writeObject(show: (output: Output) => string, output: Output): void {
  let text = '';
  try {
    text = show(output);
  } finally {
    output.write(`${text}\n`);
  }
}

/**
 * Evaluates a template over the typed structure, then over the JSON.
 * @param options.told whose error is thrown where both fail
 * @throws TemplateError
 */
export function renderTyped(
  template: Template,
  type: GoType,
  json: unknown,
  options: { told: 'first' | 'second' },
): string {
  try {
    return evaluate(template, view(type, json));
  } catch (first) {
    if (!(first instanceof TemplateError)) throw first;
    try {
      return evaluate(template, view(any, json), { missingKey: 'error' });
    } catch (second) {
      if (!(second instanceof TemplateError)) throw second;
      throw options.told === 'first' ? first : second;
    }
  }
}
