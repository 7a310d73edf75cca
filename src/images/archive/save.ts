/**
 * `save`: images as a docker-archive with an OCI layout in it, as Docker 25 and later write them. The same images give
 * the same bytes. Of a name that stands for several platforms the layout has an index. Layers are written uncompressed,
 * as they are stored, each once, and are hashed again meanwhile.
 *
 * Source: moby image/spec/v1.2.md § Combined Image JSON + Filesystem Changeset Format; OCI image-spec image-layout.md.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { causeOf, HuskError } from '../../errors.ts';
import { sha256 } from '../store/blobs.ts';
import type { Image, Layer } from '../store/contract.ts';
import { OCI_INDEX, OCI_LAYER, OCI_MANIFEST } from '../store/manifest.ts';
import { familiarName, familiarReference, fullReference, hexOf } from '../store/reference.ts';
import { paddingOf, TAR_END, tarHeader } from '../../tar/write.ts';
import type { ArchiveContext } from './context.ts';
import { imageManifest } from './manifest-of.ts';
import type { SavedImage } from './saved.ts';

/** bytes read from a layer at once */
const CHUNK = 1 << 20;

/**
 * Writes the archive and leaves `output` open; resolves when all of it is written.
 * @throws HuskError `corrupt` when a layer is not what it was; whatever `output` fails with
 */
export async function saveImages(
  context: ArchiveContext,
  images: readonly SavedImage[],
  output: NodeJS.WritableStream,
): Promise<void> {
  await pipeline(Readable.from(archive(context, images), { objectMode: false, highWaterMark: CHUNK }), output, {
    end: false,
  });
  // The pipeline ends when the last byte has been handed over; the callback of this write comes when all bytes before
  // it are written.
  await new Promise<void>((done, fail) => {
    output.once('error', fail);
    output.write(TAR_END, (error) => {
      output.off('error', fail);
      if (error) fail(error);
      else done();
    });
  });
}

const blobPath = (digest: string) => `blobs/sha256/${hexOf(digest)}`;

async function* archive({ blobs }: ArchiveContext, images: readonly SavedImage[]): AsyncGenerator<Buffer, void, void> {
  const small = new Map<string, Buffer>();
  const layers = new Map<string, Layer>();
  const entries: object[] = [];
  const descriptors: object[] = [];
  // The object has no prototype, because a repository may be named `constructor`, and a tag `keys`.
  const repositories = Object.create(null) as Record<string, Record<string, string>>;
  /** Takes an image in. @returns what leads to its manifest */
  const descriptorOf = (image: Image): { mediaType: string; digest: string; size: number } => {
    const config = blobs.get(image.id);
    const manifest = imageManifest(config, image.layers).bytes;
    small.set(image.id, config).set(sha256(manifest), manifest);
    for (const layer of image.layers) layers.set(layer.diffId, layer);
    return { mediaType: OCI_MANIFEST, digest: sha256(manifest), size: manifest.length };
  };
  for (const { image, index, names } of images) {
    let descriptor = descriptorOf(image);
    if (index) {
      const bytes = indexOf(index.map((each) => ({ ...descriptorOf(each.image), platform: each.platform })));
      descriptor = { mediaType: OCI_INDEX, digest: sha256(bytes), size: bytes.length };
      small.set(descriptor.digest, bytes);
    }
    // manifest.json and `repositories` know of no platforms: they have the one image.
    entries.push({
      Config: blobPath(image.id),
      RepoTags: names.length === 0 ? null : names.map(familiarReference),
      Layers: image.layers.map(({ diffId }) => blobPath(diffId)),
      LayerSources: Object.fromEntries(
        image.layers.map(({ diffId, size }) => [diffId, { mediaType: OCI_LAYER, size, digest: diffId }]),
      ),
    });
    if (names.length === 0) descriptors.push(descriptor);
    for (const name of names) {
      descriptors.push({
        ...descriptor,
        annotations: { 'io.containerd.image.name': fullReference(name), 'org.opencontainers.image.ref.name': name.tag },
      });
      const top = image.layers.at(-1);
      if (top)
        (repositories[familiarName(name)] ??= Object.create(null) as Record<string, string>)[name.tag!] = hexOf(
          top.diffId,
        );
    }
  }
  yield tarHeader({ type: 'directory', path: 'blobs/', mode: 0o755 });
  yield tarHeader({ type: 'directory', path: 'blobs/sha256/', mode: 0o755 });
  for (const digest of [...small.keys(), ...layers.keys()].sort()) {
    const layer = layers.get(digest);
    if (layer) yield* layerMember(layer);
    else yield* member(blobPath(digest), small.get(digest)!);
  }
  yield* member('index.json', indexOf(descriptors));
  yield* member('manifest.json', json(entries));
  yield* member('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
  if (Object.keys(repositories).length > 0) yield* member('repositories', json(repositories));
}

const indexOf = (manifests: object[]): Buffer => json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });

const json = (value: object) => Buffer.from(JSON.stringify(value));

function* member(path: string, bytes: Buffer): Generator<Buffer, void, void> {
  yield tarHeader({ type: 'file', path, size: bytes.length });
  yield bytes;
  yield paddingOf(bytes.length);
}

async function* layerMember({ diffId, tar, size }: Layer): AsyncGenerator<Buffer, void, void> {
  yield tarHeader({ type: 'file', path: blobPath(diffId), size });
  const hash = createHash('sha256');
  let sent = 0;
  try {
    for await (const chunk of createReadStream(tar, { highWaterMark: CHUNK })) {
      hash.update(chunk as Buffer);
      sent += (chunk as Buffer).length;
      if (sent > size) break;
      yield chunk as Buffer;
    }
  } catch (error) {
    throw new HuskError(`cannot read the layer ${diffId}: ${causeOf(error)}`, { kind: 'corrupt', cause: error });
  }
  if (sent !== size || `sha256:${hash.digest('hex')}` !== diffId)
    throw new HuskError(`the layer ${tar} does not have the digest it is named by`, {
      kind: 'corrupt',
      fix: 'remove its images and pull or load them again',
    });
  yield paddingOf(size);
}
