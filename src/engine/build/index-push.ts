/**
 * What a build for several platforms gives: an image for each, and an index of them in registries. Here a name stands
 * for all of them: commands take that of this machine's platform, or the first, and a push sends them all. An OCI
 * archive has the same index. In a folder of the caller's each has one of its own, with BuildKit's names.
 */
import { causeOf } from '../../errors.ts';
import type { Platform } from '../../images/store/contract.ts';
import { fullReference, parseReference, withDefaultTag } from '../../images/store/reference.ts';
import { formatPlatform, hostPlatform, serves } from '../../images/store/platform.ts';
import type { BuildOutput, BuildResult } from '../build-contract.ts';
import type { EngineContext } from '../record/context.ts';
import { exportResult, type ExportOptions } from './export.ts';
import { pushing, titleOf } from './outputs.ts';

interface IndexOptions extends Omit<ExportOptions, 'result' | 'done'> {
  /** one for each platform */
  builds: readonly Pick<ExportOptions, 'result' | 'done'>[];
  platforms: readonly Platform[];
}

type Archive = Extract<BuildOutput, { open: unknown }>;

/** @throws HuskError of the first image that cannot be written or sent; the images stay here, and the names too */
export async function exportIndex(
  context: EngineContext,
  { builds, platforms, ...same }: IndexOptions,
): Promise<Omit<BuildResult, 'warnings'>> {
  const { options } = same;
  const host = Math.max(
    platforms.findIndex((platform) => serves(hostPlatform(), platform)),
    0,
  );
  const asked: BuildOutput[] = options.outputs.length === 0 ? [{ type: 'image' }] : options.outputs;
  for (const [index, build] of builds.entries()) {
    const outputs = asked
      .filter((output) => output.type === 'local')
      .map((output) => ({
        ...output,
        below: formatPlatform(platforms[index]!).replaceAll('/', '_'),
      }));
    if (outputs.length > 0) await exportResult(context, { ...same, ...build, options: { ...options, outputs } });
  }
  const images = asked.filter((output) => output.type === 'image');
  const archives = asked.filter((output): output is Archive => output.type === 'oci');
  if (images.length === 0 && archives.length === 0) return { id: undefined, manifest: undefined, names: [] };
  const ids: string[] = [];
  let names: string[] = [];
  for (const [position, build] of builds.entries()) {
    const isOwn = position === host;
    const own = images.map(({ push: _push, ...output }): BuildOutput => output);
    const outputs = isOwn && own.length > 0 ? own : [{ type: 'image' as const }];
    const one = { ...options, outputs, ...(!isOwn && { tags: [] }) };
    const made = await exportResult(context, { ...same, ...build, options: one });
    ids.push(made.id!);
    if (isOwn) ({ names } = made);
  }
  const index = ids.map((id, position) => ({ id, platform: platforms[position]! }));
  same.store.setIndex(names, index);
  for (const archive of archives) await writeArchive(context, archive, { index, ...same });
  let digest: string | undefined;
  const pushed = images
    .filter(({ push }) => push)
    .flatMap(({ name }) => [...options.tags, ...(name?.split(',') ?? [])]);
  for (const name of new Set(pushed.map((each) => fullReference(withDefaultTag(parseReference(each))))))
    digest = await pushing(name, same, (how) => context.images.pushIndex(name, ids, how));
  return { id: digest ?? ids[host], manifest: digest, names };
}

/** Writes an archive with an index of the images: under the names of `-t`, or under none. */
async function writeArchive(
  { images }: EngineContext,
  output: Archive,
  {
    index,
    steps,
    options: { tags },
  }: { index: { id: string; platform: Platform }[] } & Pick<IndexOptions, 'steps' | 'options'>,
): Promise<void> {
  const step = steps.start(titleOf(output));
  const names = tags.map((tag) => fullReference(withDefaultTag(parseReference(tag))));
  try {
    await output.open((stream) => (names.length > 0 ? images.save(names, stream) : images.saveIndex(index, stream)));
    step.end('done');
  } catch (error) {
    step.end('error', causeOf(error));
    throw error;
  }
}
