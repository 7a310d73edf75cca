/** Which mappings may be forgotten: parsing only, and that a process survives it. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { droppable, releaseFilePages } from '../../../src/host/memory/file-pages.ts';

function mapping(head: string, counts: Record<string, number> = {}): string {
  return [
    head,
    ...Object.entries({ Rss: 4, Private_Dirty: 0, Anonymous: 0, ...counts }).map(
      ([name, value]) => `${name}:           ${value} kB`,
    ),
    'VmFlags: rd ex mr mw me',
  ].join('\n');
}

const TEXT = '00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/node';

for (const [what, text, count] of [
  ['text of a file', mapping(TEXT), 1],
  ['relocated data, read-only by now', mapping(TEXT.replace('r-xp', 'r--p'), { Anonymous: 8 }), 0],
  ['patched text', mapping(TEXT, { Private_Dirty: 4, Anonymous: 4 }), 0],
  ['text of a file on tmpfs, whose pages are all dirty', mapping(TEXT, { Private_Dirty: 4 }), 1],
  ['writable', mapping(TEXT.replace('r-xp', 'rw-p')), 0],
  ['shared', mapping(TEXT.replace('r-xp', 'r-xs')), 0],
  ['anonymous', mapping('7f0000000000-7f0000001000 r-xp 00000000 00:00 0 '), 0],
  ['the vdso', mapping('7ffd0000000-7ffd0001000 r-xp 00000000 00:00 0                          [vdso]'), 0],
  ['locked', mapping(TEXT, { Locked: 4 }), 0],
  ['two', `${mapping(TEXT)}\n${mapping(TEXT)}`, 2],
] as const) {
  test(`droppable: ${what}`, (t) => t.is(droppable(text).length, count));
}

test('a process goes on after its text was given back', (t) => {
  const before = rss();
  releaseFilePages();
  t.true(rss() < before - 4096, `${before} kB before`);
  t.is(JSON.stringify([1, 2, 3].map((value) => value * 2)), '[2,4,6]');
});

/** kB of resident file pages */
function rss(): number {
  return Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]);
}
