/** `husk save` */
import type { Invocation } from '../grammar/command.ts';
import { checkPlatforms, platformOf } from '../image-platform.ts';
import { writeArchive } from '../output/archive-output.ts';

export async function run({ flags, arguments: references, context }: Invocation): Promise<number> {
  const { images } = await context.engine();
  const platform = await platformOf(flags);
  // A tag may stand for images of several platforms.
  const get: typeof images.get = (name) => (platform && images.find(name, platform)) ?? images.get(name);
  await checkPlatforms(flags, { get }, references);
  const options = platform && { platform };
  await writeArchive(flags.optional('output'), context, (output) => images.save(references, output, options));
  return 0;
}
