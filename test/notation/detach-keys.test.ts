import test from 'ava';
import { DetachFilter, parseDetachKeys } from '../../src/notation/detach-keys.ts';

const KEYS: [text: string, bytes: number[]][] = [
  ['', [16, 17]],
  ['ctrl-p,ctrl-q', [16, 17]],
  ['a,b', [97, 98]],
  ['ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_', [0, 27, 28, 29, 30, 31]],
  ['CTRL-A'.toLowerCase(), [1]],
];

for (const [text, bytes] of KEYS)
  test(`keys ${JSON.stringify(text)}`, (t) => t.deepEqual([...parseDetachKeys(text)], bytes));

for (const text of ['foo', 'ctrl-', 'ctrl-aa', 'a,,b', 'é', 'ctrl-1'])
  test(`refuses ${text}`, (t) =>
    t.throws(() => parseDetachKeys(text), { name: 'HuskError', message: /^invalid detach keys/ }));

const INPUTS: [title: string, chunks: string[], output: string, detached: boolean][] = [
  ['nothing of it', ['abc'], 'abc', false],
  ['the sequence alone', ['\x10\x11'], '', true],
  ['the sequence in two reads', ['a\x10', '\x11b'], 'a', true],
  ['a beginning is held back', ['a\x10'], 'a', false],
  ['a beginning that goes on otherwise is given back', ['\x10', 'x'], '\x10x', false],
  ['a beginning twice', ['\x10\x10\x11'], '\x10', true],
  ['what follows the sequence is dropped', ['a\x10\x11b'], 'a', true],
];

for (const [title, chunks, output, detached] of INPUTS) {
  test(title, (t) => {
    const filter = new DetachFilter(parseDetachKeys(''));
    const results = chunks.map((chunk) => filter.filter(Buffer.from(chunk)));
    t.is(Buffer.concat(results.map((result) => result.output)).toString(), output);
    t.is(
      results.some((result) => result.detached),
      detached,
    );
  });
}
