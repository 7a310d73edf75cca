/**
 * Templates in their folder: whole or not there, one maker at a time, and nothing that somebody else can have written.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { tryLock } from '../../../src/host/files/flock.ts';
import type { MachineShape } from '../../../src/vmm/templates/shape.ts';
import {
  addTemplate,
  findTemplate,
  isWorthMaking,
  listTemplates,
  removeTemplates,
  templateKey,
  type TemplateFiles,
} from '../../../src/vmm/templates/folder.ts';

const KEY = 'a'.repeat(32);
const SHAPE: MachineShape = { memory: 1 << 28, cpus: 1, images: 0, mtus: [], hasShares: false };

function folderOf(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'husk-templates-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'templates');
}

async function write({ state, memory }: TemplateFiles): Promise<void> {
  for (const path of [state, memory]) writeFileSync(path, 'x'.repeat(5000), { mode: 0o600 });
}

test('what was made is found, and made once', async (t) => {
  const folder = folderOf(t);
  t.is(findTemplate(folder, KEY), undefined);
  await addTemplate(folder, KEY, write);
  t.deepEqual(findTemplate(folder, KEY), {
    state: join(folder, KEY, 'state'),
    memory: join(folder, KEY, 'memory'),
  });
  await addTemplate(folder, KEY, () => Promise.reject(new Error('made twice')));
  t.deepEqual(
    listTemplates(folder).map(({ key, size }) => [key, size]),
    [[KEY, 16384]],
  );
});

test('while one makes it, another leaves it alone', async (t) => {
  const folder = folderOf(t);
  const [going, goes] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const first = addTemplate(folder, KEY, async (files) => {
    going.resolve();
    await goes.promise;
    await write(files);
  });
  await going.promise;
  await addTemplate(folder, KEY, () => Promise.reject(new Error('made twice')));
  // nor does a sweep take what is being made
  removeTemplates(folder, { keep: 0 });
  t.is(findTemplate(folder, KEY), undefined);
  goes.resolve();
  await first;
  t.truthy(findTemplate(folder, KEY));
});

test('what a killed maker left is no template, and goes', async (t) => {
  const folder = folderOf(t);
  mkdirSync(join(folder, `${KEY}.half`), { recursive: true });
  writeFileSync(join(folder, `${KEY}.half`, 'state'), 'half');
  writeFileSync(join(folder, `${KEY}.lock`), '');
  t.is(findTemplate(folder, KEY), undefined);
  t.deepEqual(listTemplates(folder), []);
  await addTemplate(folder, KEY, write);
  t.deepEqual(readdirSync(folder), [KEY]);
});

test('a maker that fails leaves its reason, and is not tried again within the hour, or before a prune', async (t) => {
  const folder = folderOf(t);
  await t.throwsAsync(
    addTemplate(folder, KEY, () => Promise.reject(new Error('no KVM'))),
    { message: 'no KVM' },
  );
  t.false(isWorthMaking(folder, KEY));
  utimesSync(join(folder, `${KEY}.failed`), 1000, 1000);
  t.true(isWorthMaking(folder, KEY));
  utimesSync(join(folder, `${KEY}.failed`), new Date(), new Date());
  t.false(isWorthMaking(folder, KEY));
  t.false(existsSync(join(folder, `${KEY}.half`)));
  removeTemplates(folder, { keep: 0 });
  t.true(isWorthMaking(folder, KEY));
  t.deepEqual(readdirSync(folder), []);
});

test('nothing is made where the disk has little room left', (t) => {
  const folder = folderOf(t);
  t.true(isWorthMaking(folder, KEY, { leastFree: 1 }));
  t.false(isWorthMaking(folder, KEY, { leastFree: Number.MAX_SAFE_INTEGER }));
});

test('the last used ones are kept', async (t) => {
  const folder = folderOf(t);
  const keys = Array.from({ length: 6 }, (_, number) => number.toString(16).repeat(32));
  for (const [age, key] of keys.entries()) {
    await addTemplate(folder, key, write);
    utimesSync(join(folder, key), 1000 - age, 1000 - age);
  }
  await addTemplate(folder, KEY, write);
  t.deepEqual(
    listTemplates(folder).map(({ key }) => key),
    [KEY, ...keys.slice(0, 3)],
  );
  t.truthy(findTemplate(folder, keys[2]!));
  t.is(listTemplates(folder)[0]!.key, keys[2]!);
});

test('none is made while as many as are kept are in use: of five shapes in turn one boots, and four do not', async (t) => {
  const folder = folderOf(t);
  const keys = Array.from({ length: 5 }, (_, number) => number.toString(16).repeat(32));
  const start = async (key: string) => {
    if (findTemplate(folder, key)) return 'goes on';
    if (isWorthMaking(folder, key)) await addTemplate(folder, key, write);
    return 'boots';
  };
  for (const key of keys) t.is(await start(key), 'boots');
  for (const key of keys) t.is(await start(key), key === keys[4] ? 'boots' : 'goes on');
  // one that nobody has used for a while goes
  utimesSync(join(folder, keys[1]!), 1000, 1000);
  t.is(await start(keys[4]!), 'boots');
  t.is(await start(keys[4]!), 'goes on');
  t.is(findTemplate(folder, keys[1]!), undefined);
});

const FOREIGN: [title: string, change: (folder: string) => void][] = [
  ['whose folder others may write to', (folder) => chmodSync(folder, 0o777)],
  ['whose own folder its group may write to', (folder) => chmodSync(join(folder, KEY), 0o770)],
  ['whose state others may read', (folder) => chmodSync(join(folder, KEY, 'state'), 0o644)],
  ['whose memory its group may write', (folder) => chmodSync(join(folder, KEY, 'memory'), 0o620)],
  [
    'whose memory is a link',
    (folder) => {
      rmSync(join(folder, KEY, 'memory'));
      symlinkSync(join(folder, KEY, 'state'), join(folder, KEY, 'memory'));
    },
  ],
  ['without a memory', (folder) => rmSync(join(folder, KEY, 'memory'))],
];
for (const [title, change] of FOREIGN)
  test(`a template ${title} is none`, async (t) => {
    const folder = folderOf(t);
    await addTemplate(folder, KEY, write);
    change(folder);
    t.is(findTemplate(folder, KEY), undefined);
  });

test('the lock of a maker that was swept away is nobody’s', async (t) => {
  const folder = folderOf(t);
  mkdirSync(folder);
  const file = join(folder, `${KEY}.lock`);
  using held = tryLock(file);
  t.truthy(held);
  await addTemplate(folder, KEY, () => Promise.reject(new Error('made twice')));
  t.is(findTemplate(folder, KEY), undefined);
});

test('each shape, and each file that husk is made of, has a name of its own', (t) => {
  const folder = folderOf(t);
  mkdirSync(folder);
  const file = join(folder, 'kernel');
  writeFileSync(file, 'one');
  const shapes: Partial<MachineShape>[] = [
    {},
    { memory: 1 << 29 },
    { cpus: 2 },
    { images: 1 },
    { mtus: [1500] },
    { mtus: [1400] },
    { hasShares: true },
  ];
  const keys = shapes.map((change) => templateKey({ ...SHAPE, ...change }, [file]));
  t.is(new Set(keys).size, shapes.length);
  for (const key of keys) t.regex(key, /^[0-9a-f]{32}$/);
  t.is(templateKey({ ...SHAPE }, [file]), keys[0]!);
  writeFileSync(file, 'another');
  t.not(templateKey(SHAPE, [file]), keys[0]);
});
