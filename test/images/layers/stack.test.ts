/** The name of a stack of layers: what earlier husks have made for a stack is found by it. */
import { createHash } from 'node:crypto';
import test from 'ava';
import { distinctLayers, stackKey } from '../../../src/images/layers/stack.ts';

const layer = (digit: string) => ({ diffId: `sha256:${digit.repeat(64)}` });

for (const digits of ['', 'a', 'ab', 'ba', 'abcdef0123456789'])
  test(`the key of ${digits.length} layers ${digits} is the SHA-256 of their diffIDs`, (t) => {
    const layers = [...digits].map(layer);
    const text = layers.map(({ diffId }) => diffId).join('\n');
    t.is(stackKey(layers).toString('hex'), createHash('sha256').update(text).digest('hex'));
  });

for (const [digits, distinct] of Object.entries({ '': '', abc: 'abc', baba: 'ba', abca: 'bca', aaa: 'a' }))
  test(`of ${digits || 'no layers'} these count: ${distinct || 'none'}`, (t) => {
    t.deepEqual(distinctLayers([...digits].map(layer)), [...distinct].map(layer));
  });
