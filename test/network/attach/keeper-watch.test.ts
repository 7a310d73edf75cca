/** A keeper's death is told once, at once, and to nobody who has stopped listening. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { watchKeeper } from '../../../src/network/attach/keeper-watch.ts';
import { identify } from '../../../src/state/process-identity.ts';

function keeper() {
  const child = spawn('sleep', ['1000']);
  return { identity: identify(child.pid!)!, kill: () => (child.kill('SIGKILL'), once(child, 'exit')) };
}

const turn = () => new Promise((done) => setImmediate(done));

test('of one that dies, and of one that was dead before', async (t) => {
  const { identity, kill } = keeper();
  let told = 0;
  const first = new Promise<void>((ended) => watchKeeper(identity, () => (told++, ended())));
  await turn();
  t.is(told, 0);
  await kill();
  await first;
  await new Promise<void>((ended) => watchKeeper(identity, ended));
  await turn();
  t.is(told, 1);
});

test('of another process that has got its number: it is dead as well', async (t) => {
  const { identity, kill } = keeper();
  await new Promise<void>((ended) => watchKeeper({ ...identity, startTime: '1' }, ended));
  await kill();
  t.pass();
});

test('nothing after stopping, however often', async (t) => {
  const { identity, kill } = keeper();
  let told = 0;
  const stop = watchKeeper(identity, () => told++);
  stop();
  stop();
  const other = new Promise<void>((ended) => watchKeeper(identity, ended));
  await kill();
  await other;
  await turn();
  t.is(told, 0);
});
