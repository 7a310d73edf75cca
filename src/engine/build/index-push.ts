/**
 * What a build for several platforms gives: an image for each, and an index of them in registries. Here a name stands
 * for all of them: commands take that of this machine's platform, or the first, and a push sends them all. In a folder
 * of the caller's each has one of its own, with BuildKit's names.
 */
import type { Platform } from '../../images/store/contract.ts';
import { fullReference, parseReference, withDefaultTag } from '../../images/store/reference.ts';
import { formatPlatform, hostPlatform, serves } from '../../images/store/platform.ts';
import type { BuildOutput, BuildResult } from '../build-contract.ts';
import type { EngineContext } from '../record/context.ts';
import { exportResult, type ExportOptions } from './export.ts';
import { pushing } from './outputs.ts';

interface IndexOptions extends Omit<ExportOptions, 'result' | 'done'> {
  /** one for each platform */
  builds: readonly Pick<ExportOptions, 'result' | 'done'>[];
  platforms: readonly Platform[];
}

/** @throws HuskError of the first image that cannot be written or sent; the images stay here, and the names too */
export async function exportIndex(
  context: EngineContext,
  { builds, platforms, ...same }: IndexOptions,
): Promise<Omit<BuildResult, 'warnings'>> {
  const { options } = same;
  const own = Math.max(
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
  if (images.length === 0) return { id: undefined, manifest: undefined, names: [] };
  const ids: string[] = [];
  let names: string[] = [];
  for (const [index, build] of builds.entries()) {
    const isOwn = index === own;
    const outputs: BuildOutput[] = isOwn ? images.map(({ push: _push, ...output }) => output) : [{ type: 'image' }];
    const one = { ...options, outputs, ...(!isOwn && { tags: [] }) };
    const made = await exportResult(context, { ...same, ...build, options: one });
    ids.push(made.id!);
    if (isOwn) ({ names } = made);
  }
  same.store.setIndex(
    names,
    ids.map((id, index) => ({ id, platform: platforms[index]! })),
  );
  let digest: string | undefined;
  const pushed = images
    .filter(({ push }) => push)
    .flatMap(({ name }) => [...options.tags, ...(name?.split(',') ?? [])]);
  for (const name of new Set(pushed.map((each) => fullReference(withDefaultTag(parseReference(each))))))
    digest = await pushing(name, same, (how) => context.images.pushIndex(name, ids, how));
  return { id: digest ?? ids[own], manifest: digest, names };
}
