/** Warnings as Docker's client writes them. */
import type { Context } from '../grammar/command.ts';
import { printable } from './printable.ts';

export const warner =
  ({ stderr }: Pick<Context, 'stderr'>) =>
  (text: string): void =>
    void stderr.write(`WARNING: ${printable(text, stderr)}\n`);
