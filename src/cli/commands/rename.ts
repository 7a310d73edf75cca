/** `husk rename` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';

export async function run({ arguments: [name = '', wanted = ''], context }: Invocation): Promise<number> {
  if (name === '' || wanted === '') throw new HuskError('neither old nor new names may be empty', { kind: 'invalid' });
  (await context.engine()).rename(name, wanted.replace(/^\//, ''));
  return 0;
}
