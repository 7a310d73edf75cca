/**
 * `import`: a flat file system tar becomes a one-layer image. The tar's uncompressed bytes become the layer, unchanged.
 */
import { HuskError } from '../../errors.ts';
import { rfc3339 } from '../../state/time.ts';
import type { ImageConfig, Images } from '../store/contract.ts';
import { ingestLayer } from '../layers/ingest.ts';
import { appendImageEvent, appendTagEvents } from '../store/image-event.ts';
import { hostPlatform } from '../store/platform.ts';
import { nameKey, parseReference } from '../store/reference.ts';
import { applyChanges } from '../build/plan/changes.ts';
import type { ArchiveContext } from './context.ts';
import { imageManifest } from './manifest-of.ts';

/** the message that Docker records without --message */
const DEFAULT_MESSAGE = 'Imported from ';

/**
 * Makes the image. Reference and changes are checked before the first byte is read.
 * @returns the new image's id
 * @throws HuskError `invalid` (reference, changes), `corrupt` (the tar), `limit` (max-layer-size)
 */
export async function importImage(
  context: ArchiveContext,
  input: NodeJS.ReadableStream | URL,
  options: Parameters<Images['import']>[1],
): Promise<string> {
  const { reference, message, changes = [], platform = hostPlatform(), signal } = options;
  const { paths, records } = context;
  const names = reference === undefined ? [] : [importName(reference)];
  const config: NonNullable<ImageConfig['config']> = {};
  applyChanges(config, changes);
  using _claim = context.claim('import');
  const layer = await ingestLayer({
    source: notEmpty(await bytesOf(input, context, options)),
    diffId: undefined,
    tmp: paths.tmp,
    layersDir: paths.layers,
    maxSize: context.maxLayerSize,
    programs: true,
    signal,
  });
  records.recordLayer(layer);
  const created = rfc3339();
  const comment = message || DEFAULT_MESSAGE + (input instanceof URL ? shownUrl(input) : '-');
  const image: ImageConfig & { comment: string } = {
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    comment,
    config,
    created,
    history: [{ created, comment }],
    os: platform.os,
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
  };
  const bytes = Buffer.from(JSON.stringify(image));
  const made = imageManifest(bytes, [layer]);
  return records.add({
    config: bytes,
    manifest: made.bytes,
    layers: made.layers,
    names,
    within: (id) => {
      const about = { id, labels: config.Labels };
      appendTagEvents(records.database, names, about);
      appendImageEvent(records.database, 'import', about);
    },
  });
}

async function bytesOf(
  input: NodeJS.ReadableStream | URL,
  { env, maxLayerSize }: ArchiveContext,
  { onBytes, signal }: Parameters<Images['import']>[1],
): Promise<AsyncIterable<Uint8Array>> {
  if (!(input instanceof URL)) return input as AsyncIterable<Uint8Array>;
  return (await import('./download.ts')).download(input, { env, maxSize: maxLayerSize, onBytes, signal });
}

/** @returns the URL without its query: signed URLs carry secrets there, and the history stays with the image */
const shownUrl = ({ origin, pathname }: URL): string => `${origin}${pathname}`;

function importName(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw new HuskError('cannot import digest reference', { kind: 'invalid' });
  return nameKey(reference);
}

/** Refuses an empty archive: `failing-program | husk import - name` must not give the name to an empty image. */
async function* notEmpty(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let length = 0;
  for await (const chunk of source) {
    length += chunk.length;
    yield chunk;
  }
  if (length === 0) throw new HuskError('the archive is empty', { kind: 'invalid' });
}
