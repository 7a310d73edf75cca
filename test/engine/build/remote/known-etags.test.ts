/** ETags that are known: a hint, which a damaged file cannot make more of. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { keepEtag, knownEtags } from '../../../../src/engine/build/remote/known-etags.ts';
import { temporaryFolder } from '../../../fixtures/temporary.ts';

const URL = 'http://h/f';
const KEY = 'a'.repeat(64);
const paths = () => ({ dataRoot: temporaryFolder('husk-etags-') });

test('the newest first, each once, and a few of them', (t) => {
  const at = paths();
  t.deepEqual(knownEtags(at, URL), []);
  for (let index = 0; index < 10; index++) keepEtag(at, URL, { etag: `"${index}"`, key: KEY });
  keepEtag(at, URL, { etag: '"5"', key: 'b'.repeat(64) });
  t.deepEqual(
    knownEtags(at, URL).map(({ etag, key }) => `${etag} ${key[0]}`),
    ['"5" b', '"9" a', '"8" a', '"7" a', '"6" a', '"4" a', '"3" a', '"2" a'],
  );
  t.deepEqual(knownEtags(at, 'http://h/g'), []);
});

const DAMAGED: [what: string, text: string][] = [
  ['nothing', ''],
  ['no JSON', '{'],
  ['no list', '{"known":{"etag":"\\"1\\""}}'],
  ['null', 'null'],
  ['an entry that is null', '{"known":[null]}'],
  ['an ETag with a header of its own', JSON.stringify({ known: [{ etag: '"1"\r\nx: y', key: KEY }] })],
  ['an ETag that is none', JSON.stringify({ known: [{ etag: 'x', key: KEY }] })],
  ['a key that is a path', JSON.stringify({ known: [{ etag: '"1"', key: '../../x' }] })],
  ['an endless file', JSON.stringify({ known: [{ etag: '"1"', key: KEY }], more: 'x'.repeat(100_000) })],
];
for (const [what, text] of DAMAGED)
  test(`is as absent: ${what}`, (t) => {
    const at = paths();
    keepEtag(at, URL, { etag: '"1"', key: KEY });
    const folder = join(at.dataRoot, 'build-etags');
    const [name] = readdirSync(folder);
    writeFileSync(join(folder, name!), text);
    t.deepEqual(knownEtags(at, URL), []);
    keepEtag(at, URL, { etag: '"2"', key: KEY });
    t.is(knownEtags(at, URL).length, 1);
  });

test('a folder that cannot be written to costs nothing but the hint', (t) => {
  const at = paths();
  writeFileSync(join(at.dataRoot, 'build-etags'), '');
  keepEtag(at, URL, { etag: '"1"', key: KEY });
  t.deepEqual(knownEtags(at, URL), []);
  t.is(readFileSync(join(at.dataRoot, 'build-etags'), 'utf8'), '');
});
