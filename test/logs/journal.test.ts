/**
 * The driver journald, with a socket of our own as the journal: fields, pieces, a journal that is slow, gone, or asked
 * for more than a datagram takes.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { fieldName } from '../../src/logs/journal-entry.ts';
import { journalArguments, parseJournalEntry, readJournal } from '../../src/logs/journal-read.ts';
import { checkJournal, openJournalLog } from '../../src/logs/journal.ts';
import { MAX_ENTRY } from '../../src/logs/pieces.ts';
import { CONTAINER, folder } from './folder.ts';
import { JournalListener } from './journal-listener.ts';

const open = (path: string, options: Partial<Parameters<typeof openJournalLog>[1]> = {}) =>
  openJournalLog(
    CONTAINER,
    { extra: {}, tag: 'the-tag', dropAbove: undefined, confined: false, onTrouble: () => {}, ...options },
    path,
  );
const later = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

test.serial("a line is an entry with Docker's fields", async (t) => {
  using journal = new JournalListener(join(folder(t), 'socket'));
  const log = open(journal.path, { extra: { 'my.label': 'a\nb', CONTAINER_ID: 'forged', message: 'forged' } });
  log.output('stdout', Buffer.from('out\n'));
  log.output('stderr', Buffer.from('err\nhalf'));
  await log.end();
  const entries = journal.take();
  t.deepEqual(
    entries.map(({ MESSAGE, PRIORITY, CONTAINER_PARTIAL_MESSAGE }) => [MESSAGE, PRIORITY, CONTAINER_PARTIAL_MESSAGE]),
    [
      ['out', '6', undefined],
      ['err', '3', undefined],
      ['half', '3', 'true'],
    ],
  );
  t.like(entries[0], {
    CONTAINER_ID: CONTAINER.id.slice(0, 12),
    CONTAINER_ID_FULL: CONTAINER.id,
    CONTAINER_NAME: 'calm_husk',
    CONTAINER_TAG: 'the-tag',
    SYSLOG_IDENTIFIER: 'the-tag',
    IMAGE_NAME: 'alpine:3',
    MY_LABEL: 'a\nb',
  });
});

test.serial('long lines in pieces, and bytes as they are', async (t) => {
  using journal = new JournalListener(join(folder(t), 'socket'));
  const log = open(journal.path);
  log.output('stdout', Buffer.concat([Buffer.alloc(MAX_ENTRY + 3, 0x61), Buffer.from([0x0a, 0xff, 0, 0x0a])]));
  await log.end();
  t.deepEqual(
    journal.take().map(({ MESSAGE, CONTAINER_PARTIAL_MESSAGE }) => [MESSAGE, CONTAINER_PARTIAL_MESSAGE]),
    [
      ['a'.repeat(MAX_ENTRY), 'true'],
      ['aaa', undefined],
      ['\u00ff\0', undefined],
    ],
  );
});

test.serial('what no datagram takes goes as a sealed file, or from a VMM is lost with a word', async (t) => {
  using journal = new JournalListener(join(folder(t), 'socket'));
  const extra = { huge: 'x'.repeat(1 << 20) };
  const log = open(journal.path, { extra });
  log.output('stdout', Buffer.from('large\n'));
  await log.end();
  const [entry] = journal.take();
  t.is(entry!['MESSAGE'], 'large');
  t.is(entry!['HUGE']!.length, 1 << 20);
  const trouble: string[] = [];
  const confined = open(journal.path, { extra, confined: true, onTrouble: (message) => trouble.push(message) });
  confined.output('stdout', Buffer.from('a\nb\n'));
  await confined.end();
  t.deepEqual(trouble, ['cannot write to the journal: EMSGSIZE; output is lost until it can be written again']);
});

test.serial('a slow journal makes the container wait, and loses nothing', async (t) => {
  using journal = new JournalListener(join(folder(t), 'socket'));
  const log = open(journal.path);
  const lines = Array.from({ length: 2000 }, (_, index) => `line ${index}`);
  t.true(log.output('stdout', Buffer.from(`${lines.join('\n')}\n`)) > 0);
  const found: string[] = [];
  const drained = new Promise<void>((resolve) => log.onceDrained(resolve));
  for (let done = false; !done;) {
    found.push(...journal.take().map(({ MESSAGE }) => MESSAGE!));
    done = await Promise.race([drained.then(() => true), later(1).then(() => false)]);
  }
  await log.end();
  found.push(...journal.take().map(({ MESSAGE }) => MESSAGE!));
  t.deepEqual(found, lines);
});

test.serial('non-blocking: what does not fit is dropped, the container never waits', async (t) => {
  using journal = new JournalListener(join(folder(t), 'socket'));
  const log = open(journal.path, { dropAbove: 4000 });
  t.is(log.output('stdout', Buffer.from('line\n'.repeat(5000))), 0);
  const found = journal.take();
  t.true(found.length > 0 && found.length < 5000);
  await log.end();
});

test.serial('a journal that was restarted is found again', async (t) => {
  const path = join(folder(t), 'socket');
  const first = new JournalListener(path);
  const trouble: string[] = [];
  const log = open(path, { onTrouble: (message) => trouble.push(message) });
  log.output('stdout', Buffer.from('one\n'));
  t.is(first.take().length, 1);
  first[Symbol.dispose]();
  log.output('stdout', Buffer.from('lost\nlost too\n'));
  t.is(trouble.length, 1);
  using second = new JournalListener(path);
  log.output('stdout', Buffer.from('two\n'));
  await log.end();
  t.deepEqual(
    second.take().map(({ MESSAGE }) => MESSAGE),
    ['two'],
  );
});

test.serial('a follower whose journalctl is slow to begin reads to the end all the same', async (t) => {
  const at = folder(t);
  // says one entry and hangs; asked what comes behind it, says the other
  const entry = (cursor: string, text: string) =>
    JSON.stringify({ __CURSOR: cursor, MESSAGE: text, PRIORITY: '6', __REALTIME_TIMESTAMP: '1' });
  writeFileSync(
    join(at, 'journalctl'),
    `#!/bin/sh\ncase "$*" in *--follow*) echo '${entry('s=1', 'first')}'; exec sleep 100;; *--after-cursor=s=1*) echo '${entry('s=2', 'second')}';; esac\n`,
    { mode: 0o755 },
  );
  const { PATH } = process.env;
  process.env['PATH'] = `${at}:${PATH}`;
  t.teardown(() => (process.env['PATH'] = PATH));
  const found: string[] = [];
  for await (const entries of readJournal(CONTAINER.id, { follow: () => false }))
    found.push(...entries.map(({ text }) => text));
  t.deepEqual(found, ['first\n', 'second\n']);
});

test.serial('no journal: one clear line', (t) => {
  const path = join(folder(t), 'nothing');
  t.throws(() => checkJournal(path), { message: 'journald is not enabled on this host' });
});

for (const [key, expected] of [
  ['team', 'TEAM'],
  ['com.example.x-y', 'COM_EXAMPLE_X_Y'],
  ['_private', 'PRIVATE'],
  ['9lives', 'LIVES'],
  ['€', ''],
  ['x'.repeat(100), 'X'.repeat(64)],
] as const) {
  test(`field of ${key.slice(0, 20)}`, (t) => t.is(fieldName(key), expected));
}

for (const [name, line, expected] of [
  [
    'text',
    { MESSAGE: 'hello', PRIORITY: '6', __REALTIME_TIMESTAMP: '1700000000000001' },
    { text: 'hello\n', stream: 'stdout', time: '2023-11-14T22:13:20.000001Z' },
  ],
  [
    'our own time',
    { MESSAGE: 'x', PRIORITY: '3', SYSLOG_TIMESTAMP: '2023-11-14T22:13:20.000000001Z', __REALTIME_TIMESTAMP: '1' },
    { text: 'x\n', stream: 'stderr', time: '2023-11-14T22:13:20.000000001Z' },
  ],
  ['a piece', { MESSAGE: 'x', CONTAINER_PARTIAL_MESSAGE: 'true', __REALTIME_TIMESTAMP: '0' }, { text: 'x' }],
  ['bytes', { MESSAGE: [255, 10, 65], __REALTIME_TIMESTAMP: '0' }, { text: '\ufffd\nA\n' }],
  [
    'attributes',
    { MESSAGE: 'x', TEAM: 'a', CONTAINER_ID: 'c', _UID: '0', __CURSOR: 'z' },
    { attributes: { TEAM: 'a' } },
  ],
] as const) {
  test(`read back: ${name}`, (t) => t.like(parseJournalEntry(JSON.stringify(line)), expected));
}

for (const line of ['', '{', 'null', '[]', '{"MESSAGE":null}', '{"MESSAGE":["a"]}', '{"MESSAGE":{"a":1}}']) {
  test(`read back: ${line} is no entry`, (t) => t.is(parseJournalEntry(line), undefined));
}

test("journalctl is asked for this user's entries of this container only", (t) => {
  t.deepEqual(journalArguments('ID', { tail: 3, since: 1500, until: 2000 }), [
    '--output=json',
    '--all',
    '--quiet',
    '--no-pager',
    '--lines=3',
    '--since=@1.500000',
    '--until=@3.000000',
    'CONTAINER_ID_FULL=ID',
    `_UID=${process.getuid!()}`,
  ]);
  t.deepEqual(journalArguments('ID', { follow: () => true }).slice(4, 6), ['--no-tail', '--follow']);
  t.deepEqual(journalArguments('ID', { tail: 3, since: 1500, after: 's=1;i=2' }).slice(4, 6), [
    '--after-cursor=s=1;i=2',
    'CONTAINER_ID_FULL=ID',
  ]);
});
