/** The json-file writer: Docker's format, splitting, rotation. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { checkLogOptions, LineSplitter, MAX_ENTRY, openLog } from '../../src/supervisor/log.ts';

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-log-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

const entries = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { log: string; stream: string; time: string });

for (const [name, chunks, expected] of [
  ['lines', ['a\nb\n'], ['a\n', 'b\n']],
  ['a line in pieces', ['a', 'b', 'c\nd'], ['abc\n', 'd']],
  ['empty lines', ['\n\n'], ['\n', '\n']],
  ['an unfinished line at the end', ['x'], ['x']],
  ['nothing', [], []],
  ['carriage returns stay', ['a\r\nb\r'], ['a\r\n', 'b\r']],
  ['exactly the bound', [`${'a'.repeat(MAX_ENTRY)}\n`], [`${'a'.repeat(MAX_ENTRY)}\n`]],
  ['one over the bound', [`${'a'.repeat(MAX_ENTRY + 1)}\n`], ['a'.repeat(MAX_ENTRY), 'a\n']],
  ['far over the bound', ['a'.repeat(MAX_ENTRY * 3)], ['a'.repeat(MAX_ENTRY), 'a'.repeat(MAX_ENTRY), 'a'.repeat(MAX_ENTRY)]],
] as const) {
  test(`split: ${name}`, (t) => {
    const splitter = new LineSplitter();
    t.deepEqual([...chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk))), ...splitter.end()], [...expected]);
  });
}

test('a character is not cut in two', (t) => {
  const splitter = new LineSplitter();
  const text = `${'a'.repeat(MAX_ENTRY - 1)}${'€'.repeat(10)}`;
  const parts = [...splitter.push(Buffer.from(text)), ...splitter.end()];
  t.is(parts.join(''), text);
  t.is(parts[0], 'a'.repeat(MAX_ENTRY - 1));
});

test('what is no UTF-8 is replaced, as Docker does, and a bound of four bytes is not passed for it', (t) => {
  const splitter = new LineSplitter();
  const parts = splitter.push(Buffer.alloc(MAX_ENTRY + 1, 0x80));
  t.is(parts[0]!.length, MAX_ENTRY);
});

test('the file has Docker\'s format', (t) => {
  const file = join(folder(t), 'log');
  const log = openLog(file, { driver: 'json-file', options: {} });
  log.write('stdout', Buffer.from('out "quoted"\n'));
  log.write('stderr', Buffer.from('err'));
  log.end();
  const [first, second] = entries(file);
  t.like(first, { log: 'out "quoted"\n', stream: 'stdout' });
  t.like(second, { log: 'err', stream: 'stderr' });
  t.regex(first!.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
  t.regex(readFileSync(file, 'utf8'), /^\{"log":"out \\"quoted\\"\\n","stream":"stdout","time":"[^"]+"\}\n/);
});

test('rotation by size keeps so many files', (t) => {
  const file = join(folder(t), 'log');
  const log = openLog(file, { driver: 'json-file', options: { 'max-size': '1k', 'max-file': '3' } });
  for (let index = 0; index < 100; index++) log.write('stdout', Buffer.from(`line ${index}\n`));
  log.end();
  t.true(existsSync(`${file}.1`) && existsSync(`${file}.2`) && !existsSync(`${file}.3`));
  t.is(entries(file).at(-1)!.log, 'line 99\n');
  for (const path of [file, `${file}.1`]) t.true(readFileSync(path).length <= 1024);
});

test('none writes nothing', (t) => {
  const file = join(folder(t), 'log');
  const log = openLog(file, { driver: 'none', options: {} });
  log.write('stdout', Buffer.from('x\n'));
  log.end();
  t.false(existsSync(file));
});

for (const [driver, options, message] of [
  ['syslog', {}, /no log driver named 'syslog' is registered/],
  ['json-file', { nonsense: '1' }, /unknown log opt 'nonsense' for json-file log driver/],
  ['json-file', { 'max-size': 'big' }, /invalid max-size "big"/],
  ['json-file', { 'max-file': '0' }, /max-file cannot be less than 1/],
  ['json-file', { 'max-file': '2' }, /max-size is not set/],
] as const) {
  test(`refused: ${driver} ${JSON.stringify(options)}`, (t) => {
    t.throws(() => checkLogOptions({ driver, options }), { message });
  });
}
