/**
 * Runs one operation on several named things at once. Answers are printed in the order of the names, and one failure
 * does not stop the others.
 */
import type { HuskError } from '../errors.ts';
import type { Context } from './grammar/command.ts';
import { report } from './report.ts';
import { printable } from './output/printable.ts';

/** operations at a time */
const PARALLEL = 16;

/**
 * Prints each name that succeeded.
 * @param options.forgive tests for errors that are reported but do not count
 * @param options.inSum makes the last report, about all names that failed
 * @returns 1 when any failed
 */
export async function forEach(
  names: readonly string[],
  context: Context,
  action: (name: string) => Promise<unknown>,
  options: { forgive?: (error: unknown) => boolean; inSum?: (failed: readonly string[]) => HuskError } = {},
): Promise<number> {
  const failed: string[] = [];
  for (let start = 0; start < names.length; start += PARALLEL) {
    const batch = names.slice(start, start + PARALLEL);
    const outcomes = await Promise.allSettled(batch.map((name) => action(name)));
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') context.stdout.write(`${printable(batch[index]!, context.stdout)}\n`);
      else {
        report(outcome.reason, context, { debug: context.env['HUSK_DEBUG'] !== undefined });
        if (!options.forgive?.(outcome.reason)) failed.push(batch[index]!);
      }
    }
  }
  if (failed.length > 0 && options.inSum) report(options.inSum(failed), context);
  return failed.length > 0 ? 1 : 0;
}
