/** What changes of images leave in the table of events, with Docker's attributes: a name, and the image's labels. */
import { PassThrough, Readable } from 'node:stream';
import test from 'ava';
import { eventsAfter } from '../../src/state/events.ts';
import { dockerArchive } from '../fixtures/odd-images.ts';
import { tarball } from '../fixtures/tar.ts';
import { testStore, type TestStore } from './store.ts';

const LAYER = tarball({ name: 'a', body: 'a' });

const told = ({ store }: TestStore) =>
  eventsAfter(store.records.database, 0, 1000).events.map(({ Type, Action, Actor }) => [
    `${Type} ${Action}`,
    Actor.ID,
    Actor.Attributes,
  ]);

test('import, tag, save, untag, delete', async (t) => {
  using s = testStore();
  const { id } = await s.store.import(Readable.from([LAYER]), { reference: 'bb', changes: ['LABEL k=v'] });
  s.store.tag('bb', 'r.example/other:1');
  await s.store.save(['bb'], new PassThrough().resume());
  const remove = (name: string) => s.store.remove(name, { inUse: () => [] });
  remove('bb');
  remove('r.example/other:1');
  const [named, whole] = [(name: string) => ({ k: 'v', name }), { k: 'v', name: id }];
  t.deepEqual(told(s), [
    ['image tag', id, named('bb:latest')],
    ['image import', id, whole],
    ['image tag', id, named('r.example/other:1')],
    ['image save', id, whole],
    ['image untag', id, whole],
    ['image untag', id, whole],
    ['image delete', id, whole],
  ]);
});

test('a commit that has a name is a tag; a load is one event an image, whatever its names', async (t) => {
  using s = testStore();
  const base = await s.store.import(Readable.from([LAYER]), { reference: 'bb' });
  const [bare, named] = await Promise.all(
    [undefined, 'made:1'].map((reference) =>
      s.store.commit(Readable.from([tarball({ name: reference ?? 'b', body: 'b' })]), {
        base: base.id,
        config: { Labels: { a: 'b' } },
        reference,
      }),
    ),
  );
  t.not(bare!.id, named!.id);
  t.deepEqual(told(s).slice(2), [['image tag', named!.id, { a: 'b', name: 'made:1' }]]);
  const before = told(s).length;
  await s.store.load(
    Readable.from([dockerArchive({ tag: 'g/a:1', layers: [LAYER] }, { tag: 'g/a:2', layers: [LAYER] })]),
  );
  const { id } = s.store.get('g/a:1');
  t.deepEqual(told(s).slice(before), [['image load', id, { name: id }]]);
});

test('a name that is refused is not told', async (t) => {
  using s = testStore();
  await t.throwsAsync(s.store.import(Readable.from([LAYER]), { reference: `bb@sha256:${'a'.repeat(64)}` }));
  await t.throwsAsync(s.store.import(Readable.from([]), { reference: 'bb' }), { message: /the archive is empty/ });
  t.deepEqual(told(s), []);
});

test('a removal that is refused is not told', async (t) => {
  using s = testStore();
  const { id } = await s.store.import(Readable.from([LAYER]), { reference: 'bb' });
  const before = told(s).length;
  t.throws(() => s.store.remove(id, { inUse: () => [{ id: 'c'.repeat(64), running: false }] }), {
    message: /is being used by stopped container/,
  });
  t.is(told(s).length, before);
});
