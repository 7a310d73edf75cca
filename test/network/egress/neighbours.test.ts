/** Neighbours that rules name: let through as they come, and no longer than they are there. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { groupRules } from '../../../src/network/egress/grouping.ts';
import { Neighbours } from '../../../src/network/egress/neighbours.ts';
import { parseEgress } from '../../../src/notation/egress.ts';
import { formatIp } from '../../../src/notation/ip.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

function neighboursOf(rules: string[]) {
  const database = join(temporaryFolder('husk-neighbours-'), 'husk.db');
  writeFileSync(`${database}-wal`, '');
  const known = new Map<string, string[]>();
  const changes: string[] = [];
  const waiting: (() => void)[] = [];
  const problems: unknown[] = [];
  const neighbours = new Neighbours({
    groups: groupRules(parseEgress(rules), []).groups,
    find: (network, name) => known.get(`${network}/${name}`) ?? [],
    apply: (network, found) => {
      changes.push(...found.map(({ what, group, address }) => `${what} ${network} ${group} ${formatIp(address)}`));
      waiting.splice(0).forEach((heard) => heard());
    },
    database,
    problem: (error) => problems.push(error),
  });
  return {
    neighbours,
    known,
    changes,
    problems,
    /** another process changes the records */
    write: () => appendFileSync(`${database}-wal`, 'x'),
    changed: () => {
      // the watch is no reason for a process to live
      const living = setInterval(() => {}, 1000);
      return new Promise<void>((heard) => waiting.push(heard)).finally(() => clearInterval(living));
    },
  };
}

test('who is there is let through, who comes is, and who goes is not any more', async (t) => {
  const { neighbours, known, changes, write, changed } = neighboursOf(['db:80', 'db:81', 'a.lan:80', '10.0.0.0/8']);
  t.teardown(() => neighbours.close());
  known.set('one/db', ['10.0.0.2', 'fd00::2']);
  neighbours.add('one');
  t.deepEqual(changes.splice(0), [
    'add one 0 10.0.0.2',
    'add one 0 fd00::2',
    'add one 1 10.0.0.2',
    'add one 1 fd00::2',
  ]);
  t.true(neighbours.has('10.0.0.2'));
  known.set('one/a.lan', ['10.0.0.3']).set('one/db', ['10.0.0.2']);
  const came = changed();
  write();
  await came;
  t.deepEqual(changes.splice(0), ['remove one 0 fd00::2', 'remove one 1 fd00::2', 'add one 0 10.0.0.3']);
  t.false(neighbours.has('fd00::2'));
  // of another network the same address is another container
  neighbours.add('two');
  t.deepEqual(changes, []);
  neighbours.forget('one');
  t.false(neighbours.has('10.0.0.2'));
});

test('before a name is answered it is looked again, and a failure lets nobody through', (t) => {
  const { neighbours, known, changes } = neighboursOf(['db']);
  t.teardown(() => neighbours.close());
  neighbours.add('one');
  known.set('one/db', ['10.0.0.2']);
  neighbours.update();
  t.deepEqual(changes, ['add one 0 10.0.0.2']);
  known.set('one/db', ['no address']);
  neighbours.update();
  t.deepEqual(changes.slice(1), ['remove one 0 10.0.0.2']);
});

test('a name with thousands of addresses lets 1024 of them through', (t) => {
  const { neighbours, known, changes } = neighboursOf(['db']);
  t.teardown(() => neighbours.close());
  known.set(
    'one/db',
    Array.from({ length: 3000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`),
  );
  neighbours.add('one');
  t.is(changes.length, 1024);
});

test('rules that name no container watch nothing', (t) => {
  const { neighbours, known, changes } = neighboursOf(['*.com', '10.0.0.0/8', 'public']);
  t.false(neighbours.isNeeded);
  known.set('one/db', ['10.0.0.2']);
  neighbours.add('one');
  neighbours.update();
  t.deepEqual(changes, []);
});
