/** Asks for confirmation before data is deleted. No answer means no. */
import { createInterface } from 'node:readline';
import type { Context } from './grammar/command.ts';

export async function confirm(warning: string, context: Context): Promise<boolean> {
  context.stdout.write(`${warning}\nAre you sure you want to continue? [y/N] `);
  const lines = createInterface({ input: context.stdin });
  const answer = await new Promise<string>((resolve) => lines.once('line', resolve).once('close', () => resolve('')));
  lines.close();
  return /^y(?:es)?$/i.test(answer.trim());
}
