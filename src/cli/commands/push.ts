/** `husk push` */
import { HuskError } from '../../errors.ts';
import type { Platform } from '../../images/store/contract.ts';
import { familiarName, parseReference, splitTag } from '../../images/store/reference.ts';
import type { Invocation } from '../grammar/command.ts';
import { checkPlatforms, platformOf } from '../image-platform.ts';
import { abortOnInterrupt } from '../interrupt.ts';
import { printable } from '../output/printable.ts';
import { ProgressDisplay } from '../output/progress.ts';

export async function run({ flags, arguments: [reference = ''], context }: Invocation): Promise<number> {
  const allTags = flags.bool('all-tags');
  const quiet = flags.bool('quiet');
  const [repository, tag] = splitTag(reference);
  const named = tag !== '<none>';
  if (allTags && named) throw new HuskError("tag can't be used with --all-tags/-a", { kind: 'invalid' });
  const parsed = parseReference(reference);
  if (parsed.digest !== undefined)
    throw new HuskError('cannot push a digest reference', {
      kind: 'invalid',
      fix: `give the image a tag, and push that: husk tag ${reference} ${familiarName(parsed)}:TAG`,
    });
  if (!allTags && !named && !quiet) context.stdout.write('Using default tag: latest\n');
  const { images } = await context.engine();
  const tags = allTags
    ? images.list().flatMap((image) => image.repoTags.filter((each) => splitTag(each)[0] === repository))
    : [reference];
  if (tags.length === 0)
    throw new HuskError(`An image does not exist locally with the tag: ${reference}`, { kind: 'not-found' });
  const platform = await platformOf(flags);
  // A tag may stand for images of several platforms.
  const get: typeof images.get = (name) => (platform && images.find(name, platform)) ?? images.get(name);
  await checkPlatforms(flags, { get }, tags);
  using abort = abortOnInterrupt('the push was interrupted');
  const notes: string[] = [];
  for (const each of tags) {
    const display = quiet ? undefined : new ProgressDisplay(context.stdout);
    try {
      const { lacking } = await images.push(each, {
        ...(platform && { platform }),
        onProgress: (progress) => display?.show(progress),
        signal: abort.signal,
      });
      if (lacking) notes.push(await instead(each, lacking));
    } finally {
      display?.end();
    }
    if (quiet) context.stdout.write(`${printable(each, context.stdout)}\n`);
  }
  for (const note of notes) context.stdout.write(`\n${printable(note, context.stdout)}\n`);
  return 0;
}

/** @returns what Docker's client notes, and which platforms the registry has not got */
async function instead(reference: string, lacking: readonly Platform[]): Promise<string> {
  const { formatPlatform } = await import('../../images/store/platform.ts');
  const missing = lacking.map(formatPlatform).join(', ');
  return `Info -> Not all multiplatform-content is present and only the available single-platform image was pushed: ${reference} is without ${missing}`;
}
