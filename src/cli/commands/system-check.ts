/**
 * `husk system check`: one line for each damage, and what was done or must be done about it. The exit code is 1 when
 * damage is left.
 */
import type { Finding } from '../../engine/contract.ts';
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { printable } from '../output/printable.ts';
import { goJson } from '../template/json.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  if (format !== '' && format !== 'json')
    throw new HuskError(`invalid format ${JSON.stringify(format)}`, { kind: 'invalid', fix: 'use json, or none' });
  const repair = flags.bool('repair');
  let found = 0;
  let left = 0;
  for await (const finding of context.check({ repair, stop: flags.bool('stop') })) {
    found++;
    if (finding.repaired === undefined) left++;
    context.stdout.write(
      printable(format === 'json' ? `${goJson(finding)}\n` : text(finding), context.stdout, { lines: true }),
    );
  }
  if (format === '')
    context.stdout.write(found === 0 ? 'nothing is damaged\n' : `\n${found} found, ${found - left} repaired\n`);
  return left > 0 ? 1 : 0;
}

function text({ kind, name, problem, repaired, fix }: Finding): string {
  return `${kind} ${name}: ${problem}\n${repaired === undefined ? '' : `  repaired: ${repaired}\n`}${fix === undefined ? '' : `  fix: ${fix}\n`}`;
}
