/**
 * Takes one image out of an OCI image layout in a folder: its config, and its layers into the store. The image itself
 * is not recorded: a build begins with it, or copies from it. Everything is verified as what a registry sends.
 */
import { join } from 'node:path';
import { HuskError } from '../../errors.ts';
import { makeTmpFolder } from '../../state/tmp-folder.ts';
import { ingestLayer } from '../layers/ingest.ts';
import type { Image, LayoutChoice, Platform } from '../store/contract.ts';
import { OCI_INDEX, parseImageConfig, parseManifest, parseObject, type IndexEntry } from '../store/manifest.ts';
import { inParallel } from '../store/parallel.ts';
import { chooseEntry, formatPlatform, samePlatform, serves } from '../store/platform.ts';
import { layerTar, type ImageRecords } from '../store/records.ts';
import { shortId } from '../store/reference.ts';
import type { ArchiveContext } from './context.ts';
import { LayoutBlobs } from './layout-blobs.ts';
import { LayoutFolder } from './layout-folder.ts';
import { annotationsOf, findManifest, OCI_REF_NAME } from './oci-images.ts';

/** the version of layouts that there is */
const VERSION = '1.0.0';
/** the tag that is looked for where none is named, as BuildKit does */
const DEFAULT_TAG = 'latest';

export interface LayoutContext extends Pick<ArchiveContext, 'paths' | 'maxLayerSize'> {
  records: Pick<ImageRecords, 'recordLayer' | 'presentLayer'>;
  /** how many layers are read at once */
  concurrency: number;
}

export interface LayoutOptions {
  platform: Platform;
  /** told of each layer that is read; `id` is the beginning of its digest, numbers are bytes */
  onBytes: (id: string, current: number, total: number) => void;
  signal: AbortSignal;
}

/**
 * The layers are in the store without an image that has them: only a claim keeps them.
 * @throws HuskError `not-found` for a layout, a tag or a platform that is not there; `corrupt`, `limit`, `unsupported`
 */
export async function readLayout(
  choice: LayoutChoice,
  { paths, records, maxLayerSize, concurrency }: LayoutContext,
  { platform, onBytes, signal }: LayoutOptions,
): Promise<Image> {
  const layout = choice.blobs ? new LayoutBlobs(choice.folder, choice.blobs) : new LayoutFolder(choice.folder);
  const entry = await chosenEntry(layout, choice, platform);
  const manifest = await findManifest((descriptor) => layout.small(descriptor), entry, platform);
  const { digest: id } = manifest.config;
  const config = parseImageConfig(await layout.small(manifest.config), `the config ${id}`);
  const { diff_ids: diffIds } = config.rootfs;
  if (diffIds.length !== manifest.layers.length)
    throw new HuskError(
      `the config ${id} has ${diffIds.length} diff_ids, its manifest ${manifest.layers.length} layers`,
      { kind: 'corrupt' },
    );
  if (!serves(config, platform))
    throw new HuskError(
      `the image in ${layout.name} is for ${formatPlatform(config)}, and ${formatPlatform(platform)} is wanted`,
      { kind: 'not-found' },
    );
  makeTmpFolder(paths);
  const sizes = new Map<string, number>();
  // An image may have the same layer twice, mostly the empty one.
  const distinct = new Map(manifest.layers.map((descriptor, index) => [diffIds[index]!, descriptor]));
  await inParallel([...distinct], { limit: concurrency, signal }, async ([diffId, descriptor], each) => {
    const here = records.presentLayer(diffId);
    if (here !== undefined) return void sizes.set(diffId, here);
    const shown = shortId(descriptor.digest);
    const layer = await ingestLayer({
      source: layout.blob(descriptor, {
        onBytes: (current) => onBytes(shown, current, descriptor.size),
        signal: each,
      }),
      diffId,
      tmp: paths.tmp,
      layersDir: paths.layers,
      maxSize: maxLayerSize,
      signal: each,
    });
    records.recordLayer(layer);
    sizes.set(diffId, layer.size);
  });
  const layers = diffIds.map((diffId) => ({ diffId, tar: layerTar(paths, diffId), size: sizes.get(diffId)! }));
  return { id, config, layers, repoTags: [], repoDigests: [], size: layers.reduce((sum, { size }) => sum + size, 0) };
}

/** @returns the entry that a tag or a digest names; of several under one tag that of the platform */
async function chosenEntry(
  layout: LayoutFolder | LayoutBlobs,
  { tag, digest }: LayoutChoice,
  platform: Platform,
): Promise<IndexEntry> {
  const entries = layout instanceof LayoutBlobs ? [] : await entriesOf(layout);
  if (digest !== undefined) {
    const listed = entries.find((entry) => entry.digest === digest);
    // A digest may be that of what an index has below it.
    const size = listed?.size ?? (await layout.sizeOf(digest));
    if (size === undefined) throw missing(layout, digest);
    return listed ?? { mediaType: '', digest, size };
  }
  let named = entries.filter((entry) => entry.name === (tag ?? DEFAULT_TAG));
  if (tag === undefined && named.length === 0) named = entries;
  const distinct = [...new Map(named.map((entry) => [entry.digest, entry])).values()];
  if (distinct.length <= 1) {
    if (!distinct[0]) throw missing(layout, tag ?? DEFAULT_TAG);
    return distinct[0];
  }
  const found = chooseEntry(distinct, platform);
  const isSame = (one: IndexEntry, other: IndexEntry): boolean =>
    one.platform && other.platform ? samePlatform(one.platform, other.platform) : one.platform === other.platform;
  if (found && distinct.filter((entry) => isSame(entry, found)).length === 1) return found;
  const fix = `name one by its digest: oci-layout://${layout.name}@${distinct[0]!.digest}`;
  if (found)
    throw new HuskError(`${layout.name} has several images ${tag ?? 'and no tag latest'}`, { kind: 'not-found', fix });
  throw new HuskError(`${layout.name} has no image for ${formatPlatform(platform)}`, { kind: 'not-found' });
}

const missing = ({ name }: Pick<LayoutFolder, 'name'>, what: string): HuskError =>
  new HuskError(`there is no image ${what} in ${name}`, { kind: 'not-found' });

/** @returns the images of index.json with their names; attestations are left out */
async function entriesOf(layout: LayoutFolder): Promise<(IndexEntry & { name: unknown })[]> {
  const bytes = await layout.index();
  if (!bytes) throw new HuskError(`${layout.name} is no OCI layout: it has no index.json`, { kind: 'not-found' });
  await checkVersion(layout);
  const what = join(layout.name, 'index.json');
  const index = parseManifest(bytes, OCI_INDEX, what);
  if (index.kind !== 'index') throw new HuskError(`${what} is no index`, { kind: 'corrupt' });
  const annotations = annotationsOf(bytes);
  return index.manifests
    .map((entry, position) => ({ ...entry, name: annotations[position]?.[OCI_REF_NAME] }))
    .filter(({ platform }) => platform?.os !== 'unknown');
}

/** A layout without the file is read, as other tools do; one of another version means something else. */
async function checkVersion(layout: LayoutFolder): Promise<void> {
  const bytes = await layout.marker();
  if (!bytes) return;
  const version = parseObject(bytes, join(layout.name, 'oci-layout'))['imageLayoutVersion'];
  if (version !== VERSION)
    throw new HuskError(
      `${layout.name} is an OCI layout of the version ${JSON.stringify(version ?? null).slice(0, 40)}: only ${VERSION} is known`,
      { kind: 'unsupported' },
    );
}
