/**
 * One operation on several named things: all at once, answers in the order typed, one failure does not stop the others.
 */
import type { Context } from './grammar/command.ts';
import { report } from './report.ts';
import { printable } from './output/printable.ts';

/** things worked on at a time */
const PARALLEL = 16;

/**
 * Prints each name that succeeded.
 * @param options.forgive errors that are told but do not count
 * @returns 1 when any failed
 */
export async function forEach(
  names: readonly string[],
  context: Context,
  action: (name: string) => Promise<unknown>,
  options: { forgive?: (error: unknown) => boolean } = {},
): Promise<number> {
  let code = 0;
  for (let start = 0; start < names.length; start += PARALLEL) {
    const batch = names.slice(start, start + PARALLEL);
    const outcomes = await Promise.allSettled(batch.map((name) => action(name)));
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') context.stdout.write(`${printable(batch[index]!, context.stdout)}\n`);
      else {
        report(outcome.reason, context, { debug: context.env['HUSK_DEBUG'] !== undefined });
        if (!options.forgive?.(outcome.reason)) code = 1;
      }
    }
  }
  return code;
}
