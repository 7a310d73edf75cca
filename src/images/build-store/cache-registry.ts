/** A build cache in a registry, under a tag of a repository; or inside of an image there. */
import { createReadStream } from 'node:fs';
import type { Config } from '../../config.ts';
import { HuskError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { blobStream } from '../blob-stream.ts';
import { CHUNK, uploadBlob } from '../layer-blobs.ts';
import { Repository } from '../registry/client.ts';
import { endpoints } from '../registry/endpoints.ts';
import { Transport } from '../registry/transport.ts';
import { OCI_MANIFEST, type Descriptor } from '../store/manifest.ts';
import { familiarReference, parseReference, withDefaultTag } from '../store/reference.ts';
import { platformEntry } from './cache-manifest.ts';
import type { CachePlace } from './cache-place.ts';

/** tries of a request to a registry that is only read */
const READ_ATTEMPTS = 2;

export interface RegistryOptions {
  config: Config;
  env: NodeJS.ProcessEnv;
  /** whether it is written to */
  push: boolean;
  signal?: AbortSignal;
}

/** Asks the registry itself, never a mirror: what is written there must be found again. */
export function registryPlace(text: string, { config, env, push, signal }: RegistryOptions): CachePlace {
  const reference = withDefaultTag(parseReference(text));
  const transport = new Transport({ userAgent: `husk/${VERSION}`, env });
  const repository = new Repository({
    transport,
    endpoint: endpoints(reference.domain, { ...config, 'registry-mirrors': [] })[0]!,
    path: reference.path,
    env,
    // Steps wait until it is known whether a cache has them; without one they are made.
    ...(push ? {} : { attempts: READ_ATTEMPTS }),
    ...(push && { push: { mountFrom: [] } }),
    ...(signal && { signal }),
  });
  const name = familiarReference(reference);
  return {
    name,
    async manifest() {
      const { bytes } = await repository.manifest(reference.digest ?? reference.tag!);
      const entry = platformEntry(bytes, name);
      return entry === undefined ? bytes : (await repository.manifest(entry.digest)).bytes;
    },
    blob: (descriptor, options) =>
      // No part of it is kept: whoever fetches the same blob beside this one would write the same part.
      blobStream({ descriptor, repository, paths: { tmp: '' }, keep: false, ...options }),
    has: ({ digest }) => repository.hasBlob(digest),
    put: (descriptor: Descriptor, from, each) =>
      uploadBlob(
        repository,
        {
          digest: descriptor.digest,
          size: descriptor.size,
          body: () => ('bytes' in from ? from.bytes : createReadStream(from.file, { highWaterMark: CHUNK })),
        },
        each,
      ),
    async putManifest(bytes) {
      if (reference.digest !== undefined)
        throw new HuskError(`${name}: a cache is written to a tag, not to a digest`, { kind: 'invalid' });
      await repository.putManifest(reference.tag!, bytes, OCI_MANIFEST);
    },
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}
