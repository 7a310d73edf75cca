/** Reading logs: tail, times, following, and whatever a container can do to the file. */
import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import test from 'ava';
import type { LogOptions } from '../../../src/engine/contract.ts';
import { logFile } from '../../../src/engine/look/logs.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

const fileOf = (fixture: TestEngine, id: string) => logFile(fixture, fixture.engine.get(id));

async function withLog(fixture: TestEngine, text: string): Promise<string> {
  const { id } = await fixture.engine.create(createOptions());
  mkdirSync(fixture.paths.container(id), { recursive: true });
  writeFileSync(fileOf(fixture, id), text);
  return id;
}

async function read({ engine }: TestEngine, id: string, options?: LogOptions): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of engine.logs(id, options)) texts.push(text.trimEnd());
  return texts;
}

const line = (index: number) =>
  `${JSON.stringify({ log: `${index}\n`, stream: index % 2 ? 'stderr' : 'stdout', time: new Date(1_700_000_000_000 + index * 1000).toISOString() })}\n`;
const lines = (count: number, from = 0) => Array.from({ length: count }, (_, index) => line(from + index)).join('');

test('all of it, with streams and times', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await withLog(fixture, lines(2));
  const found = [];
  for await (const entry of fixture.engine.logs(id)) found.push(entry);
  t.deepEqual(found, [
    { text: '0\n', stream: 'stdout', time: '2023-11-14T22:13:20.000Z' },
    { text: '1\n', stream: 'stderr', time: '2023-11-14T22:13:21.000Z' },
  ]);
});

test('batches: the same lines, a block of the file at once', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await withLog(fixture, lines(5000));
  const batches = [];
  for await (const batch of fixture.engine.logBatches(id, { tail: 4000 })) batches.push(batch);
  t.true(batches.length < 10, `${batches.length}`);
  const texts = batches.flat().map(({ text }) => text.trimEnd());
  t.deepEqual(texts, await read(fixture, id, { tail: 4000 }));
});

test('tail: none, some, more than there are; over blocks and rotated files', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await withLog(fixture, lines(5000, 100));
  writeFileSync(`${fileOf(fixture, id)}.1`, lines(100));
  t.deepEqual(await read(fixture, id, { tail: 0 }), []);
  t.deepEqual(await read(fixture, id, { tail: 2 }), ['5098', '5099']);
  const most = await read(fixture, id, { tail: 4999 });
  t.deepEqual([most.length, most[0]], [4999, '101']);
  const over = await read(fixture, id, { tail: 5001 });
  t.deepEqual([over.length, over[0]], [5001, '99']);
  t.is((await read(fixture, id, { tail: 1_000_000 })).length, 5100);
});

test('since and until', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await withLog(fixture, lines(10));
  t.deepEqual(await read(fixture, id, { since: 1_700_000_003_000, until: 1_700_000_005_000 }), ['3', '4', '5']);
});

test('the time of a line, to its last digit, names that line', async (t) => {
  const fixture = await openTestEngine(t);
  const stamped = ['100000001', '100000002', '100000003']
    .map((digits) => `{"log":"${digits}\\n","stream":"stdout","time":"2023-11-14T22:13:20.${digits}Z"}\n`)
    .join('');
  const id = await withLog(fixture, stamped);
  const second = 1_700_000_000_100_000_002n;
  t.deepEqual(await read(fixture, id, { until: second }), ['100000001', '100000002']);
  t.deepEqual(await read(fixture, id, { since: second }), ['100000002', '100000003']);
  t.deepEqual(await read(fixture, id, { since: second, until: second }), ['100000002']);
});

for (const [name, damage] of [
  ['a torn last line', '{"log":"half'],
  ['no JSON', 'nonsense\n'],
  ['another shape', '[1]\n{"log":1,"time":"x"}\nnull\n'],
  ['an endless line', `${'x'.repeat(2 << 20)}\n`],
  ['bytes that are no text', `${Buffer.from([0xff, 0, 0xfe]).toString('latin1')}\n`],
] as const) {
  test(`damage is skipped: ${name}`, async (t) => {
    const fixture = await openTestEngine(t);
    const id = await withLog(fixture, lines(1) + damage);
    if (damage.endsWith('\n')) appendFileSync(fileOf(fixture, id), line(1));
    t.deepEqual(await read(fixture, id), damage.endsWith('\n') ? ['0', '1'] : ['0']);
  });
}

test('follow: what comes, over a rotation, until the container has ended', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const { id } = await engine.create(createOptions({ command: ['cat'], interactive: true }));
  const { stdin } = (await engine.start(id, { attach: { stdin: true, stdout: true, stderr: true } }))!;
  stdin!.write('1\n');
  const found: string[] = [];
  for await (const { text } of engine.logs(id, { follow: true })) {
    found.push(text.trim());
    if (text === '1\n') {
      renameSync(fileOf(fixture, id), `${fileOf(fixture, id)}.1`);
      writeFileSync(fileOf(fixture, id), line(7));
    } else stdin!.end();
  }
  t.deepEqual(found, ['1', '7']);
});

test('follow ends when it is told to', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const { id } = await engine.create(createOptions({ command: ['sleep', '100'] }));
  await engine.start(id);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  t.deepEqual(await read(fixture, id, { follow: true, signal: controller.signal }), []);
});

test('the none driver cannot be read', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(createOptions({ logDriver: 'none' }));
  await t.throwsAsync(read(fixture, id), { message: 'configured logging driver does not support reading' });
});
