/** Which image a text names: the order of Docker, and what is left when two answer to it. */
import test from 'ava';
import { ImageNames, noSuchImage } from '../../../src/images/store/image-names.ts';
import type { ImageRecords } from '../../../src/images/store/records.ts';

const A = 'ab'.repeat(32);
const B = `ac${'0'.repeat(62)}`;
const NAMES: Record<string, string> = {
  'docker.io/library/box:latest': A,
  'docker.io/library/box:old': B,
  'docker.io/library/ac:latest': A,
};
const names = new ImageNames({
  idsByPrefix: (hex: string) => [A, B].filter((id) => id.startsWith(hex)),
  idOfName: (name: string) => NAMES[name],
  namesOfRepository: (repository: string) =>
    Object.entries(NAMES).flatMap(([name, id]) => (name.startsWith(`${repository}:`) ? [{ id, name }] : [])),
} as unknown as ImageRecords);

for (const [title, text, id, name] of [
  ['a full id', A, A],
  ['a full id with its algorithm', `sha256:${B}`, B],
  ['a name', 'box', A, 'docker.io/library/box:latest'],
  ['a name with a tag', 'box:old', B, 'docker.io/library/box:old'],
  ['a name goes before the beginning of an id', 'ac', A, 'docker.io/library/ac:latest'],
  ['the beginning of one id', 'ab', A],
  ['the beginning of two', 'a', undefined],
  ['a tag that is not there', 'box:none', undefined],
  ['what is no reference', 'No Such', undefined],
  ['a full id that is not there', 'f'.repeat(64), undefined],
] as const)
  test(title, (t) =>
    t.deepEqual(names.lookUp(text), id === undefined ? undefined : name === undefined ? { id } : { id, name }),
  );

test('a bare repository stands for all that it has, a tag for one', (t) => {
  t.deepEqual(
    names.lookUpAll('box').map(({ id }) => id),
    [A, B],
  );
  t.deepEqual(
    names.lookUpAll('box:old').map(({ id }) => id),
    [B],
  );
  t.throws(() => names.lookUpAll('none'), { message: 'No such image: none:latest' });
});

test("what is not there is told of in Docker's words", (t) =>
  t.deepEqual(
    ['x', 'x:y', 'Not A Name'].map((text) => noSuchImage(text).message),
    ['No such image: x:latest', 'No such image: x:y', 'No such image: Not A Name'],
  ));
