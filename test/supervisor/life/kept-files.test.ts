/** How long a stopped container's files stay open, step by step; time is the test's own. */
import { mock } from 'node:test';
import test, { type ExecutionContext } from 'ava';
import { KeptFiles, KEEP_MACHINE as KEEP } from '../../../src/supervisor/life/kept-files.ts';

function kept(t: ExecutionContext, keep: number) {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let closed = 0;
  const files = new KeptFiles(() => closed++, { keep });
  return { files, closed: () => closed, pass: (ms: number) => mock.timers.tick(ms) };
}

test.serial('what is made at once is closed with its last user', (t) => {
  const { files, closed } = kept(t, 0);
  t.true(files.join());
  files.leave();
  t.is(closed(), 0);
  files.leave();
  t.is(closed(), 1);
  t.false(files.join());
});

test.serial('a machine is there for who comes next, and each is given the whole time', (t) => {
  const { files, closed, pass } = kept(t, KEEP);
  files.leave();
  for (let i = 0; i < 3; i++) {
    pass(KEEP - 1);
    t.is(closed(), 0);
    t.true(files.join());
    pass(10 * KEEP);
    t.is(closed(), 0, 'in use');
    files.leave();
  }
  pass(KEEP);
  t.is(closed(), 1);
  t.false(files.join());
});

test.serial('who wants the container does not wait for nobody', (t) => {
  const { files, closed, pass } = kept(t, KEEP);
  files.leave();
  files.release();
  files.release();
  t.is(closed(), 1);
  pass(2 * KEEP);
  t.is(closed(), 1);
});

test.serial('who wants the container waits for who uses its files, and nobody else comes before', (t) => {
  const { files, closed } = kept(t, KEEP);
  files.release();
  t.is(closed(), 0);
  t.false(files.join());
  files.leave();
  t.is(closed(), 1);
});
