import test from 'ava';
import { ProgressDisplay } from '../../../src/cli/output/progress.ts';
import { FakeOutput } from '../fake-context.ts';

/** What a terminal of that size shows after these bytes: enough of one for cursor-up, clear-to-end and line wrap. */
function screen(bytes: string, columns: number): string[] {
  const rows: string[] = [''];
  let row = 0;
  let column = 0;
  for (const [, up, clear, control, character] of bytes.matchAll(/\x1b\[(\d+)A|\x1b\[(J)|([\r\n])|([\s\S])/gu)) {
    if (up !== undefined) row = Math.max(0, row - Number(up));
    else if (clear !== undefined) {
      rows.length = row + 1;
      rows[row] = rows[row]!.slice(0, column);
    } else if (control === '\r') column = 0;
    else if (control === '\n') {
      row++;
      column = 0;
      rows[row] ??= '';
    } else {
      if (column === columns) {
        row++;
        column = 0;
        rows[row] ??= '';
      }
      rows[row] = rows[row]!.slice(0, column) + character + rows[row]!.slice(column + 1);
      column++;
    }
  }
  return rows.slice(0, -1);
}

test('without a terminal: a line for each change, no bars', (t) => {
  const output = new FakeOutput();
  const display = new ProgressDisplay(output);
  display.show({ status: 'Pulling from library/alpine', id: 'latest' });
  display.show({ id: 'aaaaaaaaaaaa', status: 'Pulling fs layer' });
  for (let current = 0; current < 100; current++)
    display.show({ id: 'aaaaaaaaaaaa', status: 'Downloading', current, total: 100 });
  display.show({ id: 'aaaaaaaaaaaa', status: 'Pull complete' });
  display.show({ id: 'aaaaaaaaaaaa', status: 'Pull complete' });
  display.end();
  t.is(
    output.text,
    'latest: Pulling from library/alpine\naaaaaaaaaaaa: Pulling fs layer\naaaaaaaaaaaa: Pull complete\n',
  );
});

test('on a terminal: a line a layer, in place, and few drawings', (t) => {
  const output = new FakeOutput({ columns: 100, rows: 24 });
  const display = new ProgressDisplay(output);
  for (let current = 0; current <= 29_000_000; current += 10_000) {
    display.show({ id: 'aaaaaaaaaaaa', status: 'Downloading', current, total: 29_000_000 });
    display.show({ id: 'bbbbbbbbbbbb', status: 'Waiting' });
  }
  t.true(output.writes < 20, `${output.writes} drawings`);
  display.show({ id: 'aaaaaaaaaaaa', status: 'Downloading', current: 3_100_000, total: 29_000_000 });
  display.end();
  const [first, second, ...rest] = screen(output.text, 100);
  t.is(first, `aaaaaaaaaaaa: Downloading [=====>${' '.repeat(44)}]    3.1MB/29MB`);
  t.is(second, 'bbbbbbbbbbbb: Waiting');
  t.deepEqual(rest, []);
});

for (const columns of [1, 8, 20, 40, 80]) {
  test(`no line is wider than ${columns} columns`, (t) => {
    const output = new FakeOutput({ columns, rows: 10 });
    const display = new ProgressDisplay(output);
    display.show({ id: 'aaaaaaaaaaaa', status: 'Downloading', current: 5, total: 10 });
    display.show({ id: 'bbbbbbbbbbbb', status: 'Verifying Checksum' });
    display.end();
    const lines = screen(output.text, columns);
    t.is(lines.length, 2);
    for (const line of lines) t.true(line.length <= columns);
  });
}

test('the digest stays whole on a narrow terminal', (t) => {
  const output = new FakeOutput({ columns: 20, rows: 10 });
  const display = new ProgressDisplay(output);
  display.show({ status: `Digest: sha256:${'0123456789abcdef'.repeat(4)}` });
  display.end();
  t.is(screen(output.text, 20).join(''), `Digest: sha256:${'0123456789abcdef'.repeat(4)}`);
});

test('a terminal made narrower does not smear', (t) => {
  const output = new FakeOutput({ columns: 80, rows: 24 });
  const display = new ProgressDisplay(output);
  display.show({ id: 'aaaaaaaaaaaa', status: 'Downloading', current: 5, total: 10 });
  output.columns = 40;
  output.text = '';
  output.emit('resize');
  // the line of 80 columns now stands on two rows: both are taken back
  t.regex(output.text, /^\x1b\[2A\r\x1b\[J/);
  display.end();
});

test('more layers than rows: what moves is shown, and all of it at the end', (t) => {
  const output = new FakeOutput({ columns: 80, rows: 5 });
  const display = new ProgressDisplay(output);
  for (let index = 0; index < 20; index++)
    display.show({ id: String(index).padStart(12, '0'), status: index === 15 ? 'Extracting' : 'Pull complete' });
  output.text = '';
  output.emit('resize');
  const shown = output.text.split('\n');
  t.is(shown.length, 5);
  t.true(shown.some((line) => line.includes('000000000015: Extracting')));
  output.text = '';
  display.end();
  t.is(output.text.split('\n').length, 21);
});

test('a status from a registry cannot drive the terminal, and lines are bounded', (t) => {
  const output = new FakeOutput({ columns: 80, rows: 24 });
  const display = new ProgressDisplay(output);
  display.show({ id: 'x', status: 'evil \x1b[2J\x9b\r\n status' });
  for (let index = 0; index < 5000; index++) display.show({ id: `layer-${index}`, status: 'Waiting' });
  display.end();
  t.true(output.text.includes('x: evil \uFFFD[2J\uFFFD\uFFFD\uFFFD status'));
  t.true(output.text.split('\n').length < 1100);
});
