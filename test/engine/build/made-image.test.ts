/** History and times of the image that a build makes. */
import test from 'ava';
import { madeConfig, type Done } from '../../../src/engine/build/made-image.ts';
import type { ImageConfig } from '../../../src/images/store/contract.ts';

const layer = (name: string, made: number) => ({ diffId: `sha256:${name.repeat(64)}`, made });
const BASE: ImageConfig = {
  architecture: 'amd64',
  os: 'linux',
  created: '2020-01-01T00:00:00Z',
  history: [{ created: '2020-01-01T00:00:00Z', created_by: 'base' }],
  rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
};
const PLANNED: ImageConfig = { ...BASE, config: { Env: ['A=1'], Labels: { a: '1' } } };
const made = (done: Done[], options: { labels?: Record<string, string>; epoch?: number } = {}) =>
  madeConfig(BASE, PLANNED, done, { labels: options.labels ?? {}, epoch: options.epoch });

test('a step of the config has no layer, and the time of the newest one below', (t) => {
  const { history, rootfs, created } = made([
    { createdBy: 'ENV A=1' },
    { createdBy: 'RUN x', layer: layer('1', 2000) },
    { createdBy: 'CMD x' },
  ]);
  t.deepEqual(history?.slice(1), [
    { created: '2020-01-01T00:00:00Z', created_by: 'ENV A=1', comment: 'buildkit.dockerfile.v0', empty_layer: true },
    { created: '1970-01-01T00:00:02Z', created_by: 'RUN x', comment: 'buildkit.dockerfile.v0' },
    { created: '1970-01-01T00:00:02Z', created_by: 'CMD x', comment: 'buildkit.dockerfile.v0', empty_layer: true },
  ]);
  t.is(rootfs.diff_ids.length, 2);
  t.is(created, '1970-01-01T00:00:02Z');
});

test('the image is as old as its newest layer, in whatever order they were made', (t) =>
  t.is(
    made([
      { createdBy: 'a', layer: layer('1', 9000) },
      { createdBy: 'b', layer: layer('2', 5000) },
    ]).created,
    '1970-01-01T00:00:09Z',
  ));

test('without a layer of its own it is as old as its base', (t) =>
  t.is(made([{ createdBy: 'ENV A=1' }]).created, BASE.created));

test('an empty layer does not count', (t) => {
  const empty = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef';
  t.is(made([{ createdBy: 'RUN true', layer: { diffId: empty, made: 9000 } }]).created, BASE.created);
});

test('the epoch bounds what the build made, and leaves the base as it is', (t) => {
  const { created, history } = made([{ createdBy: 'a', layer: layer('1', 9000) }], { epoch: 3 });
  t.is(created, '1970-01-01T00:00:03Z');
  t.deepEqual(
    history?.map((entry) => entry.created),
    ['2020-01-01T00:00:00Z', '1970-01-01T00:00:03Z'],
  );
});

test('labels of the command line go over those of the Dockerfile, which stay as they were', (t) => {
  t.deepEqual(made([], { labels: { a: '2', b: '' } }).config?.Labels, { a: '2', b: '' });
  t.deepEqual(PLANNED.config?.Labels, { a: '1' });
});
