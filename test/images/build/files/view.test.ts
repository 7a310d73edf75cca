/** A view shows what the merge of the same layers has, name by name; paths stay within it, whatever the tars say. */
import { mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { createHash } from 'node:crypto';
import { LayerFiles, View, type ViewNode } from '../../../../src/images/build/files/view.ts';
import { type MergedNode, mergeLayers } from '../../../../src/images/layers/merge.ts';
import { LayerTree } from '../../../../src/images/layers/tree.ts';
import { scanTar } from '../../../../src/tar/scan.ts';
import { random } from '../../../fixtures/random.ts';
import { pax, type RawMember } from '../../../fixtures/tar.ts';
import { Place } from '../stage.ts';

/** Every name of a view with what decides what a container sees. */
function* shown(view: View, folder: ViewNode, path = ''): Generator<string> {
  for (const name of view.names(folder)) {
    const node = view.child(folder, name)!;
    yield `${path}/${name} ${node.type} ${node.mode} ${node.uid} ${node.size} ${node.linkname}`;
    if (node.type === 'directory') yield* shown(view, node, `${path}/${name}`);
  }
}

function* merged(node: MergedNode, path = ''): Generator<string> {
  if (node.kind === 'leaf') return;
  for (const [name, child] of [...node.children].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { entry } = child;
    const type = child.kind === 'directory' ? 'directory' : entry!.type;
    const { mode = 0o755, uid = 0, size = 0, linkname = '' } = entry ?? {};
    yield `${path}/${name} ${type} ${mode} ${uid} ${size} ${linkname}`;
    yield* merged(child, `${path}/${name}`);
  }
}

test('a view of any layers is their merge', (t) => {
  const next = random(3);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const name = () => Array.from({ length: 1 + Math.floor(next() * 3) }, () => pick(['a', 'b', 'c'])).join('/');
  let names = 0;
  for (let round = 0; round < 200; round++) {
    using place = new Place();
    const layers = Array.from({ length: 1 + Math.floor(next() * 4) }, () =>
      place.layer(
        ...Array.from({ length: 1 + Math.floor(next() * 8) }, (): RawMember => {
          const path = name();
          const slash = path.lastIndexOf('/') + 1;
          const mode = Math.floor(next() * 0o777);
          return pick<RawMember>([
            { name: path, body: path, mode },
            { name: `${path}/`, type: '5', mode, uid: Math.floor(next() * 9) },
            { name: `${path.slice(0, slash)}.wh.${path.slice(slash)}` },
            { name: `${path}/.wh..wh..opq` },
          ]);
        }),
      ),
    );
    let trees: LayerTree[];
    try {
      trees = layers.map(({ tar }) => {
        const tree = new LayerTree();
        scanTar(tar, (entry) => tree.add(entry));
        return tree;
      });
    } catch {
      // A file that a later member uses as a folder.
      continue;
    }
    const view = place.view(...layers);
    const expected = [...merged(mergeLayers(trees))];
    t.deepEqual([...shown(view, view.root)], expected);
    names += expected.length;
  }
  t.true(names > 500);
});

const find = (place: Place, path: string, ...members: (string | RawMember | Buffer)[]) => {
  const { names, node } = place.view(place.layer(...members)).look(path);
  return [names.join('/'), node?.type];
};

for (const [name, path, expected, ...members] of [
  ['a link', '/l/f', ['d/f', 'file'], 'd /d', 'f /d/f', 'l /l d'],
  ['an absolute link', '/x/l/f', ['d/f', 'file'], 'd /d', 'f /d/f', 'd /x', 'l /x/l /d'],
  ['a link that climbs', '/x/l', ['etc', 'directory'], 'd /etc', 'd /x', 'l /x/l ../../../../etc'],
  ['a path that climbs', '/../../etc/./../etc', ['etc', 'directory'], 'd /etc'],
  ['a name that is not there', '/a/b/c', ['a/b/c', undefined], 'd /a'],
  ['back from a name that is not there', '/a/b/../c', ['a/c', 'file'], 'd /a', 'f /a/c'],
  ['a link to a name that is not there', '/l', ['no/where', undefined], 'l /l no/where'],
  ['the root', '/', ['', 'directory']],
] as [string, string, [string, string | undefined], ...string[]][]) {
  test(`a walk by ${name}`, (t) => {
    using place = new Place();
    t.deepEqual(find(place, path, ...members), expected);
  });
}

for (const [name, path, message, ...members] of [
  ['a link to itself', '/l', /too many symbolic links in \/l$/, 'l /l l'],
  [
    'links that double',
    '/l0',
    /too many symbolic links/,
    ...Array.from({ length: 30 }, (_, at) => `l /l${at} l${at + 1}/../l${at + 1}`),
    'd /l30',
  ],
  ['a file as a folder', '/f/x', /\/f is not a folder/, 'f /f'],
] as [string, string, RegExp, ...string[]][]) {
  test(`a walk is refused by ${name}`, (t) => {
    using place = new Place();
    t.throws(() => find(place, path, ...members), { message });
  });
}

test('a path of a million names is walked in no time', (t) => {
  using place = new Place();
  const { names } = place.view(place.layer('d /a')).look('a/../'.repeat(1_000_000));
  t.deepEqual(names, []);
});

test('reads a small file through links, and no other', (t) => {
  using place = new Place();
  const view = place.view(
    place.layer('d /etc', 'l /etc/passwd /lib/pw', 'd /lib', 'f /lib/pw 644 0:0 text', 'l /loop loop'),
  );
  t.is(view.read('/etc/passwd', 10)?.toString(), 'text');
  t.is(view.read('/etc/passwd', 3), undefined, 'too long');
  t.is(view.read('/lib', 10), undefined, 'a folder');
  t.is(view.read('/lib/pw/x', 10), undefined, 'below a file');
  t.is(view.read('/loop', 10), undefined);
  t.is(view.read('/none', 10), undefined);
});

test('a layer that has become shorter is damage, not a file of zeros', async (t) => {
  using place = new Place();
  const layer = place.layer({ name: 'f', body: 'x'.repeat(2000) });
  const view = place.view(layer);
  const { node } = view.look('/f');
  truncateSync(layer.tar, 1000);
  await t.throwsAsync(view.digest(node!), { message: /is damaged: it ends within f$/ });
});

test('the holes of a sparse file are zeros to a reader', async (t) => {
  using place = new Place();
  const layer = place.layer(
    pax([
      ['GNU.sparse.major', '0'],
      ['GNU.sparse.minor', '1'],
      ['GNU.sparse.size', '3000000'],
      ['GNU.sparse.map', '1000,3,2000000,4'],
    ]),
    { name: 's', body: 'abcdefg' },
  );
  const view = place.view(layer);
  const whole = Buffer.alloc(3_000_000);
  whole.write('abc', 1000);
  whole.write('defg', 2_000_000);
  const { node } = view.look('/s');
  t.is(await view.digest(node!), createHash('sha256').update(whole).digest('hex'));
  t.true(view.read('/s', 1 << 22)?.equals(whole));
});

test('views that share layers read the headers of each once, and find the same inodes', (t) => {
  using place = new Place();
  const [base, top] = [place.layer('d /d', 'f /d/f'), place.layer('f /g')];
  using shared = new LayerFiles();
  const below = View.of([base], shared);
  const above = View.of([base, top], shared);
  t.is(below.look('/d/f').node?.leaf?.entry, above.look('/d/f').node?.leaf?.entry);
  t.is(below.look('/g').node, undefined);
  t.is(above.look('/g').node?.type, 'file');
});

test('a digest is kept beside its layer, and a file of digests that is not whole is none', async (t) => {
  using place = new Place();
  const { tar, diffId } = place.layer('f /a 644 0:0 one', 'f /b 644 0:0 two', 'f /empty');
  const folder = join(place.root, 'layer');
  mkdirSync(folder);
  const layer = { diffId, tar: join(folder, 'layer.tar') };
  renameSync(tar, layer.tar);
  const digests = async () => {
    using view = View.of([layer]);
    return await Promise.all(['/a', '/b', '/empty'].map((path) => view.digest(view.look(path).node!)));
  };
  const expected = ['one', 'two', ''].map((text) => createHash('sha256').update(text).digest('hex'));
  t.deepEqual(await digests(), expected);
  const kept = join(folder, 'digests-v1');
  const text = readFileSync(kept, 'latin1');
  t.deepEqual(await digests(), expected);
  // What is kept is used: another digest in it is believed.
  writeFileSync(kept, text.replace(expected[0]!, '0'.repeat(64)));
  t.deepEqual(await digests(), ['0'.repeat(64), ...expected.slice(1)]);
  for (const broken of [text.slice(0, -1).replace(expected[0]!, '0'.repeat(64)), text.replace(expected[0]!, 'none')]) {
    writeFileSync(kept, broken);
    t.deepEqual(await digests(), expected);
  }
});
