/**
 * The drivers that write files: what is in them, splitting, rotation, compression, repair, a full disk. Each case for
 * both formats.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { JsonFormat } from '../../src/logs/json-format.ts';
import { LocalFormat } from '../../src/logs/local-format.ts';
import { logPath } from '../../src/logs/open.ts';
import { MAX_ENTRY, PieceCutter } from '../../src/logs/pieces.ts';
import { CONTAINER, folder, open, readAll } from './folder.ts';

const FORMATS = { 'json-file': new JsonFormat(), local: new LocalFormat() };
const DRIVERS = ['json-file', 'local'] as const;
const pathOf = (at: string, driver: string) => logPath(at, { id: CONTAINER.id, driver });
const read = (at: string, driver: (typeof DRIVERS)[number]) => readAll(pathOf(at, driver), { format: FORMATS[driver] });
const texts = async (at: string, driver: (typeof DRIVERS)[number]) => (await read(at, driver)).map(({ text }) => text);

for (const [name, chunks, expected] of [
  ['lines', ['a\nb\n'], ['a\n', 'b\n']],
  ['a line in pieces', ['a', 'b', 'c\nd'], ['abc\n', 'd']],
  ['empty lines', ['\n\n'], ['\n', '\n']],
  ['an unfinished line at the end', ['x'], ['x']],
  ['nothing', [], []],
  ['carriage returns stay', ['a\r\nb\r'], ['a\r\n', 'b\r']],
  ['what JSON escapes', ['"\\\b\f\t\u001b[0m\u0000\u007f\n'], ['"\\\b\f\t\u001b[0m\u0000\u007f\n']],
  ['other alphabets', ['grün €\u2028𝄞\n'], ['grün €\u2028𝄞\n']],
  ['exactly the bound', [`${'a'.repeat(MAX_ENTRY)}\n`], [`${'a'.repeat(MAX_ENTRY)}\n`]],
  ['one over the bound', [`${'a'.repeat(MAX_ENTRY + 1)}\n`], ['a'.repeat(MAX_ENTRY), 'a\n']],
  [
    'far over the bound',
    ['a'.repeat(MAX_ENTRY * 3)],
    ['a'.repeat(MAX_ENTRY), 'a'.repeat(MAX_ENTRY), 'a'.repeat(MAX_ENTRY)],
  ],
  [
    'a long line between short ones',
    [`x\n${'a'.repeat(MAX_ENTRY + 2)}\ny\n`],
    ['x\n', 'a'.repeat(MAX_ENTRY), 'aa\n', 'y\n'],
  ],
  ['a character at the cut stays whole', [`${'a'.repeat(MAX_ENTRY - 1)}€€\n`], ['a'.repeat(MAX_ENTRY - 1), '€€\n']],
  ['the worst that a line can become', [`${'\u0001'.repeat(MAX_ENTRY)}\n`], [`${'\u0001'.repeat(MAX_ENTRY)}\n`]],
] as const) {
  for (const driver of DRIVERS) {
    test(`${driver}: ${name}`, async (t) => {
      const at = folder(t);
      const log = await open(at, driver);
      for (const chunk of chunks) log.output('stdout', Buffer.from(chunk));
      await log.end();
      t.deepEqual(await texts(at, driver), [...expected]);
    });
  }
}

test('the cutter holds no more than an entry', (t) => {
  const cutter = new PieceCutter();
  const pieces = [...cutter.push(Buffer.alloc(MAX_ENTRY * 10 + 5, 0x61))];
  t.deepEqual(
    pieces.map(({ bytes }) => bytes.length),
    Array.from({ length: 10 }, () => MAX_ENTRY),
  );
  t.is([...cutter.end()][0]!.bytes.length, 5);
});

test('json-file replaces what is no UTF-8, as Docker does; local keeps it', async (t) => {
  const bytes = Buffer.from([0xff, 0x41, 0xc3, 0x0a]);
  for (const driver of DRIVERS) {
    const at = folder(t);
    const log = await open(at, driver);
    log.output('stdout', bytes);
    await log.end();
    const [entry] = await read(at, driver);
    t.is(entry!.text, '\ufffdA\ufffd\n');
    t.deepEqual(entry!.bytes && Buffer.from(entry!.bytes), driver === 'local' ? bytes : undefined);
  }
});

test("json-file has Docker's format, and the attributes that were asked for", async (t) => {
  const at = folder(t);
  const log = await open(at, 'json-file', { labels: 'b,zzz', env: 'A', tag: '{{.Name}}/{{ .ID }}' });
  log.output('stdout', Buffer.from('out "quoted"\n'));
  log.output('stderr', Buffer.from('err'));
  await log.end();
  const lines = readFileSync(pathOf(at, 'json-file'), 'utf8').split('\n');
  t.regex(
    lines[0]!,
    /^\{"log":"out \\"quoted\\"\\u000a|^\{"log":"out \\"quoted\\"\\n","stream":"stdout","attrs":\{"A":"x=y","b":"two words","tag":"calm_husk\/c0ffee000000"\},"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"\}$/,
  );
  t.like(JSON.parse(lines[1]!), { log: 'err', stream: 'stderr' });
});

for (const driver of DRIVERS) {
  test(`${driver}: streams, times and attributes come back`, async (t) => {
    const at = folder(t);
    const log = await open(at, driver, { labels: 'a' });
    log.output('stderr', Buffer.from('e\n'));
    log.output('stdout', Buffer.from('o\n'));
    await log.end();
    const entries = await read(at, driver);
    t.deepEqual(
      entries.map(({ stream, text, attributes }) => [stream, text, attributes]),
      [
        ['stderr', 'e\n', { a: '1' }],
        ['stdout', 'o\n', { a: '1' }],
      ],
    );
    t.true(Math.abs(Date.parse(entries[0]!.time) - Date.now()) < 60_000);
  });

  test(`${driver}: rotation by size keeps so many files, none over the size, and the last lines in order`, async (t) => {
    const at = folder(t);
    const log = await open(at, driver, { 'max-size': '1k', 'max-file': '3', compress: 'false' });
    for (let index = 0; index < 100; index++) log.output('stdout', Buffer.from(`line ${index}\n`.repeat(3)));
    await log.end();
    const path = pathOf(at, driver);
    t.true(existsSync(`${path}.1`) && existsSync(`${path}.2`) && !existsSync(`${path}.3`));
    for (const file of [path, `${path}.1`, `${path}.2`]) t.true(statSync(file).size <= 1000, file);
    const found = await texts(at, driver);
    t.is(found.at(-1), 'line 99\n');
    t.deepEqual(
      found,
      Array.from({ length: 300 }, (_, index) => `line ${Math.floor(index / 3)}\n`).slice(-found.length),
    );
  });

  test(`${driver}: one file is begun again, and a line larger than the size is kept whole`, async (t) => {
    const at = folder(t);
    const log = await open(at, driver, { 'max-size': '1k', 'max-file': '1', compress: 'false' });
    log.output('stdout', Buffer.from('first\n'));
    log.output('stdout', Buffer.from(`${'x'.repeat(5000)}\n`));
    await log.end();
    t.deepEqual(readdirSync(join(pathOf(at, driver), '..')).filter((name) => /log/.test(name)).length, 1);
    t.is((await texts(at, driver)).at(-1), `${'x'.repeat(5000)}\n`);
  });

  test(`${driver}: rotated files are compressed, and read all the same`, async (t) => {
    const at = folder(t);
    const log = await open(at, driver, { 'max-size': '20k', 'max-file': '100', compress: 'true' });
    const path = pathOf(at, driver);
    for (let index = 0; index < 20; index++) {
      log.output(
        'stdout',
        Buffer.from(
          Array.from({ length: 500 }, (_, line) => `line ${index * 500 + line} ${'x'.repeat(20)}\n`).join(''),
        ),
      );
      await sleep(20);
    }
    await log.end();
    const packed = readdirSync(join(path, '..')).filter((name) => name.endsWith('.gz'));
    t.true(packed.length >= 2);
    t.deepEqual(
      readdirSync(join(path, '..')).filter((name) => name.endsWith('new')),
      [],
    );
    for (const name of packed)
      t.true(gunzipSync(readFileSync(join(path, '..', name))).length > statSync(join(path, '..', name)).size);
    const found = await texts(at, driver);
    const numbers = found.map((text) => Number(text.split(' ')[1]));
    t.is(numbers.length, 10_000);
    t.is(
      numbers.findIndex((number, index) => number !== index),
      -1,
    );
    t.deepEqual(
      (await readAll(path, { format: FORMATS[driver], tail: 3000 })).map(({ text }) => text),
      found.slice(-3000),
    );
  });

  test(`${driver}: what a killed writer left is cut off by the next one`, async (t) => {
    const at = folder(t);
    const path = pathOf(at, driver);
    const write = async (text: string) => {
      const log = await open(at, driver);
      log.output('stdout', Buffer.from(text));
      await log.end();
    };
    await write('one\ntwo\n');
    const whole = statSync(path).size;
    await write('three\nfour\n');
    for (let cut = 1; cut < statSync(path).size - whole; cut += 7) {
      truncateSync(path, statSync(path).size - cut);
      await write('later\n');
      const found = await texts(at, driver);
      t.deepEqual(found.slice(0, 2), ['one\n', 'two\n']);
      t.is(found.at(-1), 'later\n');
      t.true(
        found.every((text) => ['one\n', 'two\n', 'three\n', 'four\n', 'later\n'].includes(text)),
        JSON.stringify(found),
      );
    }
  });

  test(`${driver}: a full disk loses whole entries, says so once, and the log goes on when there is room`, async (t) => {
    const program = join(import.meta.dirname, 'full-disk.ts');
    const script =
      'mount -t tmpfs -o size=64k husk "$1" && exec "$2" --disable-warning=ExperimentalWarning "$3" "$1" "$4"';
    const at = folder(t);
    const output = execFileSync(
      'unshare',
      ['--map-root-user', '--user', '--mount', 'sh', '-c', script, 'sh', at, process.execPath, program, driver],
      { encoding: 'utf8' },
    );
    const { trouble, found, written } = JSON.parse(output) as { trouble: string[]; found: string[]; written: number };
    t.is(trouble.length, 1);
    t.regex(trouble[0]!, /^cannot write the log .*: ENOSPC; output is lost until it can be written again$/);
    t.is(found.at(-1), 'after\n');
    const numbers = found.slice(0, -1).map((text) => Number(/^line (\d+) x{50}\n$/.exec(text)?.[1]));
    t.true(numbers.length > 10 && numbers.length < written);
    t.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    t.false(numbers.some(Number.isNaN), 'a torn line');
  });
}

test('local: damage is named, and what lies before it is read', async (t) => {
  const at = folder(t);
  const log = await open(at, 'local');
  log.output('stdout', Buffer.from('good\n'));
  await log.end();
  appendFileSync(pathOf(at, 'local'), Buffer.alloc(64, 0xee));
  const error = await t.throwsAsync(read(at, 'local'));
  t.regex(error!.message, /^cannot read .*container\.log: the log is damaged/);
});

test('local: another version, another file', async (t) => {
  const at = folder(t);
  await (await open(at, 'local')).end();
  const path = pathOf(at, 'local');
  appendFileSync(path, Buffer.from('HUSKLOG\x02rest'));
  await t.throwsAsync(read(at, 'local'), { message: /format version 2, this husk reads 1/ });
  truncateSync(path, 0);
  appendFileSync(path, 'something else entirely');
  await t.throwsAsync(read(at, 'local'), { message: /no HUSKLOG header/ });
});

/** deterministic: a failure can be run again */
function* noise(seed: number): Generator<number> {
  for (let state = seed; ;) yield (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 24;
}

test('local: fuzzed files never crash, hang, or grow the reader', async (t) => {
  const at = folder(t);
  const log = await open(at, 'local', { labels: 'a' });
  for (let index = 0; index < 40; index++)
    log.output(index % 2 ? 'stderr' : 'stdout', Buffer.from(`line ${index}\n`.repeat(index)));
  await log.end();
  const good = readFileSync(pathOf(at, 'local'));
  const until = Date.now() + Number(process.env['HUSK_FUZZ_SECONDS'] ?? 1) * 1000;
  const random = noise(7);
  const next = (below: number) =>
    ((random.next().value << 16) | (random.next().value << 8) | random.next().value) % below;
  for (let round = 0; Date.now() < until; round++) {
    const bytes = Buffer.from(good.subarray(0, next(good.length) + 1));
    for (let change = next(5); change > 0; change--) bytes[next(bytes.length)] = random.next().value;
    const decoder = new LocalFormat().decoder(next(4) !== 0);
    try {
      for (let from = 0; from < bytes.length;) {
        const end = from + 1 + next(400);
        for (const { text } of decoder.push(bytes.subarray(from, end))) t.true(text.length <= bytes.length);
        from = end;
      }
      t.true(decoder.pending <= bytes.length);
    } catch (error) {
      t.is((error as { kind?: string }).kind, 'corrupt', `round ${round}: ${String(error)}`);
    }
  }
});

test('none writes nothing', async (t) => {
  const at = folder(t);
  const log = await open(at, 'none');
  log.output('stdout', Buffer.from('x\n'));
  await log.end();
  await sleep(1);
  t.deepEqual(readdirSync(at), []);
});
