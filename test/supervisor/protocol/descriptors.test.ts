/** What a jailed supervisor is told of the descriptors it is born with. */
import test from 'ava';
import { passDescriptors, readDescriptors } from '../../../src/supervisor/protocol/descriptors.ts';

test('each has the number that its place gives it, whatever it is here', (t) => {
  const { argument, inherit } = passDescriptors({ links: [40, 12] }, 6);
  t.deepEqual(inherit, [40, 12]);
  t.deepEqual(readDescriptors(argument), { links: [6, 7] });
});

test('none', (t) => {
  t.deepEqual(passDescriptors({}, 6), { argument: '{}', inherit: [] });
  t.deepEqual(readDescriptors(undefined), {});
});
