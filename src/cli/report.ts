/** Reports an error to the user, and decides the exit code. */
import { EXIT_HUSK_FAILED, EXIT_NOT_FOUND, HuskError, refusal } from '../errors.ts';
import type { Context } from './grammar/command.ts';
import { printable } from './output/printable.ts';
import { EXIT_BROKEN_PIPE } from './output/standard-output.ts';
import { Silent } from './silent.ts';

/** Prints one line for an error that the user can act on, and a stack for a bug. @returns the exit code */
export function report(
  error: unknown,
  context: Pick<Context, 'stderr'>,
  options: { runLike?: string; debug?: boolean } = {},
): number {
  if (error instanceof Silent) return error.exitCode;
  if (!(error instanceof HuskError)) {
    if ((error as NodeJS.ErrnoException)?.code === 'EPIPE') return EXIT_BROKEN_PIPE;
    const refused = refusal(error);
    if (refused) return report(refused, context, options);
    context.stderr.write(
      printable(
        `husk: internal error, please report it: ${error instanceof Error ? error.stack : String(error)}\n`,
        context.stderr,
        { lines: true },
      ),
    );
    return options.runLike === undefined ? 1 : EXIT_HUSK_FAILED;
  }
  const lines = [`Error: ${error.message}`];
  if (error.fix !== undefined) lines.push(`Fix: ${error.fix}`);
  if (options.debug)
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause) lines.push(`Caused by: ${cause.stack}`);
  // The hint is left out when the container ran, and its machine ended under it.
  if (options.runLike !== undefined && error.exitCode <= EXIT_NOT_FOUND)
    lines.push('', `Run '${options.runLike} --help' for more information`);
  context.stderr.write(printable(`${lines.join('\n')}\n`, context.stderr, { lines: true }));
  return options.runLike !== undefined && error.exitCode < EXIT_HUSK_FAILED ? EXIT_HUSK_FAILED : error.exitCode;
}
