/** Warnings as Docker's client writes them. */
import type { Context } from '../grammar/command.ts';
import { printable } from './printable.ts';

export const warner =
  ({ stderr }: Pick<Context, 'stderr'>) =>
  (text: string): void =>
    void stderr.write(`WARNING: ${printable(text, stderr)}\n`);

/** Where a start tells what went wrong: warnings always, and with --debug also what only made it slower. */
export function startReports(context: Pick<Context, 'stderr' | 'env'>): {
  onWarning: (text: string) => void;
  onDetail?: (text: string) => void;
} {
  const { stderr } = context;
  return {
    onWarning: warner(context),
    ...(context.env['HUSK_DEBUG'] !== undefined && {
      onDetail: (text) => void stderr.write(`DEBUG: ${printable(text, stderr)}\n`),
    }),
  };
}
