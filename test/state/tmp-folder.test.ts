/** Names in tmp/: whose they are, and which of them nobody has any more. */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { identifySelf } from '../../src/state/process-identity.ts';
import { abandoned, tmpPath, type AsideTree, type HalfMade } from '../../src/state/tmp-folder.ts';

const ID = 'ab'.repeat(32);
const self = identifySelf();

function dataRoot(t: ExecutionContext): { tmp: string } {
  const path = mkdtempSync(join(tmpdir(), 'husk-tmp-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return { tmp: join(path, 'tmp') };
}

const kinds: [name: HalfMade | AsideTree, kind: Parameters<typeof abandoned>[1]][] = [
  ['half-blob', 'half-made'],
  ['half-layer', 'half-made'],
  ['half-disk', 'half-made'],
  ['half-salvage', 'half-made'],
  [`container-${ID}`, 'container'],
  ['volume', 'tree'],
  ['copy-up', 'tree'],
  ['tree', 'tree'],
  ['probe', 'tree'],
];

for (const [name, kind] of kinds)
  test(`${name.slice(0, 12)}: a living process keeps its own, and only what a dead one left is abandoned`, (t) => {
    const paths = dataRoot(t);
    const own = tmpPath(paths, name);
    t.not(own, tmpPath(paths, name));
    const left = own.replace(`-${self.startTime}-`, '-1-');
    for (const path of [own, left]) mkdirSync(path);
    t.deepEqual(abandoned(paths, kind), [left]);
    t.deepEqual(abandoned(paths, kind, { own: true }).sort(), [own, left].sort());
    for (const other of ['half-made', 'container', 'tree'] as const)
      if (other !== kind) t.deepEqual(abandoned(paths, other, { own: true }), []);
  });

test('tmp/ is made with a mode that a container’s root can pass, whatever the umask', (t) => {
  const paths = dataRoot(t);
  const umask = process.umask(0o077);
  try {
    tmpPath(paths, 'volume');
  } finally {
    process.umask(umask);
  }
  t.is(statSync(paths.tmp).mode & 0o777, 0o711);
});

const foreign = [
  `removed-${ID}`,
  `removed-${ID}-12345678`,
  `${ID}.partial`,
  'disk-v2-0123.erofs',
  `container-${ID}`,
  'half-blob-x-1-abcdef',
  'volume-1-1',
];
for (const name of foreign)
  test(`left alone: ${name.replace(ID, '<hex>')}`, (t) => {
    const paths = dataRoot(t);
    mkdirSync(paths.tmp);
    writeFileSync(join(paths.tmp, name), '');
    for (const kind of ['half-made', 'container', 'tree'] as const) t.deepEqual(abandoned(paths, kind), []);
  });

test('names of an earlier husk are known', (t) => {
  const paths = dataRoot(t);
  mkdirSync(paths.tmp);
  for (const name of [`container-${ID}-1-1`, `removed-${ID}-1-1`]) mkdirSync(join(paths.tmp, name));
  t.is(abandoned(paths, 'container').length, 2);
});

test('no tmp/, nothing abandoned', (t) => t.deepEqual(abandoned(dataRoot(t), 'tree'), []));
