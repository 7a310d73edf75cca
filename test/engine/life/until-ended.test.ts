/** Waiting for the end of a process that a record names. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { untilEnded } from '../../../src/engine/life/until-ended.ts';
import { identify, isAlive } from '../../../src/state/process-identity.ts';

/** ms for what happens at once */
const PATIENCE = 60_000;

test('it waits until the process has ended, and no longer', async (t) => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const identity = identify(child.pid!)!;
  const waited = untilEnded(identity, PATIENCE);
  t.true(isAlive(identity));
  child.kill('SIGKILL');
  await waited;
  t.false(isAlive(identity));
  // one that is gone, and none at all
  await untilEnded(identity, PATIENCE);
  await untilEnded(undefined, PATIENCE);
});

test('it does not wait for a process that has the number of another, nor for ever', async (t) => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.teardown(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  const identity = identify(child.pid!)!;
  await untilEnded({ ...identity, startTime: identity.startTime + 1 }, PATIENCE);
  await untilEnded(identity, 1);
  t.true(isAlive(identity));
});
