/** A cache manifest is a stranger's: what breaks its rules is refused as a whole, and what keeps them is read back. */
import test from 'ava';
import {
  CACHE_CONFIG,
  cacheConfig,
  cacheManifest,
  inlineCache,
  platformEntry,
  readCacheManifest,
} from '../../../src/images/build-store/cache-manifest.ts';
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from '../../../src/images/store/manifest.ts';

type Json = Record<string, unknown>;

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const KEY = '0'.repeat(64);
const blob = (letter: string): Json & { mediaType: string; digest: string; size: number } => ({
  mediaType: OCI_LAYER_GZIP,
  digest: digest(letter),
  size: 7,
});
const STEPS = [
  { key: KEY, diffId: digest('a'), made: 5 },
  { key: '1'.repeat(64), diffId: digest('b'), made: 6 },
  { key: '2'.repeat(64), diffId: digest('a'), made: 7 },
];
const rows = () => JSON.parse(cacheConfig(STEPS, [digest('a'), digest('b')]).toString()) as Json & { steps: Json[] };
const manifest = () =>
  JSON.parse(cacheManifest(Buffer.from('{}'), [blob('c'), blob('d')]).toString()) as Json & { layers: Json[] };
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

const read = (changed: { manifest?: unknown; config?: unknown }) =>
  readCacheManifest(bytes(changed.manifest ?? manifest()), 'it').steps(bytes(changed.config ?? rows()));

test('what is written is read back', (t) => {
  const blobs = [blob('c'), blob('d'), blob('c')];
  t.deepEqual(
    read({}),
    STEPS.map((step, index) => ({ ...step, blob: { ...blobs[index]! } })),
  );
});

const first = (change: Json) => ({ config: { ...rows(), steps: [{ ...rows().steps[0], ...change }] } });
const many = (count: number, make: (index: number) => unknown) => Array.from({ length: count }, (_, at) => make(at));

const HOSTILE: [what: string, make: () => { manifest?: unknown; config?: unknown }, said: RegExp][] = [
  ['no JSON object', () => ({ manifest: [] }), /is not a JSON object/],
  ['another schema', () => ({ manifest: { ...manifest(), schemaVersion: 1 } }), /no manifest of a cache/],
  ['an index too', () => ({ manifest: { ...manifest(), manifests: [] } }), /no manifest of a cache/],
  ['no layers', () => ({ manifest: { ...manifest(), layers: 5 } }), /no manifest of a cache/],
  [
    'too many layers',
    () => ({ manifest: { ...manifest(), layers: many(10_001, () => blob('c')) } }),
    /10001 layers, more than 10000/,
  ],
  [
    'a blob of another digest',
    () => ({ manifest: { ...manifest(), layers: [{ ...blob('c'), digest: 'md5:1' }] } }),
    /no sha256 digest/,
  ],
  [
    'a path as digest',
    () => ({ manifest: { ...manifest(), layers: [{ ...blob('c'), digest: 'sha256:../../x' }] } }),
    /no sha256 digest/,
  ],
  ['a blob of no size', () => ({ manifest: { ...manifest(), layers: [{ ...blob('c'), size: -1 }] } }), /no valid size/],
  [
    'a blob that is no layer',
    () => ({ manifest: { ...manifest(), layers: [{ ...blob('c'), mediaType: 'text/x' }] } }),
    /unsupported layer media type/,
  ],
  [
    'a config of gigabytes',
    () => ({ manifest: { ...manifest(), config: { mediaType: CACHE_CONFIG, digest: digest('e'), size: 2 ** 40 } } }),
    /the config of it is larger than/,
  ],
  ['rows of more than 4 MiB', () => ({ config: { ...rows(), more: 'x'.repeat(5 << 20) } }), /is larger than/],
  ['a later version', () => ({ config: { ...rows(), version: 2 } }), /another version than 1/],
  [
    'fewer layers than the manifest',
    () => ({ config: { ...rows(), layers: [digest('a')] } }),
    /the 2 layers of its manifest/,
  ],
  ['a layer twice', () => ({ config: { ...rows(), layers: [digest('a'), digest('a')] } }), /is there twice/],
  ['a diffID that is none', () => ({ config: { ...rows(), layers: [digest('a'), 'b'] } }), /no sha256 digest/],
  ['no steps', () => ({ config: { ...rows(), steps: {} } }), /has no steps/],
  [
    'too many steps',
    () => ({ config: { ...rows(), steps: many(10_001, () => ({})) } }),
    /10001 steps, more than 10000/,
  ],
  ['a step that is none', () => ({ config: { ...rows(), steps: [null] } }), /step 1 .* key that is none/],
  ['a short key', () => first({ key: 'ab' }), /key that is none/],
  ['a long key', () => first({ key: '0'.repeat(65) }), /key that is none/],
  ['a key with a line break', () => first({ key: `${KEY}\n` }), /key that is none/],
  ['a key of upper case', () => first({ key: 'A'.repeat(64) }), /key that is none/],
  ['a number as key', () => first({ key: 5 }), /key that is none/],
  ['a key twice', () => ({ config: { ...rows(), steps: [rows().steps[0], rows().steps[0]] } }), /the key of another/],
  ['a layer behind the end', () => first({ layer: 2 }), /a layer that is not there/],
  ['a layer before the start', () => first({ layer: -1 }), /a layer that is not there/],
  ['half a layer', () => first({ layer: 0.5 }), /a layer that is not there/],
  ['a name as layer', () => first({ layer: '__proto__' }), /a layer that is not there/],
  ['no time', () => first({ made: null }), /a time that is none/],
  ['a time before all times', () => first({ made: -1 }), /a time that is none/],
  ['a time that no text can say', () => first({ made: 2 ** 52 }), /a time that is none/],
];
for (const [what, make, said] of HOSTILE)
  test(`refused: ${what}`, (t) => void t.throws(() => read(make()), { name: 'HuskError', message: said }));

const BUILDKIT = 'application/vnd.buildkit.cacheconfig.v0';
for (const [what, value] of [
  ['a manifest', { ...manifest(), config: { mediaType: BUILDKIT, digest: digest('e'), size: 1 } }],
  ['an index', { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...blob('c'), mediaType: BUILDKIT }] }],
] as const)
  test(`BuildKit's own cache is named as what it is: ${what}`, (t) => {
    t.throws(() => platformEntry(bytes(value), 'it'), { message: /is a cache of BuildKit's/ });
    t.throws(() => readCacheManifest(bytes(value), 'it'), { message: /is a cache of BuildKit's/ });
  });

const image = {
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: { mediaType: OCI_CONFIG, digest: digest('e'), size: 1 },
  layers: [blob('c'), blob('d')],
};
const DIFF_IDS = [digest('a'), digest('b')];
const config = (more: object) => ({
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: DIFF_IDS },
  ...more,
});

test("an image's own cache is read out of its config", (t) => {
  t.deepEqual(
    read({ manifest: image, config: config(inlineCache(STEPS, DIFF_IDS)) }).map(
      ({ key, diffId, blob: { digest: of } }) => [key, diffId, of],
    ),
    STEPS.map(({ key, diffId }) => [key, diffId, diffId === digest('a') ? digest('c') : digest('d')]),
  );
});

const NAME = Object.keys(inlineCache([], []))[0]!;
for (const [what, more, said] of [
  ['without one', {}, /has no build cache in it/],
  ['of another shape', { [NAME]: 5 }, /a build cache that is none/],
  ['of another version', { [NAME]: { version: 9, steps: [] } }, /a build cache that is none/],
  [
    'with other layers',
    { ...inlineCache(STEPS, DIFF_IDS), rootfs: { type: 'layers', diff_ids: [digest('a')] } },
    /a build cache that is none/,
  ],
  [
    'with a layer that is not there',
    { [NAME]: { version: 1, steps: [{ key: KEY, layer: 2, made: 1 }] } },
    /a layer that is not there/,
  ],
] as const)
  test(`refused: an image ${what}`, (t) =>
    void t.throws(() => read({ manifest: image, config: config(more) }), { name: 'HuskError', message: said }));
