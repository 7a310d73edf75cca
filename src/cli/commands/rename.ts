/** `husk rename` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { report } from '../report.ts';

export async function run({ arguments: [name = '', wanted = ''], context }: Invocation): Promise<number> {
  if (name === '' || wanted === '') throw new HuskError('neither old nor new names may be empty', { kind: 'invalid' });
  const engine = await context.engine();
  try {
    engine.rename(name, wanted.replace(/^\//, ''));
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    // Docker prints the reason in one line, and the container's name in a second.
    report(error, context, { debug: context.env['HUSK_DEBUG'] !== undefined });
    throw new HuskError(`failed to rename container named ${name}`, { kind: error.kind });
  }
  return 0;
}
