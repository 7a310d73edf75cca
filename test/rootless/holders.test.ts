/** The file of who holds the user's namespace; what is found by it is in users-namespace.test.ts. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { open } from '../../src/host/fd.ts';
import { namespaceName } from '../../src/host/kernel/namespace.ts';
import { findHeld, lockHolders, recordHolder } from '../../src/rootless/holders.ts';

const maps = { uid: [{ containerID: 1, hostID: 1000, size: 1 }], gid: [], direct: false };
const limits = { 'Max processes': Infinity };

function folder(t: { teardown(undo: () => void): void }): string {
  const made = mkdtempSync(join(tmpdir(), 'husk-holders-'));
  t.teardown(() => rmSync(made, { recursive: true }));
  return join(made, 'file');
}

const lines = (file: string) =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { pid: number; fd: number; limits: object });

test('those who are gone are taken away, some at each visit; those who live stay, all of them', async (t) => {
  const file = folder(t);
  using lock = await lockHolders(file);
  const record = (fd: number) => recordHolder(lock, { pid: process.pid, fd, name: 'user:[1]', maps, limits });
  for (let fd = 0; fd < 20; fd++) record(fd);
  t.deepEqual(
    lines(file)
      .map(({ fd }) => fd)
      .sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, fd) => fd),
  );
  // nobody has a pid of 2^22 or more (proc(5), pid_max), and a start time of 0 is another boot's
  const [holder] = lines(file);
  const gone = { ...holder, pid: 2 ** 22 + 1 };
  const reused = { ...holder, startTime: '0' };
  writeFileSync(file, [gone, reused, ...lines(file), gone, reused].map((one) => `${JSON.stringify(one)}\n`).join(''));
  for (let fd = 20; fd < 24; fd++) record(fd);
  t.deepEqual(
    lines(file)
      .map(({ fd }) => fd)
      .sort((a, b) => a - b),
    Array.from({ length: 24 }, (_, fd) => fd),
  );
});

test('a limit without end survives the file, and what is no namespace of this user is not found', async (t) => {
  using lock = await lockHolders(folder(t));
  using own = open('/proc/self/ns/user', 0);
  recordHolder(lock, { pid: process.pid, fd: own.number, name: namespaceName(own.number), maps, limits });
  t.deepEqual(lines(`/proc/self/fd/${lock.number}`)[0]!.limits, { 'Max processes': null });
  t.is(findHeld(lock, { maps, atLeast: { 'Max processes': Infinity } }), undefined);
});

test('who wants the lock waits for whoever has it', async (t) => {
  const file = folder(t);
  const first = await lockHolders(file);
  let has = false;
  const second = lockHolders(file).then((lock) => ((has = true), lock));
  await new Promise((turn) => setImmediate(turn));
  t.false(has);
  first.close();
  (await second).close();
  t.true(has);
});
