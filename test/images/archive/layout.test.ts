/**
 * Images in an OCI layout that a stranger has written: the one that is named is read, and nothing unverified is taken.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { sha256 } from '../../../src/images/store/blobs.ts';
import type { LayoutChoice, Platform } from '../../../src/images/store/contract.ts';
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST } from '../../../src/images/store/manifest.ts';
import { hostPlatform } from '../../../src/images/store/platform.ts';
import { TAR_END, tarHeader } from '../../../src/tar/write.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { testStore } from '../store.ts';

const NAME = 'org.opencontainers.image.ref.name';
const { signal } = new AbortController();
const HOST = hostPlatform();
const OTHER: Platform = { os: 'linux', architecture: HOST.architecture === 's390x' ? 'ppc64le' : 's390x' };
const tarOf = (name: string): Buffer => Buffer.concat([tarHeader({ type: 'file', path: name }), TAR_END]);
const TAR = tarOf('a');

interface Entry {
  mediaType: string;
  digest: string;
  size: number;
  platform?: Platform;
  annotations?: Record<string, string>;
}

interface ImageParts {
  tar?: Buffer;
  /** bytes of its blob */
  layer?: Buffer;
  mediaType?: string;
  diffIds?: string[];
  platform?: Platform;
  /** over fields of the manifest */
  change?: object;
}

/** A layout in a folder of its own, to which images are added. */
class Layout {
  readonly folder = temporaryFolder('husk-layout-');
  readonly entries: unknown[] = [];

  constructor() {
    mkdirSync(join(this.folder, 'blobs/sha256'), { recursive: true });
    this.put('oci-layout', { imageLayoutVersion: '1.0.0' });
  }

  path = (digest: string): string => join(this.folder, 'blobs/sha256', digest.replace('sha256:', ''));

  put(name: string, value: unknown): void {
    writeFileSync(join(this.folder, name), JSON.stringify(value));
  }

  blob(value: unknown, mediaType: string): Entry {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    writeFileSync(this.path(sha256(bytes)), bytes);
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  }

  image({
    tar = TAR,
    layer = tar,
    mediaType = OCI_LAYER,
    diffIds = [sha256(tar)],
    platform = HOST,
    change = {},
  }: ImageParts = {}): Entry {
    const config = this.blob({ ...platform, rootfs: { type: 'layers', diff_ids: diffIds } }, OCI_CONFIG);
    const layers = [this.blob(layer, mediaType)];
    return this.blob({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, ...change }, OCI_MANIFEST);
  }

  index = (manifests: unknown[]): Entry => this.blob({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }, OCI_INDEX);

  /** Writes index.json. @returns the choice of what `which` names */
  with(entries: unknown[], which: Omit<LayoutChoice, 'folder'> = {}): LayoutChoice {
    this.put('index.json', { schemaVersion: 2, manifests: entries });
    return { folder: this.folder, ...which };
  }
}

const tagged = (entry: Entry, tag: string, platform?: Platform): Entry => ({
  ...entry,
  ...(platform && { platform }),
  annotations: { [NAME]: tag },
});

async function read(choice: LayoutChoice, { platform = HOST, config = {} } = {}) {
  using own = testStore({ config });
  using building = await own.store.building();
  try {
    const image = await building.readLayout(choice, { platform, onBytes: () => {}, signal });
    return { layers: image.layers.map(({ diffId }) => diffId), images: own.store.list().length, left: own.fsck() };
  } catch (error) {
    return { said: (error as Error).message, left: [...own.names('layers'), ...own.names('tmp'), ...own.fsck()] };
  }
}

const B = tarOf('b');
const FOUND: Record<string, (layout: Layout) => LayoutChoice> = {
  'the only image': (layout) => layout.with([layout.image()]),
  'the tag latest': (layout) => layout.with([tagged(layout.image({ tar: B }), '1'), tagged(layout.image(), 'latest')]),
  'a tag': (layout) =>
    layout.with([tagged(layout.image({ tar: B }), 'latest'), tagged(layout.image(), '1')], { tag: '1' }),
  'one of two under a tag, by its platform': (layout) =>
    layout.with([tagged(layout.image({ tar: B, platform: OTHER }), '1', OTHER), tagged(layout.image(), '1', HOST)], {
      tag: '1',
    }),
  'one of an index': (layout) =>
    layout.with([
      layout.index([
        { ...layout.image({ tar: B, platform: OTHER }), platform: OTHER },
        { ...layout.image(), platform: HOST },
      ]),
    ]),
  'a digest before the tag': (layout) => {
    const image = layout.image();
    return layout.with([layout.image({ tar: B }), image], { tag: 'nothing', digest: image.digest });
  },
  'a digest that only an inner index has': (layout) => {
    const image = layout.image();
    return layout.with([layout.index([image])], { digest: image.digest });
  },
  'a compressed layer': (layout) => layout.with([layout.image({ layer: gzipSync(TAR), mediaType: OCI_LAYER_GZIP })]),
  'beside an attestation': (layout) =>
    layout.with([
      { ...layout.image({ tar: B }), platform: { os: 'unknown', architecture: 'unknown' } },
      layout.image(),
    ]),
  'in a layout without a version': (layout) => {
    rmSync(join(layout.folder, 'oci-layout'));
    return layout.with([layout.image()]);
  },
};
for (const [what, make] of Object.entries(FOUND))
  test(`read: ${what}`, async (t) => {
    t.deepEqual(await read(make(new Layout())), { layers: [sha256(TAR)], images: 0, left: [] });
  });

test('an image for another platform is taken where that is asked for', async (t) => {
  const layout = new Layout();
  const choice = layout.with([layout.image({ platform: OTHER })]);
  t.deepEqual((await read(choice, { platform: OTHER })).layers, [sha256(TAR)]);
  t.regex((await read(choice)).said!, /is for linux\/\w+, and linux\/\w+ is wanted/);
});

const moved = (layout: Layout, path: string): void => {
  const aside = join(temporaryFolder('husk-layout-outside-'), 'own');
  renameSync(join(layout.folder, path), aside);
  symlinkSync(aside, join(layout.folder, path));
};
const blobPath = (digest: string): string => `blobs/sha256/${digest.replace('sha256:', '')}`;

const HOSTILE: [what: string, make: (layout: Layout) => LayoutChoice, said: RegExp][] = [
  ...['blobs', 'blobs/sha256', 'index.json', 'oci-layout', blobPath(sha256(TAR))].map(
    (path): (typeof HOSTILE)[number] => [
      `a link in place of ${path.replace(/\w{64}/, 'a layer')}`,
      (layout) => {
        const choice = layout.with([layout.image()]);
        moved(layout, path);
        return choice;
      },
      /it is a link, or below one/,
    ],
  ),
  [
    'a pipe in place of a layer',
    (layout) => {
      const choice = layout.with([layout.image()]);
      rmSync(layout.path(sha256(TAR)));
      execFileSync('mkfifo', [layout.path(sha256(TAR))]);
      return choice;
    },
    /it is no file/,
  ],
  [
    'other bytes of a layer',
    (layout) => {
      const choice = layout.with([layout.image()]);
      writeFileSync(layout.path(sha256(TAR)), B);
      return choice;
    },
    /does not have the digest it is named by/,
  ],
  [
    'other bytes of a manifest',
    (layout) => {
      const image = layout.image();
      const other = layout.image({ tar: B });
      rmSync(layout.path(image.digest));
      renameSync(layout.path(other.digest), layout.path(image.digest));
      return layout.with([image]);
    },
    /does not have the digest it is named by/,
  ],
  [
    'a manifest of another size',
    (layout) => layout.with([{ ...layout.image(), size: 5 }]),
    /bytes, its manifest says 5/,
  ],
  [
    'a manifest without end',
    (layout) => layout.with([{ ...layout.image(), size: 2 ** 40 }]),
    /is larger than \d+ bytes/,
  ],
  ['another diffID', (layout) => layout.with([layout.image({ diffIds: [sha256(B)] })]), /its image says/],
  [
    'more diffIDs than layers',
    (layout) => layout.with([layout.image({ diffIds: [sha256(TAR), sha256(B)] })]),
    /has 2 diff_ids, its manifest 1 layers/,
  ],
  [
    'a layer that is not there',
    (layout) => {
      const choice = layout.with([layout.image()]);
      rmSync(layout.path(sha256(TAR)));
      return choice;
    },
    /is missing/,
  ],
  [
    'a layer that is no gzip behind its magic',
    (layout) => layout.with([layout.image({ layer: gzipSync(TAR).subarray(0, 30), mediaType: OCI_LAYER_GZIP })]),
    /^broken gzip data/,
  ],
  [
    'a manifest that is an index too',
    (layout) => layout.with([layout.image({ change: { manifests: [] } })]),
    /is both an index and a manifest/,
  ],
  [
    'an index in an index',
    (layout) => layout.with([layout.index([{ ...layout.index([]), platform: HOST }])]),
    /leads to another index/,
  ],
  [
    'an artifact',
    (layout) => layout.with([layout.image({ change: { config: layout.blob({}, 'text/x') } })]),
    /is not an image/,
  ],
  [
    '501 layers',
    (layout) => layout.with([layout.image({ change: { layers: Array.from({ length: 501 }, () => ({})) } })]),
    /more than 500/,
  ],
  ['5000 entries', (layout) => layout.with(Array.from({ length: 5000 }, () => ({}))), /more than 4096/],
  ['an entry that is none', (layout) => layout.with([5]), /is not a descriptor/],
  ['a path as digest', (layout) => layout.with([{ digest: 'sha256:../../etc/passwd', size: 1 }]), /no sha256 digest/],
  ['no entries', (layout) => layout.with([]), /there is no image latest in/],
  [
    'an index without end',
    (layout) => {
      writeFileSync(join(layout.folder, 'index.json'), Buffer.alloc(5 << 20, 32));
      return { folder: layout.folder };
    },
    /index\.json is larger than/,
  ],
  [
    'an index that is no JSON',
    (layout) => {
      writeFileSync(join(layout.folder, 'index.json'), '{\u001b[31m');
      return { folder: layout.folder };
    },
    /^\S*index\.json is not JSON$/,
  ],
  [
    'a layout of another version',
    (layout) => {
      layout.put('oci-layout', { imageLayoutVersion: '2.0.0' });
      return layout.with([layout.image()]);
    },
    /of the version "2\.0\.0": only 1\.0\.0 is known/,
  ],
  ['no index.json', (layout) => ({ folder: layout.folder }), /is no OCI layout: it has no index\.json/],
  ['no folder', () => ({ folder: '/nonexistent' }), /\/nonexistent is no OCI layout/],
  ['another tag', (layout) => layout.with([tagged(layout.image(), '1')], { tag: '2' }), /there is no image 2 in/],
  [
    'a digest of no blob',
    (layout) => layout.with([layout.image()], { digest: sha256(B) }),
    /there is no image sha256:\w+ in/,
  ],
  [
    'two images under a tag',
    (layout) => layout.with([tagged(layout.image(), '1'), tagged(layout.image({ tar: B }), '1')], { tag: '1' }),
    /has several images 1/,
  ],
  [
    'an index of another platform alone',
    (layout) => layout.with([layout.index([{ ...layout.image({ platform: OTHER }), platform: OTHER }])]),
    /no matching manifest for/,
  ],
];
for (const [what, make, said] of HOSTILE)
  test(`nothing is taken: ${what}`, async (t) => {
    const found = await read(make(new Layout()));
    t.regex(found.said ?? 'it was taken', said);
    t.deepEqual(found.left, []);
  });

test('nothing is taken: a layer that grows without end', async (t) => {
  const layout = new Layout();
  const tar = Buffer.concat([TAR, Buffer.alloc(1 << 20)]);
  const choice = layout.with([layout.image({ tar, layer: gzipSync(tar), mediaType: OCI_LAYER_GZIP })]);
  const found = await read(choice, { config: { 'max-layer-size': 1 << 16 } });
  t.regex(found.said ?? 'it was taken', /larger than 65536 bytes/);
  t.deepEqual(found.left, []);
});
