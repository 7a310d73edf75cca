/**
 * What the tests of execs share: containers in which nothing happens, their execs, and other processes that use them.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine, ExecOptions, ExecRecord } from '../../../src/engine/contract.ts';
import { createOptions, type TestEngine } from '../fixture.ts';

export const OPTIONS = { interactive: false, tty: false, detach: false, env: [], privileged: false };

export async function background(
  { engine }: TestEngine,
  more: Parameters<typeof createOptions>[0] = {},
): Promise<string> {
  const { id } = await engine.create(createOptions({ command: ['sleep', '1000'], ...more }));
  await engine.start(id);
  return id;
}

export const make = ({ engine }: TestEngine, container: string, command: string[], more: Partial<ExecOptions> = {}) =>
  engine.execCreate(container, { ...OPTIONS, command, ...more });

export function execEvents({ paths }: TestEngine): string[] {
  using database = new DatabaseSync(paths.database, { readOnly: true }) as DatabaseSync & Disposable;
  return database
    .prepare('SELECT record FROM events ORDER BY sequence')
    .all()
    .map(
      (row) => JSON.parse(String(row['record'])) as { Action: string; Actor: { Attributes: Record<string, string> } },
    )
    .filter(({ Action }) => /^(exec_|die)/.test(Action))
    .map(({ Action, Actor: { Attributes } }) => [Action, Attributes['exitCode']].filter(Boolean).join(' '));
}

export async function execIds(engine: Engine, container: string): Promise<string[] | null> {
  return ((await engine.inspect(container)) as { ExecIDs: string[] | null }).ExecIDs;
}

export async function ended(engine: Engine, id: string): Promise<ExecRecord> {
  for (;;) {
    const record = engine.execInspect(id);
    if (record.exitCode !== null) return record;
    await sleep(10);
  }
}

/** Another process on the same data root. */
export function another({ dataRoot }: TestEngine, what: string, id: string): Another {
  const child = spawn(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    join(import.meta.dirname, 'exec-client.ts'),
    dataRoot,
    what,
    id,
  ]);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => String((await lines.next()).value);
  return { child, line, answer: async () => JSON.parse(await line()) as Answer };
}

type Answer = { value?: unknown; kind?: string; message?: string };

interface Another {
  child: ChildProcessWithoutNullStreams;
  line(): Promise<string>;
  answer(): Promise<Answer>;
}
