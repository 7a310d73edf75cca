/** `husk import` */
import { HuskError } from '../../errors.ts';
import { readArchive } from '../archive-input.ts';
import type { Invocation } from '../grammar/command.ts';
import { platformOf } from '../image-platform.ts';

export async function run({ flags, arguments: [file, reference], context }: Invocation): Promise<number> {
  const platform = await platformOf(flags);
  const input = url(file) ?? (await readArchive(file, context, 'import'));
  const { images } = await context.engine();
  const image = await images.import(input, {
    reference,
    message: flags.optional('message'),
    changes: flags.list('change'),
    platform,
  });
  context.stdout.write(`${image.id}\n`);
  return 0;
}

/**
 * @returns the URL of a text that begins with http:// or https://, which is fetched, as in Docker; undefined for any
 * other text, which is a file
 */
function url(text: string | undefined): URL | undefined {
  if (text === undefined || !/^https?:\/\//i.test(text)) return undefined;
  try {
    return new URL(text);
  } catch (error) {
    throw new HuskError(`${text} is not a URL`, { kind: 'invalid', cause: error });
  }
}
