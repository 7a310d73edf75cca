/** The tree a layer's members make: replacements, links, whiteouts; and what no file system could hold. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { type Directory, LayerTree } from '../../../src/images/layers/tree.ts';
import { TarParser } from '../../../src/tar/parser.ts';
import { type RawMember, tarball } from '../../fixtures/tar.ts';

function treeOf(members: RawMember[]): LayerTree {
  const tree = new LayerTree();
  const parser = new TarParser((entry) => tree.add(entry));
  parser.push(tarball(...members));
  parser.end();
  return tree;
}

/**
 * `path` and what it is: d (o: opaque, i: no member says so), f, l, w; files with their uid, so that one knows which
 * member won
 */
function describe(directory: Directory, path = ''): string[] {
  return [...directory.children].flatMap(([name, node]) => {
    const at = path === '' ? name : `${path}/${name}`;
    if (node.kind === 'whiteout') return [`w ${at}`];
    if (node.kind === 'leaf')
      return [`${node.entry.type} ${at} ${node.entry.uid}${node.links > 1 ? ` ×${node.links}` : ''}`];
    return [`d${node.opaque ? 'o' : ''}${node.entry ? '' : 'i'} ${at}`, ...describe(node, at)];
  });
}

const f = (name: string, uid = 0): RawMember => ({ name, uid });
const d = (name: string): RawMember => ({ name: `${name}/`, type: '5' });
const l = (name: string, link: string): RawMember => ({ name, type: '2', link });
const h = (name: string, link: string): RawMember => ({ name, type: '1', link });

const cases: [name: string, members: RawMember[], tree: string[]][] = [
  ['missing parents are made', [f('a/b/c')], ['di a', 'di a/b', 'file a/b/c 0']],
  ['a parent that comes later keeps its children', [f('a/b'), d('a')], ['d a', 'file a/b 0']],
  ['the later file wins', [f('a', 1), f('a', 2)], ['file a 2']],
  ['a file replaces a folder and all in it', [f('a/b'), h('c', 'a/b'), f('a', 2)], ['file a 2', 'file c 0']],
  ['a folder replaces a file', [f('a'), d('a'), f('a/b')], ['d a', 'file a/b 0']],
  [
    'a folder replaces a symbolic link to a folder',
    [d('x'), l('a', 'x'), d('a'), f('a/b')],
    ['d x', 'd a', 'file a/b 0'],
  ],
  ['a symbolic link replaces a folder', [f('a/b'), l('a', '/etc')], ['symlink a 0']],
  [
    'symbolic links in a path lead within the layer',
    [d('usr/lib'), l('lib', 'usr/lib'), f('lib/x')],
    ['di usr', 'd usr/lib', 'file usr/lib/x 0', 'symlink lib 0'],
  ],
  [
    'absolute ones count from the layer’s root',
    [l('a', '/etc'), f('a/passwd')],
    ['symlink a 0', 'di etc', 'file etc/passwd 0'],
  ],
  [
    'and do not climb above it',
    [l('a', '../../../../etc'), f('a/passwd')],
    ['symlink a 0', 'di etc', 'file etc/passwd 0'],
  ],
  [
    'through a link that points up and down',
    [d('d/e'), l('d/up', '../d/./e'), f('d/up/x')],
    ['di d', 'd d/e', 'file d/e/x 0', 'symlink d/up 0'],
  ],
  [
    'hard links share one file',
    [f('a', 3), h('b', 'a'), h('c/d', 'b')],
    ['file a 3 ×3', 'file b 3 ×3', 'di c', 'file c/d 3 ×3'],
  ],
  ['a replaced name of a hard link leaves the others', [f('a', 3), h('b', 'a'), f('a', 4)], ['file a 4', 'file b 3']],
  ['a hard link to a symbolic link', [l('a', '/x'), h('b', 'a')], ['symlink a 0 ×2', 'symlink b 0 ×2']],
  ['a hard link to itself', [f('a', 3), h('a', 'a')], ['file a 3']],
  ['whiteouts', [f('a/.wh.b')], ['di a', 'w a/b']],
  ['a whiteout never hides its own layer: file first', [f('b'), f('.wh.b')], ['file b 0']],
  ['a whiteout never hides its own layer: file last', [f('.wh.b'), f('b')], ['file b 0']],
  ['a whiteout and a folder of that name are an opaque folder', [f('.wh.b'), f('b/c')], ['doi b', 'file b/c 0']],
  ['the same the other way round', [d('b'), f('.wh.b')], ['do b']],
  ['opaque folders', [d('b'), f('b/x'), f('b/.wh..wh..opq')], ['do b', 'file b/x 0']],
  ['an opaque mark without its folder', [f('b/.wh..wh..opq')], ['doi b']],
  [
    'AUFS’s own files',
    [
      f('.wh..wh.aufs'),
      d('.wh..wh.orph'),
      f('.wh..wh.plnk/12.34', 9),
      h('a', '.wh..wh.plnk/12.34'),
      h('b', '.wh..wh.plnk/12.34'),
    ],
    ['file a 9 ×2', 'file b 9 ×2'],
  ],
  ['.wh in the middle of a name is a name', [f('x.wh.y')], ['file x.wh.y 0']],
  [
    'names that JavaScript objects have already',
    [f('__proto__'), f('constructor/toString')],
    ['file __proto__ 0', 'di constructor', 'file constructor/toString 0'],
  ],
];
for (const [name, members, wanted] of cases) test(name, (t) => t.deepEqual(describe(treeOf(members).root), wanted));

const hostile: [attack: string, members: RawMember[], message: RegExp][] = [
  ['a whiteout of ..', [f('a/.wh...')], /whiteout of nothing/],
  ['a whiteout of .', [f('a/.wh..')], /whiteout of nothing/],
  ['a whiteout of nothing', [f('.wh.')], /whiteout of nothing/],
  ['a whiteout as a folder', [f('.wh.a/b')], /used as a folder/],
  ['a file as a folder', [f('a'), f('a/b')], /not a folder/],
  ['a device as a folder', [{ name: 'a', type: '3', major: 1, minor: 3 }, f('a/b')], /not a folder/],
  ['a loop of symbolic links', [l('a', 'b'), l('b', 'a'), f('a/x')], /too many symbolic links/],
  [
    'links that double at each step',
    [
      ...Array.from({ length: 30 }, (_, index) => l(`l${index}`, index === 0 ? '.' : `l${index - 1}/l${index - 1}`)),
      f('l29/x'),
    ],
    /too many symbolic links/,
  ],
  ['a hard link to nothing', [h('a', 'b')], /does not have/],
  ['a hard link to a folder', [d('b'), h('a', 'b')], /is a folder/],
  ['a hard link to a whiteout', [f('.wh.b'), h('a', 'b')], /does not have/],
  ['a hard link that comes before its target', [h('a', 'b'), f('b')], /does not have/],
  ['a hard link through a link out of the tree', [l('etc', '/../../etc'), h('a', 'etc/shadow')], /does not have/],
  ['overlay’s own whiteout as a device', [{ name: 'a', type: '3', major: 0, minor: 0 }], /whiteout/],
  ['a root that is a file', [{ name: '.', type: '0' }], /root is not a folder/],
];
for (const [attack, members, message] of hostile) {
  test(`refuses ${attack}`, (t) => {
    const error = t.throws(() => treeOf(members), { instanceOf: HuskError });
    t.is(error!.kind, 'corrupt');
    t.regex(error!.message, message);
  });
}
