/** Names that stand for images of several platforms, made in a store. */
import { Readable } from 'node:stream';
import { parsePlatform } from '../../src/images/store/platform.ts';
import { TAR_END, tarHeader } from '../../src/tar/write.ts';
import type { TestStore } from './store.ts';

/**
 * Images of these platforms, each with a layer of its own, and a name of the first that stands for all. @returns ids
 */
export async function indexOf({ store }: TestStore, name: string, platforms: readonly string[]): Promise<string[]> {
  using building = await store.building();
  const ids: string[] = [];
  for (const [position, platform] of platforms.entries()) {
    const tar = Buffer.concat([tarHeader({ type: 'file', path: platform }), TAR_END]);
    const layer = await building.ingest(Readable.from([tar]));
    const config = { ...parsePlatform(platform), rootfs: { type: 'layers', diff_ids: [layer.diffId] } };
    const names = position === 0 ? [name] : [];
    ids.push(building.addImage(Buffer.from(JSON.stringify(config)), [layer], { names }).id);
  }
  building.setIndex(
    [name],
    ids.map((id, position) => ({ id, platform: parsePlatform(platforms[position]!) })),
  );
  return ids;
}
