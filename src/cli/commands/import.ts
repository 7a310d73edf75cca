/** `husk import` */
import { readArchive } from '../archive-input.ts';
import type { Invocation } from '../command.ts';

export async function run({ flags, arguments: [file, reference], context }: Invocation): Promise<number> {
  const platform = flags.optional('platform');
  const input = await readArchive(file, context, 'import');
  const { images } = await context.engine();
  const image = await images.import(input, {
    reference,
    message: flags.optional('message'),
    changes: flags.list('change'),
    platform: platform === undefined ? undefined : (await import('../../images/platform.ts')).parsePlatform(platform),
  });
  context.stdout.write(`${image.id}\n`);
  return 0;
}
