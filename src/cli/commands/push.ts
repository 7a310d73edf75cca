/** `husk push` */
import { HuskError } from '../../errors.ts';
import { parseReference, splitTag } from '../../images/store/reference.ts';
import type { Invocation } from '../grammar/command.ts';
import { checkPlatforms } from '../image-platform.ts';
import { abortOnInterrupt } from '../interrupt.ts';
import { printable } from '../output/printable.ts';
import { ProgressDisplay } from '../output/progress.ts';

export async function run({ flags, arguments: [reference = ''], context }: Invocation): Promise<number> {
  const allTags = flags.bool('all-tags');
  const quiet = flags.bool('quiet');
  const [repository, tag] = splitTag(reference);
  const named = tag !== '<none>';
  if (allTags && named) throw new HuskError("tag can't be used with --all-tags/-a", { kind: 'invalid' });
  parseReference(reference);
  if (!allTags && !named && !quiet) context.stdout.write('Using default tag: latest\n');
  const { images } = await context.engine();
  const tags = allTags
    ? images.list().flatMap((image) => image.repoTags.filter((each) => splitTag(each)[0] === repository))
    : [reference];
  if (tags.length === 0)
    throw new HuskError(`An image does not exist locally with the tag: ${reference}`, { kind: 'not-found' });
  await checkPlatforms(flags, images, tags);
  using abort = abortOnInterrupt('the push was interrupted');
  for (const each of tags) {
    const display = quiet ? undefined : new ProgressDisplay(context.stdout);
    try {
      await images.push(each, { onProgress: (progress) => display?.show(progress), signal: abort.signal });
    } finally {
      display?.end();
    }
    if (quiet) context.stdout.write(`${printable(each, context.stdout)}\n`);
  }
  return 0;
}
