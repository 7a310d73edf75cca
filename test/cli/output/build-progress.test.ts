/** How a build is shown: as lines, as JSON, on a terminal; and how it fails. */
import test from 'ava';
import type { BuildEvent } from '../../../src/engine/build-events.ts';
import { rawJson, stepName } from '../../../src/engine/build-events.ts';
import { BuildFailed } from '../../../src/engine/build/failure.ts';
import { Lines } from '../../../src/cli/output/build-lines.ts';
import { checkReport, failureText, warningsText } from '../../../src/cli/output/build-failure.ts';
import { LastLines, PlainProgress } from '../../../src/cli/output/build-progress.ts';
import { TerminalProgress } from '../../../src/cli/output/build-terminal.ts';
import { width } from '../../../src/cli/output/table.ts';
import { FakeOutput } from '../fake-context.ts';

const output = (step: number, at: number, text: string, stream: 'stdout' | 'stderr' = 'stdout'): BuildEvent => ({
  type: 'output',
  at,
  step,
  stream,
  data: Buffer.from(text),
});

function plain(events: BuildEvent[], terminal?: { columns: number; rows: number }): string {
  const shown = new FakeOutput(terminal);
  const progress = new PlainProgress(shown);
  for (const event of events) progress.show(event);
  progress.end();
  return Buffer.from(shown.text).toString();
}

test('plain: a step, its lines with their times, and its end', (t) =>
  t.is(
    plain([
      { type: 'start', at: 100, step: 1, name: '[1/2] RUN make' },
      output(1, 512, 'one\ntw'),
      output(1, 600, 'o\n'),
      { type: 'end', at: 1300, step: 1, outcome: 'done' },
      { type: 'start', at: 1300, step: 2, name: '[2/2] COPY . .' },
      { type: 'end', at: 1300, step: 2, outcome: 'cached' },
    ]),
    '#1 [1/2] RUN make\n#1 0.412 one\n#1 0.500 two\n#1 DONE 1.2s\n\n#2 [2/2] COPY . .\n#2 CACHED\n\n',
  ));

test('plain: lines of steps that run side by side stay whole, those of both streams too', (t) =>
  t.is(
    plain([
      { type: 'start', at: 0, step: 1, name: 'a' },
      { type: 'start', at: 0, step: 2, name: 'b' },
      output(1, 0, 'on'),
      output(2, 0, 'two\n'),
      output(1, 0, 'err\n', 'stderr'),
      output(1, 0, 'e\n'),
    ]),
    '#1 a\n#2 b\n#2 0.000 two\n#1 0.000 err\n#1 0.000 one\n',
  ));

test('plain: what has no line end is a line at the end of its step', (t) =>
  t.is(
    plain([
      { type: 'start', at: 0, step: 1, name: 'a' },
      output(1, 0, 'no end'),
      { type: 'end', at: 0, step: 1, outcome: 'error', error: 'why' },
    ]),
    '#1 a\n#1 0.000 no end\n#1 ERROR: why\n\n',
  ));

test('a character that comes in two pieces is one', (t) => {
  const lines: string[] = [];
  const assembled = new Lines((line) => lines.push(line));
  const bytes = Buffer.from('é\n');
  assembled.push('stdout', bytes.subarray(0, 1));
  assembled.push('stdout', bytes.subarray(1));
  t.deepEqual(lines, ['é']);
});

test('a line without an end is given on in pieces: memory is bounded', (t) => {
  const lines: string[] = [];
  const assembled = new Lines((line) => lines.push(line));
  for (let index = 0; index < 100; index++) assembled.push('stdout', Buffer.alloc(1 << 14, 'x'));
  t.is(lines.length, ((100 << 14) >> 16) - 1);
  assembled.end();
  t.is(lines.join('').length, 100 << 14);
});

test('attack: neither a name nor a line steers a terminal; a file has the bytes', (t) => {
  const events: BuildEvent[] = [
    { type: 'start', at: 0, step: 1, name: 'RUN \x1b]0;owned\x07' },
    output(1, 0, '\x1b[2Jgone\n'),
  ];
  t.false(plain(events, { columns: 80, rows: 24 }).includes('\x1b'));
  t.true(plain(events).includes('\x1b[2Jgone'));
  const shown = new FakeOutput({ columns: 80, rows: 24 });
  const progress = new TerminalProgress(shown);
  for (const event of events) progress.show(event);
  shown.emit('resize');
  progress.end();
  // its own movements only: up, and clear to the end of the line and of the screen
  t.false(/\x1b(?!\[\d*[AJK])|\x07/.test(shown.text));
  t.true(Buffer.from(shown.text).toString().includes('gone'));
});

for (const columns of [1, 20, 80, 200])
  for (const rows of [3, 10, 24])
    test(`a terminal of ${columns} × ${rows} is never overdrawn by ten stages at once`, (t) => {
      const shown = new FakeOutput({ columns, rows });
      const progress = new TerminalProgress(shown);
      for (let step = 1; step <= 30; step++) {
        progress.show({ type: 'start', at: 0, step, name: `[stage-${step} 1/3] RUN a long command of step ${step}` });
        for (let line = 0; line < 8; line++)
          progress.show(output(step, 0, `line ${line} of step ${step} ${'x'.repeat(300)}\n`));
        if (step <= 20) progress.show({ type: 'end', at: 1000, step, outcome: 'done' });
      }
      shown.text = '';
      shown.emit('resize');
      const lines = Buffer.from(shown.text)
        .toString()
        .replace(/\x1b\[\d*[AJK]\r?/g, '')
        .split('\n');
      t.is(lines.pop(), '');
      // tmux keeps a screen that is cleared as a whole in its scrollback
      t.is(shown.text.indexOf('\x1b[J'), shown.text.length - '\x1b[J'.length);
      t.true(lines.length < rows || rows < 4, `${lines.length} lines`);
      for (const line of lines.slice(1)) t.true(width(line) <= columns, line);
      if (rows === 24 && columns >= 20)
        t.is(lines.filter((line) => / => \[stage-(?:2[1-9]|30)/.test(line)).length, columns > 20 ? 10 : 10);
      progress.end();
    });

test('a transfer has a size where one is known', (t) => {
  const shown = new FakeOutput({ columns: 80, rows: 24 });
  const progress = new TerminalProgress(shown);
  progress.show({ type: 'start', at: 0, step: 1, name: 'pushing box' });
  const transfer = { type: 'transfer', at: 0, step: 1 } as const;
  progress.show({ ...transfer, id: 'a', text: 'Pushed', current: 0 });
  progress.show({ ...transfer, id: 'b', text: 'Pushing', current: 2000, total: 4000 });
  progress.show({ ...transfer, id: 'c', text: 'Downloading', current: 2000 });
  shown.emit('resize');
  progress.end();
  const lines = [...shown.text.matchAll(/ => => (.*?)\x1b/g)].map(([, line]) => line);
  t.deepEqual(lines, ['a Pushed', 'b Pushing 2kB / 4kB', 'c Downloading 2kB']);
});

test('at the end every step stands there once, with its time', (t) => {
  const shown = new FakeOutput({ columns: 40, rows: 10 });
  const progress = new TerminalProgress(shown);
  progress.show({ type: 'start', at: 0, step: 1, name: '[1/2] FROM box' });
  progress.show({ type: 'end', at: 0, step: 1, outcome: 'cached' });
  progress.show({ type: 'start', at: 0, step: 2, name: '[2/2] RUN make' });
  progress.show({ type: 'end', at: 1250, step: 2, outcome: 'error', error: 'x' });
  progress.end();
  t.regex(
    shown.text.replaceAll(/\x1b\[[KJ]/g, ''),
    / => CACHED \[1\/2\] FROM box {2,}0\.0s\n => ERROR \[2\/2\] RUN make {2,}1\.3s\n$/,
  );
});

test('nothing is drawn while there is no step: a Dockerfile may be typed there', (t) => {
  const shown = new FakeOutput({ columns: 80, rows: 24 });
  const progress = new TerminalProgress(shown);
  shown.emit('resize');
  progress.end();
  t.is(shown.text, '');
});

test('rawjson: one object a line, bytes as base64', (t) => {
  t.is(
    rawJson(output(3, 12.7, 'a\xff\n')),
    `{"version":1,"type":"output","at":13,"step":3,"stream":"stdout","data":"${Buffer.from('a\xff\n').toString('base64')}"}\n`,
  );
});

test('names of steps', (t) => {
  const step = { number: 2, of: 7, text: 'RUN x' };
  t.is(stepName({ name: 'build', index: 0, alone: true }, step), '[build 2/7] RUN x');
  t.is(stepName({ name: undefined, index: 1, alone: false }, step), '[stage-1 2/7] RUN x');
  t.is(stepName({ name: undefined, index: 0, alone: true }, step), '[2/7] RUN x');
});

test('the last ten lines of the step that failed, and of no other', (t) => {
  const last = new LastLines();
  last.add({ type: 'start', at: 0, step: 1, name: 'good' });
  last.add({ type: 'start', at: 0, step: 2, name: 'bad' });
  for (let line = 1; line <= 12; line++) last.add(output(2, 1000, `${line}\n`));
  last.add({ type: 'end', at: 0, step: 1, outcome: 'done' });
  last.add({ type: 'end', at: 0, step: 2, outcome: 'error' });
  t.is(last.of(1), undefined);
  t.deepEqual(
    last.of(2)?.last,
    Array.from({ length: 10 }, (_, index) => `1.000 ${index + 3}`),
  );
});

const PLACE = { file: 'Dockerfile', lines: ['FROM box', 'RUN make', ''], range: { start: 2, end: 2 } };

test('a failure: what it printed, where it stands, why', (t) => {
  const error = new BuildFailed('process "make" did not complete successfully: exit code: 2', {
    kind: 'start-failed',
    cause: undefined,
    place: PLACE,
  });
  t.is(
    failureText(error, { name: '[2/2] RUN make', last: ['0.100 no rule'] }),
    `------
 > [2/2] RUN make:
0.100 no rule
------
Dockerfile:2
--------------------
   1 |     FROM box
   2 | >>> RUN make
   3 |     
--------------------
ERROR: failed to solve: process "make" did not complete successfully: exit code: 2
`,
  );
});

const WARNING = {
  rule: 'JSONArgsRecommended',
  message: 'JSON arguments recommended for CMD',
  description: 'JSON arguments are recommended',
  url: 'https://x.example/rule/',
  range: { start: 2, end: 2 },
};

test('warnings after a build, and none', (t) => {
  t.is(warningsText([]), '');
  t.is(
    warningsText([WARNING]),
    '\n1 warning found (husk build --check says more):\n - JSONArgsRecommended: JSON arguments recommended for CMD (line 2)\n',
  );
});

test('the report of a check', (t) => {
  const { file, lines } = PLACE;
  t.is(checkReport({ warnings: [], file, lines: [...lines] }), 'Check complete, no warnings found.\n');
  t.regex(
    checkReport({ warnings: [WARNING], file, lines: [...lines] }),
    /^Check complete, 1 warning has been found!\n\nWARNING: JSONArgsRecommended - https:\/\/x\.example\/rule\/\nJSON arguments are recommended\nJSON arguments recommended for CMD\nDockerfile:2\n-{20}\n[^]*>>> RUN make\n[^]*-{20}\n$/,
  );
});
