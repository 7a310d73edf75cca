/** Names of a bridge's ports: the kernel takes 15 characters. */
import test from 'ava';
import { portOf } from '../../../src/network/attach/port-name.ts';

test('an interface of the kernel can have it, and it is known from the endpoint alone', (t) => {
  const id = '0123456789ab'.padEnd(64, 'f');
  t.is(portOf(id), 'v0123456789ab');
  t.true(portOf(id).length <= 15);
  t.not(portOf(id), portOf(`1${id.slice(1)}`));
});
