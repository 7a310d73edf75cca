/** The refusals of a container in its folder: written, read as they come, and never more than two files. */
import { appendFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { RefusalLog, RefusalReader, type Refusal } from '../../../src/network/egress/refusals.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const refusal = (port: number): Refusal => ({
  time: 1000 + port,
  network: 'lan',
  protocol: 'tcp',
  destination: '10.0.0.1',
  port,
  reason: 'no rule allows it',
});
const ports = (found: readonly Refusal[]) => found.map(({ port }) => port);

test('read as they are written, by several readers and from a new supervisor on', (t) => {
  const folder = temporaryFolder('husk-refusals-');
  const reader = new RefusalReader(folder);
  t.deepEqual(reader.next(), []);
  new RefusalLog(folder).write(refusal(1));
  t.deepEqual(reader.next(), [refusal(1)]);
  const log = new RefusalLog(folder);
  log.write(refusal(2));
  log.write({ time: 5, protocol: 'dns', destination: 'a.com', reason: 'no rule names it' });
  t.deepEqual(ports(reader.next()), [2, undefined]);
  t.deepEqual(reader.next(), []);
  t.is(new RefusalReader(folder).next().length, 3);
  t.is(statSync(join(folder, 'refused.log')).mode & 0o777, 0o600);
});

test('a line that is not whole yet waits, one that is none is passed over', (t) => {
  const folder = temporaryFolder('husk-refusals-');
  const file = join(folder, 'refused.log');
  const reader = new RefusalReader(folder);
  const whole = JSON.stringify(refusal(1));
  writeFileSync(file, whole.slice(0, 20));
  t.deepEqual(reader.next(), []);
  appendFileSync(file, `${whole.slice(20)}\n{"time":"x"}\n\0\n[]\nnull\n{}\n${JSON.stringify(refusal(2))}\n`);
  t.deepEqual(ports(reader.next()), [1, 2]);
});

test('however many there are, two files of 256 KiB hold them, and a reader who follows misses none', (t) => {
  const folder = temporaryFolder('husk-refusals-');
  const log = new RefusalLog(folder);
  const reader = new RefusalReader(folder);
  const seen: (number | undefined)[] = [];
  for (let port = 0; port < 12_000; port++) {
    log.write(refusal(port));
    if (port % 500 === 0) seen.push(...ports(reader.next()));
  }
  seen.push(...ports(reader.next()));
  t.deepEqual(
    seen,
    Array.from({ length: 12_000 }, (_, port) => port),
  );
  t.deepEqual(readdirSync(folder).sort(), ['refused.log', 'refused.log.1']);
  for (const file of readdirSync(folder)) t.true(statSync(join(folder, file)).size <= 256 << 10);
  const late = ports(new RefusalReader(folder).next());
  t.is(late.at(-1), 11_999);
  t.true(late.length > 2000 && late.length < 12_000);
  log.write({ ...refusal(1), destination: 'x'.repeat(5000) });
  t.deepEqual(reader.next(), []);
});
