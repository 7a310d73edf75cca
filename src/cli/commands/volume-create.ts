/** `husk volume create` */
import type { Invocation } from '../command.ts';
import { toMap } from '../grammar/values.ts';

export async function run({ flags, arguments: [name], context }: Invocation): Promise<number> {
  const volumes = await (await context.engine()).volumes();
  const volume = volumes.create({ name, driver: flags.string('driver'), labels: toMap(flags.list('label')), options: toMap(flags.list('opt')) });
  context.stdout.write(`${volume.name}\n`);
  return 0;
}
