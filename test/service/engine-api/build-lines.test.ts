/** Events of husk's builds as the lines of Docker's classic builder: order, ids, what waits, and what is bounded. */
import test from 'ava';
import type { BuildOutline } from '../../../src/engine/build-contract.ts';
import type { BuildEvent } from '../../../src/engine/build-events.ts';
import { ClassicLines, type BuildLine } from '../../../src/service/engine-api/build-lines.ts';

const ID = `sha256:${Buffer.from(Array.from({ length: 32 }, (_, index) => index * 7 + 9)).toString('hex')}`;
const BASE = 'cd'.repeat(32);

function lines(file: string, more: { labels?: Record<string, string>; steps?: number[]; stages?: number[] } = {}) {
  const told: BuildLine[] = [];
  const made = new ClassicLines({
    emit: (line) => void told.push(line),
    labels: more.labels ?? {},
    imageId: () => `sha256:${BASE}`,
  });
  let stage = -1;
  const instructions = file.split('; ').map((text, index) => {
    if (text.startsWith('FROM')) stage++;
    return { text, stage, line: index + 1 };
  });
  const planned: BuildOutline['planned'] = {
    stages: new Set(more.stages ?? instructions.map((each) => each.stage)),
    steps: new Set(
      more.steps ?? instructions.filter(({ text }) => /^(FROM|RUN|COPY|WORKDIR)/.test(text)).map(({ line }) => line),
    ),
    images: new Map(instructions.filter(({ text }) => text.startsWith('FROM b')).map(({ line }) => [line, 'b'])),
  };
  return {
    made,
    parsed: () => made.outline({ instructions }),
    planned: () => made.outline({ instructions, planned }),
    events: (...events: Partial<BuildEvent>[]) => {
      for (const event of events) made.event({ at: 0, ...event } as BuildEvent);
    },
    told,
    /** texts of the stream, with ids that are digests as `ID` */
    text: () =>
      told
        .map((line) => (line['stream'] as string | undefined) ?? `${JSON.stringify(line)}\n`)
        .join('')
        .replaceAll(BASE.slice(0, 12), 'BASE')
        .replaceAll(ID.slice(7, 19), 'MADE')
        .replace(/\b[0-9a-f]{12}\b/g, 'ID'),
  };
}

const start = (step: number, line?: number): Partial<BuildEvent> => ({ type: 'start', step, name: '', line });
const end = (step: number, outcome: 'done' | 'cached' | 'error' | 'canceled' = 'done'): Partial<BuildEvent> => ({
  type: 'end',
  step,
  outcome,
});
const output = (step: number, text: string | Buffer, stream: 'stdout' | 'stderr' = 'stdout'): Partial<BuildEvent> => ({
  type: 'output',
  step,
  stream,
  data: Buffer.from(text as string),
});

test('a build is told as dockerd tells it', (t) => {
  const { parsed, planned, events, made, text } = lines('FROM b; ARG A=1; RUN x; COPY f /f; CMD ["c"]', {
    labels: { l: '1' },
  });
  parsed();
  t.is(text(), 'Step 1/6 : FROM b\n');
  planned();
  events(start(1, 1), end(1, 'cached'), start(2, 3), output(2, 'hello\n'), end(2), start(3, 4), end(3));
  made.finish(ID, ['built:1']);
  t.is(
    text(),
    `Step 1/6 : FROM b
 ---> BASE
Step 2/6 : ARG A=1
 ---> Running in ID
 ---> Removed intermediate container ID
 ---> ID
Step 3/6 : RUN x
 ---> Running in ID
hello
 ---> Removed intermediate container ID
 ---> ID
Step 4/6 : COPY f /f
 ---> ID
Step 5/6 : CMD ["c"]
 ---> Running in ID
 ---> Removed intermediate container ID
 ---> ID
Step 6/6 : LABEL l=1
 ---> Running in ID
 ---> Removed intermediate container ID
 ---> MADE
{"aux":{"ID":"${ID.replace(ID.slice(7, 19), 'MADE')}"}}
Successfully built MADE
Successfully tagged built:1
`,
  );
});

test('what is cached says so, and what changes the config alone goes with it', (t) => {
  const { planned, events, made, text } = lines('FROM b; RUN x; ENV a=b');
  planned();
  events(start(1, 1), end(1, 'cached'), start(2, 2), end(2, 'cached'));
  made.finish(ID, []);
  t.regex(text(), /RUN x\n ---> Using cache\n ---> ID\nStep 3\/3 : ENV a=b\n ---> Using cache\n ---> MADE\n/);
});

test('a stage that is ahead waits for its turn, and one that is not built is left out', (t) => {
  const { planned, events, made, text } = lines('FROM b AS one; RUN x; FROM b AS two; RUN y; FROM b; RUN z', {
    stages: [0, 2],
  });
  planned();
  events(start(1, 1), end(1, 'cached'), start(2, 2), start(3, 5), end(3, 'cached'), start(4, 6), output(4, 'zzz\n'));
  t.notRegex(text(), /zzz/);
  events(end(2), end(4));
  made.finish(ID, []);
  t.regex(
    text(),
    /Step 2\/6 : RUN x\n[^]*Step 5\/6 : FROM b\n ---> BASE\nStep 6\/6 : RUN z\n ---> Running in ID\nzzz\n/,
  );
  t.notRegex(text(), /RUN y/);
});

test('what waits is bounded', (t) => {
  const { planned, events, told } = lines('FROM b AS one; RUN x; FROM b; RUN z');
  planned();
  events(start(1, 1), end(1, 'cached'), start(2, 2), start(3, 3), end(3, 'cached'), start(4, 4));
  for (let count = 0; count < 100; count++) events(output(4, 'z'.repeat(65536)));
  events(end(2));
  const size = told.reduce((sum, line) => sum + String(line['stream']).length, 0);
  t.true(size > 65536 && size < 1.2 * 2 ** 20, String(size));
});

test('a step that fails is told behind what it said, also one that was not yet its turn', (t) => {
  const { planned, events, made, text } = lines('FROM b AS one; RUN x; FROM b; RUN z');
  planned();
  events(
    start(1, 1),
    end(1, 'cached'),
    start(2, 2),
    start(3, 3),
    end(3),
    start(4, 4),
    output(4, 'why\n'),
    end(4, 'error'),
  );
  events(end(2, 'canceled'));
  made.fail();
  t.regex(text(), /Step 2\/4 : RUN x\nStep 4\/4 : RUN z\n ---> Running in ID\nwhy\n$/);
});

test('bytes of one letter in two pieces are one letter, and stderr is red', (t) => {
  const { planned, events, told } = lines('FROM b; RUN x');
  planned();
  const letter = Buffer.from('ü');
  events(start(1, 1), end(1), start(2, 2), output(2, letter.subarray(0, 1)), output(2, letter.subarray(1)));
  events(output(2, 'e', 'stderr'));
  t.deepEqual(
    told.slice(-2).map((line) => line['stream']),
    ['ü', '\u001b[91me\u001b[0m'],
  );
});

test('a pull has the lines of a pull', (t) => {
  const { parsed, events, told } = lines('FROM b');
  parsed();
  events(start(1), { type: 'message', step: 1, text: 'Pulling from library/b' });
  events({ type: 'transfer', step: 1, id: 'abc', text: 'Downloading', current: 3, total: 9 });
  t.deepEqual(told.slice(2), [
    { status: 'Pulling from library/b' },
    { status: 'Downloading', progressDetail: { current: 3, total: 9 }, id: 'abc' },
  ]);
});
