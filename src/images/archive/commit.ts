/**
 * `commit`: a tar of what a container has changed becomes the topmost layer of a new image. The container controls
 * these bytes, so they are ingested like a layer from a stranger.
 */
import { HuskError } from '../../errors.ts';
import { rfc3339 } from '../../state/time.ts';
import type { Image, ImageConfig, Images } from '../store/contract.ts';
import { ingestLayer } from '../layers/ingest.ts';
import { appendTagEvents } from '../store/image-event.ts';
import { nameKey, parseReference, withDefaultTag } from '../store/reference.ts';
import { applyChanges } from '../build/plan/changes.ts';
import type { ArchiveContext } from './context.ts';
import { imageManifest } from './manifest-of.ts';

/** digest of a tar without members, two blocks of zeros; such a layer is left out (moby layer.DigestSHA256EmptyTar) */
const EMPTY_TAR = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef';

/**
 * Makes the image. Reference and changes are checked before the first byte is read.
 * @returns the new image's id
 * @throws HuskError `invalid` (reference, changes), `corrupt` (the tar), `limit` (max-layer-size)
 */
export async function commitImage(
  context: ArchiveContext,
  base: Image,
  input: NodeJS.ReadableStream,
  options: Parameters<Images['commit']>[1],
): Promise<string> {
  const { paths, records } = context;
  const { reference, author = '', message = '', createdBy = '', changes = [] } = options;
  const names = reference === undefined ? [] : [nameOf(reference)];
  const config = withChanges(options.config, changes);
  using _claim = context.claim('commit');
  const layer = await ingestLayer({
    source: input as AsyncIterable<Uint8Array>,
    diffId: undefined,
    tmp: paths.tmp,
    layersDir: paths.layers,
    maxSize: context.maxLayerSize,
  });
  const isEmpty = layer.diffId === EMPTY_TAR;
  records.recordLayer(layer);
  const layers = isEmpty ? base.layers : [...base.layers, layer];
  const created = rfc3339();
  const image: ImageConfig & { comment?: string } = {
    architecture: base.config.architecture,
    ...(base.config.variant === undefined ? {} : { variant: base.config.variant }),
    ...(author === '' ? {} : { author }),
    ...(message === '' ? {} : { comment: message }),
    config,
    created,
    history: [
      ...(base.config.history ?? []),
      {
        created,
        created_by: createdBy,
        ...(author === '' ? {} : { author }),
        ...(message === '' ? {} : { comment: message }),
        ...(isEmpty ? { empty_layer: true } : {}),
      },
    ],
    os: base.config.os,
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  };
  const bytes = Buffer.from(JSON.stringify(image));
  const made = imageManifest(bytes, layers);
  return records.add({
    config: bytes,
    manifest: made.bytes,
    layers: made.layers,
    names,
    within: (id) => appendTagEvents(records.database, names, { id, labels: config.Labels }),
  });
}

/** Applies changes to a copy of the settings. */
function withChanges(
  settings: NonNullable<ImageConfig['config']>,
  changes: string[],
): NonNullable<ImageConfig['config']> {
  const config = structuredClone(settings);
  applyChanges(config, changes);
  return config;
}

function nameOf(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined)
    throw new HuskError('refusing to create a tag with a digest reference', { kind: 'invalid' });
  return nameKey(withDefaultTag(reference));
}
