/** What the manifest commands ask of the image room, and print. */
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import { HuskError } from '../../../src/errors.ts';
import type { InspectedManifest, ListedManifest } from '../../../src/images/store/contract.ts';
import { husk } from '../fake-context.ts';

const BYTES = Buffer.from('{"schemaVersion":2,"a":"<\u009b>"}');
const ONE: ListedManifest = {
  reference: 'h:1/x:1',
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: 'sha256:d',
  platform: { os: 'linux', architecture: 'arm64', variant: 'v8', osVersion: '1', osFeatures: ['f'] },
  bytes: BYTES,
};
const OTHER: ListedManifest = {
  reference: 'h:1/y:1',
  mediaType: 'application/other',
  digest: 'sha256:e',
  bytes: BYTES,
};

/** Runs a command line; every call is recorded, but for its signal and callback. */
async function run(
  line: string,
  answer: Partial<InspectedManifest> = {},
  terminal?: { columns: number; rows: number },
): Promise<{ code: number; stdout: string; stderr: string; calls: unknown[] }> {
  const calls: unknown[] = [];
  const record = (name: string, words: unknown[]): void => {
    const plain = (value: unknown): unknown =>
      typeof value === 'object' && value !== null && 'signal' in value
        ? Object.fromEntries(Object.entries(value).filter(([key]) => !['signal', 'onPushed'].includes(key)))
        : value;
    calls.push([name, ...words.map(plain)]);
  };
  const lists = {
    inspect: async (...words: unknown[]) => (
      record('inspect', words),
      { text: '{}', isList: true, manifests: [ONE], ...answer }
    ),
    create: async (...words: unknown[]) => (record('create', words), 'docker.io/library/l:latest'),
    annotate: (...words: unknown[]) => record('annotate', words),
    push: async (...words: [string, { onPushed: (reference: string, digest: string) => void }]) => {
      record('push', words);
      words[1].onPushed('h:1/l@sha256:d', 'sha256:d');
      return 'sha256:f';
    },
    remove: (name: string) => {
      record('remove', [name]);
      if (name === 'none') throw new HuskError('No such manifest: none', { kind: 'not-found' });
    },
  };
  const engine = { images: { manifestLists: async () => lists } } as unknown as Partial<Engine>;
  return { ...(await husk(['manifest', ...line.split(' ')], { engine, terminal })), calls };
}

const CASES: [line: string, calls: unknown[], stdout: string][] = [
  [
    'create l a b',
    [['create', 'l', ['a', 'b'], { amend: false, insecure: false }]],
    'Created manifest list docker.io/library/l:latest\n',
  ],
  [
    'create -a --insecure l a',
    [['create', 'l', ['a'], { amend: true, insecure: true }]],
    'Created manifest list docker.io/library/l:latest\n',
  ],
  [
    'annotate --arch arm64 --os linux --variant v8 --os-version 1 --os-features a,b l a',
    [
      [
        'annotate',
        'l',
        'a',
        { architecture: 'arm64', os: 'linux', osVersion: '1', variant: 'v8', osFeatures: ['a', 'b'] },
      ],
    ],
    '',
  ],
  ['annotate l a', [['annotate', 'l', 'a', {}]], ''],
  [
    'push l',
    [['push', 'l', { insecure: false, purge: false }]],
    'Pushed ref h:1/l@sha256:d with digest: sha256:d\nsha256:f\n',
  ],
  [
    'push -p --insecure l',
    [['push', 'l', { insecure: true, purge: true }]],
    'Pushed ref h:1/l@sha256:d with digest: sha256:d\nsha256:f\n',
  ],
  ['inspect l', [['inspect', 'l', { list: undefined, all: false, insecure: false }]], '{}\n'],
  ['inspect --insecure l a', [['inspect', 'a', { list: 'l', all: false, insecure: true }]], '{}\n'],
  [
    'rm a b',
    [
      ['remove', 'a'],
      ['remove', 'b'],
    ],
    '',
  ],
];
for (const [line, calls, stdout] of CASES)
  test(`manifest ${line}`, async (t) => t.deepEqual(await run(line), { code: 0, stdout, stderr: '', calls }));

test('rm goes on after one that is not there', async (t) => {
  const { code, stderr, calls } = await run('rm none b');
  t.deepEqual([code, stderr, calls.length], [1, 'Error: No such manifest: none\n', 2]);
});

test("inspect -v has Docker's fields in their order, and escapes what Go escapes", async (t) => {
  const { stdout } = await run('inspect -v l', { manifests: [ONE, OTHER] });
  const raw = BYTES.toString('base64');
  t.is(
    Buffer.from(stdout, 'utf8').toString('utf8'),
    `[
\t{
\t\t"Ref": "h:1/x:1",
\t\t"Descriptor": {
\t\t\t"mediaType": "application/vnd.oci.image.manifest.v1+json",
\t\t\t"digest": "sha256:d",
\t\t\t"size": ${BYTES.length},
\t\t\t"platform": {
\t\t\t\t"architecture": "arm64",
\t\t\t\t"os": "linux",
\t\t\t\t"os.version": "1",
\t\t\t\t"os.features": [
\t\t\t\t\t"f"
\t\t\t\t],
\t\t\t\t"variant": "v8"
\t\t\t}
\t\t},
\t\t"Raw": "${raw}",
\t\t"OCIManifest": {
\t\t\t"schemaVersion": 2,
\t\t\t"a": "\\u003c\u009b\\u003e"
\t\t}
\t},
\t{
\t\t"Ref": "h:1/y:1",
\t\t"Descriptor": {
\t\t\t"mediaType": "application/other",
\t\t\t"digest": "sha256:e",
\t\t\t"size": ${BYTES.length}
\t\t},
\t\t"Raw": "${raw}"
\t}
]
`,
  );
  t.regex((await run('inspect -v l', { isList: false })).stdout, /^\{\n\t"Ref"/);
});

test('a terminal gets no control characters of a manifest', async (t) => {
  const { stdout } = await run('inspect l', { text: '{\n\t"a": "\u009b2J"\n}' }, { columns: 80, rows: 24 });
  t.is(stdout, '{\n\t"a": "\uFFFD2J"\n}\n');
});
