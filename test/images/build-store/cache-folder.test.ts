/** A build cache in a folder that a stranger has written to: no link is followed, and no layer is taken unverified. */
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { cacheConfig, cacheManifest } from '../../../src/images/build-store/cache-manifest.ts';
import { sha256 } from '../../../src/images/store/blobs.ts';
import type { CacheChoice } from '../../../src/images/store/contract.ts';
import { OCI_LAYER, OCI_LAYER_GZIP } from '../../../src/images/store/manifest.ts';
import { TAR_END, tarHeader } from '../../../src/tar/write.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { testStore } from '../store.ts';

const KEY = '0'.repeat(64);
const { signal } = new AbortController();
const tarOf = (name: string): Buffer => Buffer.concat([tarHeader({ type: 'file', path: name }), TAR_END]);
const TAR = tarOf('a');
const hex = (bytes: Uint8Array): string => sha256(bytes).slice('sha256:'.length);

interface Written {
  folder: string;
  choice: CacheChoice & { type: 'local' };
  /** path of a blob */
  blob(bytes: Uint8Array): string;
}

/** A cache of one step, whose layer is said to be `diffId` and is the blob `layer`. */
function written({ layer = TAR, diffId = sha256(TAR), mediaType = OCI_LAYER } = {}): Written & {
  config: Buffer;
  manifest: Buffer;
} {
  const folder = temporaryFolder('husk-cache-folder-');
  const blob = (bytes: Uint8Array) => join(folder, 'blobs/sha256', hex(bytes));
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  const config = cacheConfig([{ key: KEY, diffId, made: 1 }], [diffId]);
  const manifest = cacheManifest(config, [{ mediaType, digest: sha256(layer), size: layer.length }]);
  for (const bytes of [layer, config, manifest]) writeFileSync(blob(bytes), bytes);
  writeIndex(folder, [{ digest: sha256(manifest), size: manifest.length, annotations: { [NAME]: 'latest' } }]);
  return { folder, choice: { type: 'local', folder }, blob, config, manifest };
}

const NAME = 'org.opencontainers.image.ref.name';
const writeIndex = (folder: string, manifests: unknown) =>
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));

async function fetch(choice: CacheChoice, config = {}) {
  using own = testStore({ config });
  using building = await own.store.building();
  try {
    using cache = await building.openCache(choice, signal);
    const found = await cache.fetch(KEY, { onBytes: () => {}, signal });
    return { found, bytes: found && readFileSync(found.tar), left: own.fsck() };
  } catch (error) {
    return { said: (error as Error).message, left: [...own.names('layers'), ...own.names('tmp'), ...own.fsck()] };
  }
}

test('a step is fetched, compressed or not, under the digest of its plain bytes', async (t) => {
  for (const one of [written(), written({ layer: gzipSync(TAR), mediaType: OCI_LAYER_GZIP })]) {
    const { found, bytes, left } = await fetch(one.choice);
    t.like(found, { diffId: sha256(TAR), size: TAR.length, made: 1 });
    t.deepEqual([bytes, left], [TAR, []]);
  }
});

const replaced = (path: string, make: (path: string) => void): void => {
  rmSync(path);
  make(path);
};
const linkTo = (bytes: Uint8Array) => (path: string) => {
  const aside = `${path}-aside`;
  writeFileSync(aside, bytes);
  symlinkSync(aside, path);
};
const pipe = (path: string): void => void execFileSync('mkfifo', [path]);

const HOSTILE: [what: string, change: () => CacheChoice, said: RegExp][] = [
  [
    'a layer of another diffID',
    () => written({ diffId: sha256(tarOf('b')) }).choice,
    /have the digest sha256:\w+, its image says/,
  ],
  [
    'a layer that is no tar',
    () => written({ layer: Buffer.alloc(2048, 1), diffId: sha256(Buffer.alloc(2048, 1)) }).choice,
    /invalid tar/,
  ],
  [
    'other bytes of the same length',
    () => {
      const one = written();
      writeFileSync(one.blob(TAR), Buffer.concat([tarHeader({ type: 'file', path: 'b' }), TAR_END]));
      return one.choice;
    },
    /does not have the digest it is named by/,
  ],
  [
    'more bytes',
    () => {
      const one = written();
      writeFileSync(one.blob(TAR), Buffer.alloc(5000));
      return one.choice;
    },
    /has 5000 bytes, its manifest says 1536/,
  ],
  [
    'a layer that is a link',
    () => {
      const one = written();
      replaced(one.blob(TAR), linkTo(TAR));
      return one.choice;
    },
    /it is a link/,
  ],
  [
    'a layer that is a pipe',
    () => {
      const one = written();
      replaced(one.blob(TAR), pipe);
      return one.choice;
    },
    /it is no file/,
  ],
  [
    'a layer that is not there',
    () => {
      const one = written();
      rmSync(one.blob(TAR));
      return one.choice;
    },
    /is missing/,
  ],
  [
    'a config that is a link',
    () => {
      const one = written();
      replaced(one.blob(one.config), linkTo(one.config));
      return one.choice;
    },
    /it is a link/,
  ],
  [
    'an index that is a pipe',
    () => {
      const one = written();
      replaced(join(one.folder, 'index.json'), pipe);
      return one.choice;
    },
    /it is no file/,
  ],
  [
    'an index without end',
    () => {
      const one = written();
      writeFileSync(join(one.folder, 'index.json'), Buffer.alloc(5 << 20, 32));
      return one.choice;
    },
    /is larger than/,
  ],
  [
    'an index that is none',
    () => {
      const one = written();
      writeIndex(one.folder, [5]);
      return one.choice;
    },
    /is no index of an OCI layout/,
  ],
  [
    'an entry that is none',
    () => {
      const one = written();
      writeIndex(one.folder, [{ digest: 'sha256:../../../etc/passwd', size: 1, annotations: { [NAME]: 'latest' } }]);
      return one.choice;
    },
    /no sha256 digest/,
  ],
  ['another tag', () => ({ ...written().choice, tag: 'other' }), /there is no cache other in/],
  ['another digest', () => ({ ...written().choice, digest: sha256(TAR) }), /there is no cache sha256:\w+ in/],
  ['no folder', () => ({ type: 'local', folder: '/nonexistent' }), /there is no cache latest in \/nonexistent/],
];
for (const [what, change, said] of HOSTILE)
  test(`nothing is taken: ${what}`, async (t) => {
    const found = await fetch(change());
    t.regex(found.said ?? 'it was taken', said);
    t.deepEqual(found.left, []);
  });

test('nothing is taken: a layer that grows without end', async (t) => {
  const layer = gzipSync(Buffer.concat([TAR, Buffer.alloc(1 << 20)]));
  const { choice } = written({ layer, mediaType: OCI_LAYER_GZIP });
  const found = await fetch(choice, { 'max-layer-size': 1 << 16 });
  t.regex(found.said ?? 'it was taken', /larger than 65536 bytes/);
  t.deepEqual(found.left, []);
});

const write = async (folder: string, tag: string, names: string[]) => {
  using own = testStore();
  using building = await own.store.building();
  const steps = [];
  for (const [index, name] of names.entries()) {
    const layer = await building.ingest(Readable.from([tarOf(name)]));
    steps.push({ key: String(index).repeat(64), made: 1, layer });
  }
  const messages: string[] = [];
  await building.writeCache({ type: 'local', folder, tag }, steps, {
    compression: 'uncompressed',
    onMessage: (text) => messages.push(text.replace(/ sha256:.*/, '')),
    signal,
  });
  // Layers are written side by side.
  return messages.sort();
};

test('a folder has several caches, and what is there is not written again', async (t) => {
  const folder = temporaryFolder('husk-cache-folder-');
  t.deepEqual(await write(folder, 'one', ['a', 'b']), ['writing cache manifest', 'writing layer', 'writing layer']);
  const before = statSync(join(folder, 'blobs/sha256', hex(TAR))).ino;
  t.deepEqual(await write(folder, 'two', ['a']), ['writing cache manifest', 'writing layer']);
  t.is(statSync(join(folder, 'blobs/sha256', hex(TAR))).ino, before);
  t.deepEqual(await write(folder, 'one', ['a', 'c']), ['has layer', 'writing cache manifest', 'writing layer']);
  for (const tag of ['one', 'two'])
    t.like((await fetch({ type: 'local', folder, tag })).found, { diffId: sha256(TAR) });
  t.is((JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as { manifests: unknown[] }).manifests.length, 2);
  t.deepEqual(
    readdirSync(join(folder, 'blobs/sha256')).filter((name) => name.length !== 64),
    [],
  );
});

test('a link in place of the lock makes no file where it leads', async (t) => {
  const folder = temporaryFolder('husk-cache-folder-');
  const outside = join(temporaryFolder('husk-cache-outside-'), 'made');
  symlinkSync(outside, join(folder, 'index.json.lock'));
  await t.throwsAsync(write(folder, 'one', ['a']), { message: /index\.json\.lock/ });
  t.is(statSync(outside, { throwIfNoEntry: false }), undefined);
});

for (const part of ['blobs', 'blobs/sha256', 'index.json'])
  test(`a link in place of ${part} is not written through`, async (t) => {
    const folder = temporaryFolder('husk-cache-folder-');
    await write(folder, 'one', ['a']);
    const outside = temporaryFolder('husk-cache-outside-');
    const path = join(folder, part);
    renameSync(path, join(outside, 'own'));
    symlinkSync(join(outside, 'own'), path);
    const before = statSync(join(outside, 'own')).mtimeMs;
    await t.throwsAsync(write(folder, 'two', ['b']), { message: /is no folder|it is a link/ });
    t.is(statSync(join(outside, 'own')).mtimeMs, before);
  });
