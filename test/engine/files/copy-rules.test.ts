/** Docker's table of `cp`: what goes where, and what is refused. */
import test from 'ava';
import { absolute, archiveName, placeOf, renaming, splitArgument } from '../../../src/engine/files/copy-rules.ts';

const FILE = { isDirectory: false, name: 'f' };
const FOLDER = { isDirectory: true, name: 'd' };
const CONTENTS = { isDirectory: true, name: '' };
const nothing = (path: string) => ({ path, exists: false, isDirectory: false });
const file = (path: string) => ({ path, exists: true, isDirectory: false });
const folder = (path: string) => ({ path, exists: true, isDirectory: true });

const PLACES: [
  source: typeof FILE,
  destination: ReturnType<typeof nothing>,
  expected: [folder: string, name: string] | string,
][] = [
  [FILE, nothing('/a/new'), ['/a', 'new']],
  [FILE, nothing('/new'), ['/', 'new']],
  [FILE, nothing('/a/new/'), 'no such directory'],
  [FILE, nothing('/a/new/.'), 'no such directory'],
  [FILE, file('/a/old'), ['/a', 'old']],
  [FILE, folder('/a'), ['/a', 'f']],
  [FILE, folder('/a/'), ['/a/', 'f']],
  [FOLDER, nothing('/a/new'), ['/a', 'new']],
  [FOLDER, nothing('/a/new/'), ['/a', 'new']],
  [FOLDER, file('/a/old'), 'cannot copy directory'],
  [FOLDER, folder('/a'), ['/a', 'd']],
  [CONTENTS, nothing('/a/new'), ['/a', 'new']],
  [CONTENTS, folder('/a'), ['/a', '']],
  [CONTENTS, file('/a/old'), 'cannot copy directory'],
];

for (const [source, destination, expected] of PLACES) {
  test(`${source.isDirectory ? `folder "${source.name}"` : 'file'} to ${JSON.stringify(destination)}`, (t) => {
    if (typeof expected === 'string') t.throws(() => placeOf(source, destination), { message: expected });
    else t.deepEqual(placeOf(source, destination), { folder: expected[0], name: expected[1] });
  });
}

test('which argument is of a container', (t) => {
  t.deepEqual(
    ['c:/x', 'c:', 'c:a:b', '/c:x', './c:x', '../c:x', 'c', '.', '-'].map((text) => splitArgument(text)),
    [
      { container: 'c', path: '/x' },
      { container: 'c', path: '' },
      { container: 'c', path: 'a:b' },
      { path: '/c:x' },
      { path: './c:x' },
      { path: '../c:x' },
      { path: 'c' },
      { path: '.' },
      { path: '-' },
    ],
  );
});

test('names and paths', (t) => {
  t.deepEqual(
    ['/', '/a', '/a/', '/a/.', '/a/..', '.', 'x/y'].map((path) => archiveName(path)),
    ['', 'a', 'a', '', '', '', 'y'],
  );
  t.deepEqual(
    ['x', 'x/', 'x/.', '.', '/', '/./', '../y'].map((path) => absolute(path, '/w')),
    ['/w/x', '/w/x/', '/w/x/.', '/w/.', '/', '/.', '/y'],
  );
});

test('members below what was asked for, under the new name', (t) => {
  const cases: [string, string, boolean, string, string | undefined][] = [
    ['d', 'd', true, 'd/x', 'd/x'],
    ['d', 'n', true, 'd', 'n'],
    ['d', 'n', true, 'd/x/y', 'n/x/y'],
    ['d', '', true, 'd/x', 'x'],
    ['d', 'n', true, 'dx', undefined],
    ['f', 'n', false, 'f', 'n'],
    ['f', 'n', false, 'f/x', undefined],
    ['', 'n', true, 'x', 'n/x'],
    ['', 'n', true, '', 'n'],
    ['', '', true, 'x', 'x'],
  ];
  for (const [top, name, isDirectory, path, expected] of cases)
    t.is(renaming(top, name, { isDirectory })(path), expected, JSON.stringify([top, name, path]));
});
