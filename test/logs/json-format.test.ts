/**
 * The encoder of json-file beside JSON.parse: every byte at every place of a word, the worst lines at the edge of the
 * batch, and random ones.
 */
import test from 'ava';
import { Batch } from '../../src/logs/format.ts';
import { JsonFormat, parseEntry } from '../../src/logs/json-format.ts';
import { MAX_ENTRY } from '../../src/logs/pieces.ts';
import { random } from '../fixtures/random.ts';

/** Encodes pieces of whole lines, each as one piece; @returns the texts that a reader finds */
function through(pieces: readonly Buffer[], format = new JsonFormat()): string[] {
  const written: Buffer[] = [];
  const batch = new Batch({
    now: () => 1_700_000_000_000_000_000n,
    flush: (bytes) => void written.push(Buffer.from(bytes)),
  });
  for (const bytes of pieces) format.encode({ bytes, whole: true }, 'stdout', batch);
  batch.flush();
  const lines = Buffer.concat(written).toString('latin1').split('\n');
  if (lines.pop() !== '') throw new Error('the last entry has no end');
  return lines.map((line) => parseEntry(Buffer.from(line, 'latin1'))?.text ?? `no entry: ${line}`);
}

const linesOf = (pieces: readonly Buffer[]): string[] =>
  pieces.flatMap((bytes) => bytes.toString('utf8').match(/[^\n]*\n/g) ?? []);

test('every byte of ASCII at every place of a word, at every distance from the end', (t) => {
  const pieces: Buffer[] = [];
  for (let byte = 0; byte < 0x80; byte++)
    for (let before = 0; before < 5; before++)
      for (let after = 0; after < 5; after++)
        pieces.push(Buffer.from(`${'x'.repeat(before)}${String.fromCharCode(byte)}${'y'.repeat(after)}\n`));
  t.deepEqual(through(pieces), linesOf(pieces));
  t.deepEqual(through([Buffer.concat(pieces)]), linesOf(pieces));
});

test('neighbours whose sum carries are not mistaken', (t) => {
  const marks = [0x01, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f].map((byte) => String.fromCharCode(byte));
  const pieces = marks.flatMap((a) => marks.flatMap((b) => marks.map((c) => Buffer.from(`${a}${b}${c}ü€\n`))));
  t.deepEqual(through([Buffer.concat(pieces)]), linesOf(pieces));
});

test('the worst lines, whatever stands before them in the batch', (t) => {
  const worst = Buffer.from(`${'\u0001'.repeat(MAX_ENTRY)}\n`);
  // the attributes make an entry's end long
  const format = new JsonFormat({ long: 'a'.repeat(5000) });
  for (let filler = 0; filler < 120_000; filler += 997) {
    const pieces = [
      Buffer.concat([
        Buffer.from(`${'b'.repeat(filler % MAX_ENTRY)}\n`),
        ...Array.from({ length: Math.floor(filler / 10_000) }, () => Buffer.from(`${'c'.repeat(9000)}\n`)),
        worst,
        worst,
        worst,
        worst,
        worst,
        worst,
      ]),
    ];
    const expected = linesOf(pieces);
    const found = through(pieces, format);
    t.is(found.length, expected.length);
    t.true(
      found.every((text, index) => text === expected[index]),
      `filler ${filler}`,
    );
  }
});

test('random lines', (t) => {
  const dice = random(7);
  const alphabet = ['a', 'b', ' ', '"', '\\', '\t', '\u001b', 'ü', '€', '𝄞', '\u007f', '\u2028'];
  const pieces = Array.from({ length: 400 }, () =>
    Buffer.from(
      Array.from(
        { length: 1 + Math.floor(dice() * 40) },
        () =>
          `${Array.from({ length: Math.floor(dice() * dice() * 400) }, () => alphabet[Math.floor(dice() * (dice() < 0.5 ? 3 : alphabet.length))]).join('')}\n`,
      ).join(''),
    ),
  );
  t.deepEqual(through(pieces), linesOf(pieces));
});
