/**
 * Who uses an image, asked while containers come and go: by `rmi` and the prunes, which must not take what somebody
 * needs.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { HuskError } from '../../src/errors.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';
import { createOptions, openTestEngine } from './fixture.ts';

const built = existsSync(join(ROOT, 'dist/husk-main.cjs')) ? test : test.skip;

/** pid of the supervisor above a container's first process */
function supervisorOf(pid: number): number {
  const name = (at: number) => readFileSync(`/proc/${at}/cmdline`, 'latin1');
  const parent = (at: number) => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${at}/status`, 'latin1'))![1]);
  let at = pid;
  while (!name(at).startsWith('husk-supervisor')) at = parent(at);
  return at;
}

/** One container, whose record still says that it runs. */
function leaveStale(user: TestUser): void {
  user.husk('run', '-d', '--name', 'stale', '--network', 'none', 'base', 'sleep', '1000');
  const pid = Number(user.husk('inspect', '-f', '{{.State.Pid}}', 'stale').stdout);
  const supervisor = supervisorOf(pid);
  process.kill(supervisor, 'SIGKILL');
  // its end is seen where its parent has taken note of it
  while (existsSync(`/proc/${supervisor}/exe`)) execFileSync('sleep', ['0.01']);
}

const ASKED: [command: string[], status: number, says: RegExp][] = [
  [['image', 'prune', '-af'], 0, /^$/],
  [['system', 'prune', '-af', '--filter', 'label=none'], 0, /^$/],
  [['rmi', 'base'], 1, /unable to remove repository reference "base" \(must force\) - container \w{12} is using/],
];
for (const [command, status, says] of ASKED)
  built(`${command.join(' ')} beside a container whose supervisor was killed`, (t) => {
    using user = ordinaryUser();
    const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
    t.is(user.run([HUSK, 'import', '-', 'base'], { input: tree }).status, 0);
    leaveStale(user);
    const result = user.husk(...command);
    t.regex(result.stderr, says);
    t.is(result.status, status);
    t.is(user.husk('ps', '-a', '--format', '{{.Image}} {{.State}}').stdout, 'base exited\n');
    t.is(user.husk('images', '-q').stdout.split('\n').length, 2);
  });

test('an image that is removed between its being found and the record: no container is made', async (t) => {
  const { engine } = await openTestEngine(t, undefined, {
    get: () => {
      throw new HuskError('No such image: test', { kind: 'not-found' });
    },
  });
  await t.throwsAsync(engine.create(createOptions()), { message: 'No such image: test' });
  t.deepEqual(engine.list({ all: true }), []);
});
