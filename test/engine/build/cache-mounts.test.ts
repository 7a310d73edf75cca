/** Who shares the folder behind a cache mount with whom, and what a prune takes. */
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'ava';
import { cacheName, pruneCaches, takeCache } from '../../../src/engine/build/cache-mounts.ts';
import type { RunMount } from '../../../src/images/build/operations.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

type Sharing = NonNullable<RunMount['sharing']>;

const { signal } = new AbortController();
const place = () => ({ dataRoot: temporaryFolder('husk-cache-mounts-') });
const mount = (sharing: Sharing, id = 'k') => ({ id, target: '/c', sharing });

test('an id may be any text, and is not seen in the name; without one the target is it', (t) => {
  for (const id of ['../../etc', '/', '', 'a\0b', 'x'.repeat(100_000)])
    t.regex(cacheName({ id, target: '/t' }), /^[0-9a-f]{64}$/);
  t.is(cacheName({ target: '/t' }), cacheName({ id: '/t', target: '/u' }));
});

const BESIDE: [first: Sharing, then: Sharing, outcome: 'the same' | 'another' | 'waits'][] = [
  ['shared', 'shared', 'the same'],
  ['shared', 'locked', 'waits'],
  ['shared', 'private', 'another'],
  ['locked', 'shared', 'waits'],
  ['locked', 'locked', 'waits'],
  ['locked', 'private', 'another'],
  ['private', 'private', 'another'],
  ['private', 'locked', 'waits'],
];
for (const [first, then, outcome] of BESIDE)
  test(`${then} beside ${first}: ${outcome}`, async (t) => {
    const at = place();
    const held = await takeCache(at, mount(first), { signal });
    let waited = false;
    const onWait = () => {
      waited = true;
      held[Symbol.dispose]();
    };
    using taken = await takeCache(at, mount(then), { signal, onWait });
    t.is(waited, outcome === 'waits');
    t.is(taken.folder === held.folder, outcome !== 'another');
    if (!waited) held[Symbol.dispose]();
  });

test('a private folder is taken again by whoever comes next', async (t) => {
  const at = place();
  const names: string[] = [];
  for (let round = 0; round < 2; round++) {
    using one = await takeCache(at, mount('private'), { signal });
    using other = await takeCache(at, mount('private'), { signal });
    names.push(basename(one.folder), basename(other.folder));
  }
  const name = cacheName(mount('private'));
  t.deepEqual(names, [name, `${name}-1`, name, `${name}-1`]);
});

test('who waits ends with its build', async (t) => {
  const at = place();
  using _held = await takeCache(at, mount('locked'), { signal });
  const build = new AbortController();
  const error = new Error('ended');
  await t.throwsAsync(takeCache(at, mount('locked'), { signal: build.signal, onWait: () => build.abort(error) }), {
    is: error,
  });
});

test('a prune takes what nobody uses, by the time of its last use, and nothing else', async (t) => {
  const at = place();
  const fill = async (id: string, used: number) => {
    using taken = await takeCache(at, mount('shared', id), { signal });
    writeFileSync(join(taken.folder, 'f'), Buffer.alloc(1000));
    utimesSync(`${taken.folder}.lock`, used, used);
    return taken.folder;
  };
  const [old, young] = [await fill('old', 1000), await fill('young', 5000)];
  mkdirSync(join(at.dataRoot, 'build-cache-mounts', 'of-somebody-else'));
  using used = await takeCache(at, mount('shared', 'used'), { signal });
  const there = (folder: string) => statSync(folder, { throwIfNoEntry: false }) !== undefined;
  t.is(await pruneCaches(at, 2_000_000), 1000);
  t.deepEqual([there(old), there(young), there(used.folder)], [false, true, true]);
  t.is(await pruneCaches(at), 1000);
  t.deepEqual([there(young), there(used.folder)], [false, true]);
  t.true(readdirSync(join(at.dataRoot, 'build-cache-mounts')).includes('of-somebody-else'));
  t.is(await pruneCaches({ dataRoot: join(at.dataRoot, 'nothing') }), 0);
});

for (const sharing of ['shared', 'locked', 'private'] as const)
  test(`${sharing}: a build without the cache begins with an empty one, once`, async (t) => {
    const at = place();
    const outside = temporaryFolder('husk-cache-outside-');
    writeFileSync(join(outside, 'kept'), '');
    const file = (folder: string, name: string) => join(folder, 'data', name);
    const step = async (name: string, renewed?: Set<string>): Promise<string[]> => {
      using taken = await takeCache(at, mount(sharing), { signal, ...(renewed && { renewed }) });
      const found = existsSync(join(taken.folder, 'data')) ? readdirSync(join(taken.folder, 'data')) : [];
      mkdirSync(join(taken.folder, 'data'), { recursive: true });
      writeFileSync(file(taken.folder, name), '');
      if (!existsSync(file(taken.folder, 'link'))) symlinkSync(outside, file(taken.folder, 'link'));
      return found;
    };
    const renewed = new Set<string>();
    t.deepEqual(await step('one'), []);
    t.deepEqual(await step('two', renewed), []);
    t.deepEqual(await step('three', renewed), ['link', 'two']);
    t.deepEqual(await step('four'), ['link', 'three', 'two']);
    t.deepEqual(await step('five', new Set()), []);
    t.deepEqual(readdirSync(outside), ['kept']);
    t.deepEqual(readdirSync(join(at.dataRoot, 'build-cache-mounts', cacheName(mount(sharing)))), ['data']);
  });

test('a cache that another build uses is emptied when that has ended; a private one is another then', async (t) => {
  const at = place();
  for (const sharing of ['shared', 'locked', 'private'] as const) {
    const held = await takeCache(at, mount('shared', sharing), { signal });
    mkdirSync(join(held.folder, 'data'));
    writeFileSync(join(held.folder, 'data/f'), '');
    let waited = false;
    const onWait = () => {
      // A process that another test starts has the lock for a moment, too: then the emptied cache is waited for as
      // well.
      if (waited) return;
      waited = true;
      t.true(existsSync(join(held.folder, 'data/f')));
      held[Symbol.dispose]();
    };
    using _taken = await takeCache(at, mount(sharing, sharing), { signal, onWait, renewed: new Set() });
    t.is(waited, sharing !== 'private', sharing);
    t.is(existsSync(join(held.folder, 'data/f')), sharing === 'private', sharing);
    if (!waited) held[Symbol.dispose]();
  }
});
