import test from 'ava';
import { meanings } from '../../../src/network/names/qualified.ts';

for (const [name, expected] of [
  ['web', [{ name: 'web' }]],
  ['web.front', [{ name: 'web.front' }, { name: 'web', network: 'front' }]],
  ['a.b.c', [{ name: 'a.b.c' }, { name: 'a.b', network: 'c' }, { name: 'a', network: 'b.c' }]],
  ['', [{ name: '' }]],
] as const)
  test(`what "${name}" may mean`, (t) => t.deepEqual([...meanings(name)], [...expected]));
