/**
 * `import`: a flat file system tar becomes a one-layer image. Keeps the tar's uncompressed bytes as the layer,
 * unchanged.
 */
import { HuskError } from '../../errors.ts';
import type { ImageConfig, Images } from '../store/contract.ts';
import { ingestLayer } from '../layers/ingest.ts';
import { hostPlatform } from '../store/platform.ts';
import { nameKey, parseReference } from '../store/reference.ts';
import { applyChanges } from './changes.ts';
import type { ArchiveContext } from './context.ts';
import { imageManifest } from './manifest-of.ts';

/** what Docker notes when nobody says --message */
const DEFAULT_MESSAGE = 'Imported from ';

/**
 * Reference and changes are checked before the first byte is read.
 * @returns the new image's id
 * @throws HuskError `invalid` (reference, changes), `corrupt` (the tar), `limit` (max-layer-size)
 */
export async function importImage(
  context: ArchiveContext,
  input: NodeJS.ReadableStream | URL,
  { reference, message, changes = [], platform = hostPlatform() }: Parameters<Images['import']>[1],
): Promise<string> {
  const { paths, records } = context;
  const names = reference === undefined ? [] : [importName(reference)];
  const config: NonNullable<ImageConfig['config']> = {};
  applyChanges(config, changes);
  using _claim = context.claim('import');
  const layer = await ingestLayer({
    source: notEmpty(await bytesOf(input, context.env)),
    diffId: undefined,
    tmp: paths.tmp,
    layersDir: paths.layers,
    maxSize: context.maxLayerSize,
    programs: true,
  });
  records.recordLayer(layer);
  const created = new Date().toISOString();
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
  return records.add({ config: bytes, manifest: made.bytes, layers: made.layers, names });
}

async function bytesOf(input: NodeJS.ReadableStream | URL, env: NodeJS.ProcessEnv): Promise<AsyncIterable<Uint8Array>> {
  if (!(input instanceof URL)) return input as AsyncIterable<Uint8Array>;
  return (await import('./download.ts')).download(input, { env });
}

/** Without its query: signed URLs carry secrets there, and the history goes with the image. */
const shownUrl = ({ origin, pathname }: URL): string => `${origin}${pathname}`;

function importName(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw new HuskError('cannot import digest reference', { kind: 'invalid' });
  return nameKey(reference);
}

/** `failing-program | husk import - name` must not give the name to an image of nothing. */
async function* notEmpty(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let length = 0;
  for await (const chunk of source) {
    length += chunk.length;
    yield chunk;
  }
  if (length === 0) throw new HuskError('the archive is empty', { kind: 'invalid' });
}
