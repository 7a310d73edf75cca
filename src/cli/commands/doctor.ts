/** `husk doctor` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../command.ts';

export async function run({ context }: Invocation): Promise<number> {
  await context.engine();
  throw new HuskError('husk doctor is not there yet', { kind: 'unsupported' });
}
