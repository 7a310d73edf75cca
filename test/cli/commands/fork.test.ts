/** `fork`, `checkpoint` and `start --checkpoint` as typed. */
import { resolve } from 'node:path';
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import { husk } from '../fake-context.ts';

const COPIES = ['a'.repeat(64), 'b'.repeat(64)];

/** What the engine is asked for, as JSON. */
async function typed(...words: string[]) {
  const asked: unknown[] = [];
  const note = (...given: unknown[]) => void asked.push(JSON.parse(JSON.stringify(given)));
  const engine: Partial<Engine> = {
    fork: async (name, { onCopy, onWarning, ...options } = {}) => {
      note('fork', name, options);
      onWarning?.('told');
      for (const id of COPIES.slice(0, options.count)) onCopy?.(id);
      return COPIES;
    },
    start: async (name, { onWarning: _told, ...options } = {}) => (note('start', name, options), undefined),
    createCheckpoint: async (...given) => note('create', ...given),
    checkpoints: async (...given) => (note('list', ...given), ['first', 'second']),
    removeCheckpoint: async (...given) => note('remove', ...given),
  };
  return { ...(await husk(words, { engine })), asked };
}

for (const [words, options, copies] of [
  [['box'], { count: 1 }, 1],
  [['--name', 'two', 'box'], { count: 1, name: 'two' }, 1],
  [['-n', '2', 'box'], { count: 2 }, 2],
  [['--count=2', '--name=try', 'box'], { count: 2, name: 'try' }, 2],
] as [string[], object, number][])
  test(`fork ${words.join(' ')}`, async (t) => {
    const { code, stdout, stderr, asked } = await typed('fork', ...words);
    t.deepEqual(asked, [['fork', 'box', options]]);
    const ids = COPIES.slice(0, copies).map((id) => `${id}\n`);
    t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: ids.join(''), stderr: 'WARNING: told\n' });
  });

const DIRECTORY = resolve('checks');
for (const [words, expected, stdout] of [
  [['checkpoint', 'create', 'box', 'first'], ['create', 'box', 'first', { leaveRunning: false }], 'first\n'],
  [
    ['checkpoint', 'create', '--leave-running', '--checkpoint-dir', 'checks', 'box', 'first'],
    ['create', 'box', 'first', { leaveRunning: true, directory: DIRECTORY }],
    'first\n',
  ],
  [['checkpoint', 'ls', 'box'], ['list', 'box', {}], 'CHECKPOINT NAME\nfirst\nsecond\n'],
  [['checkpoint', 'rm', 'box', 'first'], ['remove', 'box', 'first', {}], ''],
  [
    ['checkpoint', 'rm', '--checkpoint-dir=checks', 'box', 'first'],
    ['remove', 'box', 'first', { directory: DIRECTORY }],
    '',
  ],
  [['start', '--checkpoint', 'first', 'box'], ['start', 'box', { checkpoint: { name: 'first' } }], 'box\n'],
  [
    ['start', '--checkpoint', 'first', '--checkpoint-dir', 'checks', 'box'],
    ['start', 'box', { checkpoint: { name: 'first', directory: DIRECTORY } }],
    'box\n',
  ],
] as [string[], unknown[], string][])
  test(words.join(' '), async (t) => {
    const told = await typed(...words);
    t.deepEqual(told.asked, [expected]);
    t.deepEqual([told.code, told.stdout.replaceAll(/ +\n/g, '\n'), told.stderr], [0, stdout, '']);
  });

for (const [words, says] of [
  [['fork', '-n', '0', 'box'], /invalid value "0" for --count: at least one copy is made/],
  [['fork', '-n', 'x', 'box'], /invalid argument "x" for "-n, --count" flag/],
  [['fork'], /requires (exactly )?1 argument/],
  [['fork', 'a', 'b'], /requires (exactly )?1 argument/],
  [['checkpoint', 'create', 'box'], /requires (exactly )?2 arguments/],
  [['start', '--checkpoint', 'first', 'a', 'b'], /you cannot restore multiple containers at once/],
] as const)
  test(`${words.join(' ')} is refused`, async (t) => {
    const { code, stderr, asked } = await typed(...words);
    t.regex(stderr, says);
    t.not(code, 0);
    t.deepEqual(asked, []);
  });
