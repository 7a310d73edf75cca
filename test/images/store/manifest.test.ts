/** Manifests and configs: what is read, and that no bytes whatever make the readers fail in any way but their own. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { parseChallenges } from '../../../src/images/registry/challenge.ts';
import {
  compressionOf,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  OCI_INDEX,
  OCI_MANIFEST,
  parseImageConfig,
  parseManifest,
} from '../../../src/images/store/manifest.ts';

const D = `sha256:${'ab'.repeat(32)}`;
const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: D, size: 2 };
const layer = {
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  digest: D,
  size: 5,
  urls: ['https://elsewhere.example/'],
};
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

test('the body’s media type wins, then the header’s, then its shape', (t) => {
  const manifest = { schemaVersion: 2, config, layers: [layer] };
  t.is(parseManifest(bytes({ ...manifest, mediaType: DOCKER_MANIFEST }), OCI_MANIFEST, 'x').mediaType, DOCKER_MANIFEST);
  t.is(parseManifest(bytes(manifest), `${DOCKER_MANIFEST}; charset=utf-8`, 'x').mediaType, DOCKER_MANIFEST);
  t.is(parseManifest(bytes(manifest), 'application/json', 'x').mediaType, OCI_MANIFEST);
  t.is(parseManifest(bytes({ schemaVersion: 2, manifests: [] }), '', 'x').mediaType, OCI_INDEX);
  t.is(parseManifest(bytes({ schemaVersion: 2, manifests: [] }), DOCKER_LIST, 'x').kind, 'index');
  t.throws(() => parseManifest(bytes(manifest), OCI_INDEX, 'x'), { message: /both an index and a manifest/ });
});

test('an image without layers is an image', (t) =>
  t.is(parseManifest(bytes({ schemaVersion: 2, config, layers: [] }), OCI_MANIFEST, 'x').kind, 'manifest'));

test('layer media types', (t) => {
  t.is(compressionOf('application/vnd.docker.image.rootfs.diff.tar.gzip'), 'gzip');
  t.is(compressionOf('application/vnd.oci.image.layer.v1.tar+zstd'), 'zstd');
  t.is(compressionOf('application/vnd.oci.image.layer.v1.tar'), 'none');
  t.throws(() => compressionOf('application/vnd.in-toto+json'), { message: /unsupported layer media type/ });
});

test('a config keeps what husk does not know, and gets a platform when it has none', (t) => {
  const read = parseImageConfig(
    bytes({ rootfs: { type: 'layers', diff_ids: [D] }, config: { Cmd: null, Env: ['A=1'], Odd: 1 }, history: null }),
    'x',
  );
  t.deepEqual(
    [read.os, read.architecture, read.config?.Cmd, (read.config as { Odd?: number }).Odd],
    ['linux', 'amd64', null, 1],
  );
});

const refusedConfig = test.macro({
  exec(t, change: object, expected: RegExp) {
    t.throws(() => parseImageConfig(bytes({ rootfs: { type: 'layers', diff_ids: [] }, ...change }), 'x'), {
      instanceOf: HuskError,
      message: expected,
    });
  },
  title: (_title, change: object, _expected?: RegExp) => `refused: ${JSON.stringify(change)}`,
});
test(refusedConfig, { os: 1 }, /wrong value in os/);
test(refusedConfig, { config: [] }, /wrong value in config/);
test(refusedConfig, { config: { User: {} } }, /config.User/);
test(refusedConfig, { config: { Cmd: 'sh' } }, /config.Cmd/);
test(refusedConfig, { config: { Entrypoint: ['a\0b'] } }, /config.Entrypoint/);
test(refusedConfig, { config: { Volumes: ['a'] } }, /config.Volumes/);
test(refusedConfig, { config: { ExposedPorts: 80 } }, /config.ExposedPorts/);
test(refusedConfig, { config: { Healthcheck: { Interval: 'often' } } }, /Healthcheck.Interval/);
test(refusedConfig, { config: { Healthcheck: { Test: 'CMD' } } }, /Healthcheck.Test/);
test(refusedConfig, { config: { Healthcheck: { Test: ['CMD', 'a\0b'] } } }, /Healthcheck.Test/);
test(refusedConfig, { config: { Shell: ['/bin/sh\0', '-c'] } }, /Shell/);
test(refusedConfig, { history: {} }, /history/);
test(refusedConfig, { history: [1] }, /history/);
test(refusedConfig, { history: [{ created_by: 1 }] }, /history.created_by/);
test(
  refusedConfig,
  { rootfs: { type: 'layers', diff_ids: Array.from({ length: 501 }, () => D) } },
  /501 diff_ids, more than 500/,
);
test(refusedConfig, { rootfs: [] }, /no rootfs.diff_ids/);

/** values that stand where others are expected */
const ODD = [
  null,
  -1,
  1e300,
  Number.NaN,
  '',
  'x'.repeat(300),
  [],
  {},
  [[]],
  true,
  D,
  { digest: D, size: 1, mediaType: 'x' },
  '__proto__',
  '\u001b[2J',
];

function mutate(value: unknown, random: () => number): unknown {
  if (random() < 0.1) return ODD[Math.floor(random() * ODD.length)];
  if (Array.isArray(value))
    return value.flatMap((item) =>
      random() < 0.1 ? [] : random() < 0.1 ? [item, mutate(item, random)] : [mutate(item, random)],
    );
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, item]) => (random() < 0.07 ? [] : [[key, mutate(item, random)] as const])),
    );
  return value;
}

test('mutated manifests and configs are read or refused, nothing else', (t) => {
  const seeds = [
    { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer, layer] },
    {
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [
        { mediaType: OCI_MANIFEST, digest: D, size: 7, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } },
      ],
    },
    {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [D] },
      config: { Env: ['A=1'], Cmd: ['sh'], Labels: { a: 'b' }, Healthcheck: { Test: ['CMD', 'x'], Retries: 3 } },
      history: [{ created_by: 'x', empty_layer: true }],
    },
  ];
  const outcomes = { read: 0, refused: 0 };
  for (let round = 0; round < 20_000; round++) {
    const text = bytes(mutate(seeds[round % seeds.length], Math.random) ?? null);
    // cut and flipped as well: not every lie is JSON
    const input = round % 10 === 0 ? text.subarray(0, Math.random() * text.length) : text;
    if (round % 17 === 0 && input.length > 0) input[Math.floor(Math.random() * input.length)] = Math.random() * 256;
    for (const read of [() => parseManifest(input, OCI_MANIFEST, 'x'), () => parseImageConfig(input, 'x')]) {
      try {
        read();
        outcomes.read++;
      } catch (error) {
        outcomes.refused++;
        if (!(error instanceof HuskError)) t.fail(`${(error as Error).stack} for ${input.toString()}`);
      }
    }
  }
  t.true(outcomes.read > 1000 && outcomes.refused > 1000, JSON.stringify(outcomes));
});

test('any WWW-Authenticate is read', (t) => {
  const parts = ['Bearer', 'Basic', ' ', ',', '=', '"', '\\', 'realm', 'scope', 'x', '\t', 'é', '"a\\"b"', '__proto__'];
  for (let round = 0; round < 20_000; round++) {
    const header = Array.from(
      { length: Math.random() * 12 },
      () => parts[Math.floor(Math.random() * parts.length)],
    ).join('');
    for (const { scheme, parameters } of parseChallenges(header))
      t.true(typeof scheme === 'string' && Object.values(parameters).every((value) => typeof value === 'string'));
  }
});
