/**
 * `husk __complete WORD…` prints what could stand for the last word, one candidate per line (tab, description), then
 * `:file` if files are possible.
 */
import type { Invocation } from '../grammar/command.ts';
import { complete } from '../completion/complete.ts';

export async function run({ arguments: words, context }: Invocation): Promise<number> {
  const { candidates, files } = await complete(words, context);
  context.stdout.write(
    candidates.map(({ word, help }) => `${help === undefined ? word : `${word}\t${help}`}\n`).join('') +
      (files ? ':file\n' : ''),
  );
  return 0;
}
