/** A process gives memory back when its work is over. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { IdleMemory } from '../../../src/host/memory/idle-memory.ts';

/** kB of resident file pages */
const resident = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]);

test('text pages go once the delay is over', async (t) => {
  const memory = new IdleMemory([1]);
  const before = resident();
  memory.settled();
  while (resident() > before - 4096) await sleep(10);
  t.pass();
});
