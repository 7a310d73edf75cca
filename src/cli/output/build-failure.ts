/** The texts that a build ends with, as BuildKit words them: why it failed, warnings, and the report of a check. */
import type { HuskError } from '../../errors.ts';
import type { BuildCheck } from '../../engine/build-contract.ts';
import { BuildFailed } from '../../engine/build/failure.ts';
import { excerpt } from '../../images/build/excerpt.ts';
import type { LintWarning, SourceRange } from '../../images/build/operations.ts';

const RULE = '--------------------';

/** @param step the step that failed, and the last lines that it printed */
export function failureText(error: HuskError, step?: { name: string; last: readonly string[] }): string {
  const lines: string[] = [];
  if (step && step.last.length > 0) lines.push('------', ` > ${step.name}:`, ...step.last, '------');
  if (error instanceof BuildFailed && error.place) lines.push(...placeText(error.place.file, error.place));
  lines.push(`ERROR: failed to solve: ${error.message}`);
  if (error.fix !== undefined) lines.push(`Fix: ${error.fix}`);
  return `${lines.join('\n')}\n`;
}

function placeText(file: string, { lines, range }: { lines: readonly string[]; range: SourceRange }): string[] {
  const text = excerpt(lines, range);
  return text === '' ? [] : [`${file}:${range.start}`, RULE, text, RULE];
}

export function warningsText(warnings: readonly LintWarning[]): string {
  if (warnings.length === 0) return '';
  const lines = warnings.map(({ rule, message, range }) => ` - ${rule}: ${message} (line ${range.start})`);
  return `\n${warnings.length} warning${warnings.length === 1 ? '' : 's'} found (husk build --check says more):\n${lines.join('\n')}\n`;
}

/** What `--check` prints. */
export function checkReport({ warnings, lines, file }: Omit<BuildCheck, 'bytes'>): string {
  const count = warnings.length;
  const summary =
    count === 0
      ? 'Check complete, no warnings found.'
      : `Check complete, ${count} warning${count === 1 ? ' has' : 's have'} been found!`;
  const blocks = warnings.map(({ rule, message, description, url, range }) =>
    [
      `WARNING: ${rule}${url === '' ? '' : ` - ${url}`}`,
      ...(description === '' ? [] : [description]),
      message,
      ...placeText(file, { lines, range }),
    ].join('\n'),
  );
  return `${[summary, ...blocks].join('\n\n')}\n`;
}
