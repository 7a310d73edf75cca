/** What a wait reads of a container's events, written here by hand: order, removal, trimmed and damaged rows. */
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import { ExitLog, type Condition } from '../../../src/engine/life/exit-log.ts';
import type { EngineContext } from '../../../src/engine/record/context.ts';
import type { ContainerConfig } from '../../../src/engine/contract.ts';
import { ContainerStore, NEVER, type ContainerState } from '../../../src/state/containers.ts';
import { createSchema } from '../../../src/state/database.ts';
import { appendEvent, appendUntoldEnd, eventsAfter } from '../../../src/state/events.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';

const ID = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);
const T = (second: number) => `2026-01-01T00:00:0${second}Z`;

function made(state: Partial<ContainerState> = {}) {
  const database = new DatabaseSync(':memory:');
  createSchema(database);
  const store = new ContainerStore<ContainerConfig>(database);
  const record = (id: string, name: string, has: Partial<ContainerState>) =>
    store.insert({
      id,
      name,
      imageId: 'sha256:x',
      createdAt: 1,
      config: { mounts: [] } as unknown as ContainerConfig,
      state: {
        status: 'created',
        pid: 0,
        exitCode: 0,
        error: '',
        oomKilled: false,
        startedAt: NEVER,
        finishedAt: NEVER,
        restartCount: 0,
        stoppedByUser: false,
        ...has,
      },
    });
  record(ID, 'one', state);
  record(OTHER, 'two', {});
  const act = {
    event: (Action: string, attributes: Record<string, string> = {}, id = ID) =>
      appendEvent(database, { Type: 'container', Action, Actor: { ID: id, Attributes: attributes } }),
    die: (code: number, id = ID) => act.event('die', { exitCode: String(code) }, id),
    failed: (code: number, error: string) => appendUntoldEnd(database, { id: ID, exitCode: code, error }),
    become: (next: Partial<ContainerState>) => void store.change(ID, (before) => ({ ...before, ...next })),
    gone: () => (store.delete(ID), act.event('destroy')),
    row: (text: string) => void database.prepare('INSERT INTO events (time, record) VALUES (1, ?)').run(text),
    forget: () => void database.exec('DELETE FROM events WHERE sequence < (SELECT max(sequence) FROM events)'),
  };
  act.die(99);
  const context = { database, store } as unknown as EngineContext;
  return { act, log: new ExitLog(context, 'one'), database };
}
type Act = ReturnType<typeof made>['act'];

const RUNNING: Partial<ContainerState> = { status: 'running', startedAt: T(1), supervisor: identifySelf() };
const LOST = /is not known any more: more than 10000 events have come since/;

const CASES: [
  what: string,
  state: Partial<ContainerState>,
  happens: (act: Act) => void,
  expected: Partial<Record<Condition, number | [number, string | RegExp] | undefined>>,
][] = [
  ['nothing', {}, () => {}, { 'next-exit': undefined, removed: undefined }],
  ['an exit', RUNNING, (act) => act.die(3), { 'not-running': 3, 'next-exit': 3, removed: undefined }],
  [
    "another container's exit",
    RUNNING,
    (act) => act.die(3, OTHER),
    { 'not-running': undefined, 'next-exit': undefined },
  ],
  [
    "another container's exit whose labels name this one",
    RUNNING,
    (act) => act.event('die', { exitCode: '9', label: ID }, OTHER),
    { 'next-exit': undefined },
  ],
  [
    'two exits: the first, and the last before a removal',
    RUNNING,
    (act) => (act.die(3), act.die(4), act.gone()),
    { 'next-exit': 3, removed: 4 },
  ],
  ['a short life with --rm', {}, (act) => (act.event('start'), act.die(5), act.gone()), { 'next-exit': 5, removed: 5 }],
  ['removed, never started', {}, (act) => act.gone(), { 'next-exit': 0, removed: 0 }],
  ['removed, exited before', { status: 'exited', exitCode: 6 }, (act) => act.gone(), { 'next-exit': 6, removed: 6 }],
  [
    'a start that failed',
    {},
    (act) => act.failed(127, 'no such file'),
    { 'next-exit': [127, 'no such file'], removed: undefined },
  ],
  [
    'a start that failed, with --rm',
    {},
    (act) => (act.failed(127, 'no such file'), act.gone()),
    { removed: [127, 'no such file'] },
  ],
  [
    'a start that failed, and one that did not',
    {},
    (act) => (act.failed(127, 'no'), act.die(0), act.gone()),
    { removed: 0 },
  ],
  [
    'rows that are none',
    RUNNING,
    (act) => (
      act.row(`{"Type":"end","id":"${ID}"}`),
      act.row(`${ID} {`),
      act.row(`["${ID}"]`),
      act.row(`null ${ID}`),
      act.event('die'),
      act.event('die', { exitCode: 'x' }),
      act.die(7)
    ),
    { 'next-exit': 7 },
  ],
  [
    'forgotten: it has exited',
    { ...RUNNING },
    (act) => (
      act.die(8),
      act.become({ status: 'exited', exitCode: 8, finishedAt: T(2) }),
      act.event('x', {}, OTHER),
      act.forget()
    ),
    { 'not-running': 8, 'next-exit': 8, removed: undefined },
  ],
  [
    'forgotten: its start has failed',
    {},
    (act) => (
      act.become({ exitCode: 128, error: 'why' }),
      act.event('x', {}, OTHER),
      act.event('x', {}, OTHER),
      act.forget()
    ),
    { 'next-exit': [128, 'why'] },
  ],
  [
    'forgotten: it has not started',
    {},
    (act) => (act.event('x', {}, OTHER), act.event('x', {}, OTHER), act.forget()),
    { 'next-exit': undefined, removed: undefined },
  ],
  [
    'forgotten: it runs as before',
    RUNNING,
    (act) => (act.event('x', {}, OTHER), act.event('x', {}, OTHER), act.forget()),
    { 'not-running': undefined, 'next-exit': undefined },
  ],
  [
    'forgotten: it runs once more',
    RUNNING,
    (act) => (act.die(8), act.become({ startedAt: T(3) }), act.event('x', {}, OTHER), act.forget()),
    { 'next-exit': [125, LOST] },
  ],
  [
    'forgotten: it has gone',
    RUNNING,
    (act) => (act.die(8), act.gone(), act.event('x', {}, OTHER), act.forget()),
    { 'next-exit': [125, LOST], removed: [125, LOST] },
  ],
  [
    'forgotten: it has gone, and that is all that is left',
    RUNNING,
    (act) => (act.die(8), act.gone(), act.forget()),
    { removed: [125, LOST] },
  ],
];
for (const [what, state, happens, expected] of CASES)
  for (const [condition, wanted] of Object.entries(expected) as [Condition, number | [number, string | RegExp]][])
    test(`${what}: ${condition}`, (t) => {
      const { act, log } = made(state);
      t.is(log.next(condition), undefined, 'what was before does not count');
      happens(act);
      const found = log.next(condition);
      const [code, error] = Array.isArray(wanted) ? wanted : [wanted, undefined];
      t.is(found?.code, code);
      if (error instanceof RegExp) t.regex(found?.error ?? '', error);
      else t.is(found?.error, error);
    });

test('what is read once is not read again, and the last code stays known', (t) => {
  const { act, log } = made(RUNNING);
  act.die(3);
  t.is(log.next('removed'), undefined);
  act.become({ status: 'exited', exitCode: 3, finishedAt: T(2) });
  t.is(log.next('removed'), undefined);
  t.is(log.next('next-exit'), undefined);
  act.gone();
  t.deepEqual(log.next('removed'), { code: 3 });
});

test('what rests is known at once', (t) => {
  t.deepEqual(made({ status: 'exited', exitCode: 4 }).log.resting, { code: 4 });
  t.deepEqual(made({ exitCode: 127, error: 'no such file' }).log.resting, { code: 127, error: 'no such file' });
  t.is(made(RUNNING).log.resting, undefined);
});

test('ends that Docker has no event of are not shown', (t) => {
  const { act, database } = made();
  act.failed(127, 'no such file');
  const { events, last } = eventsAfter(database, 0, 10);
  t.deepEqual(
    events.map(({ Action }) => Action),
    ['die'],
  );
  t.is(last, 2);
});
