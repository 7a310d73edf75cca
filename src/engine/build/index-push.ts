/**
 * What a build for several platforms gives: an image for each, and an index of them in registries. Here a name has one
 * image, that of this machine's platform where there is one; the others have no name, and a prune takes them away.
 */
import type { Platform } from '../../images/store/contract.ts';
import { fullReference, parseReference, withDefaultTag } from '../../images/store/reference.ts';
import { hostPlatform, serves } from '../../images/store/platform.ts';
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
  const own = platforms.findIndex((platform) => serves(hostPlatform(), platform));
  const pushed = options.outputs.filter((output) => output.type === 'image');
  if (pushed.length === 0) return { id: undefined, manifest: undefined, names: [] };
  const ids: string[] = [];
  let names: string[] = [];
  for (const [index, build] of builds.entries()) {
    const isOwn = index === own;
    const outputs: BuildOutput[] = isOwn ? pushed.map(({ push: _push, ...output }) => output) : [{ type: 'image' }];
    const asked = { ...options, outputs, ...(!isOwn && { tags: [] }) };
    const made = await exportResult(context, { ...same, ...build, options: asked });
    ids.push(made.id!);
    if (isOwn) ({ names } = made);
  }
  const wanted = [...options.tags, ...pushed.flatMap(({ name }) => name?.split(',') ?? [])];
  let digest: string | undefined;
  for (const name of new Set(wanted.map((each) => fullReference(withDefaultTag(parseReference(each))))))
    digest = await pushing(name, same, (how) => context.images.pushIndex(name, ids, how));
  return { id: digest, manifest: digest, names };
}
