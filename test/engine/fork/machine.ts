/** Containers of the fake sandbox whose records say that they are in machines. */
import { DatabaseSync } from 'node:sqlite';
import type { ExecutionContext } from 'ava';
import type { CreateOptions } from '../../../src/engine/contract.ts';
import { createOptions, openTestEngine, type TestEngine } from '../fixture.ts';

/** A container that runs, and whose record says that it is in a machine. */
export async function running(
  t: ExecutionContext,
  options: Partial<CreateOptions> = {},
): Promise<TestEngine & { id: string }> {
  const opened = await openTestEngine(t);
  const { id } = await opened.engine.create(createOptions({ command: ['sleep', '600'], name: 'one', ...options }));
  inMachine(opened, id);
  await opened.engine.start(id);
  return { ...opened, id };
}

export function inMachine({ paths }: TestEngine, id: string): void {
  const database = new DatabaseSync(paths.database);
  database.prepare("UPDATE containers SET config = json_set(config, '$.isolation', 'vm') WHERE id = ?").run(id);
  database.close();
}
