/** `husk save` */
import type { Invocation } from '../grammar/command.ts';
import { checkPlatforms } from '../image-platform.ts';
import { writeArchive } from '../output/archive-output.ts';

export async function run({ flags, arguments: references, context }: Invocation): Promise<number> {
  const { images } = await context.engine();
  await checkPlatforms(flags, images, references);
  await writeArchive(flags.optional('output'), context, (output) => images.save(references, output));
  return 0;
}
