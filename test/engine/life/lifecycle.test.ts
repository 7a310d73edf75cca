/** Containers from create to removal, over the fake sandbox. */
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { keepContainerCopy, makeContainerFolder } from '../../../src/engine/record/record-copies.ts';
import { ContainerStore } from '../../../src/state/containers.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { createOptions, openTestEngine, readAll, type TestEngine } from '../fixture.ts';

const BOTH = { stdin: false, stdout: true, stderr: true };
const FOREVER = ['sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done'];

async function background(test: TestEngine, command: string[] = FOREVER, options = {}): Promise<string> {
  const { id } = await test.engine.create(createOptions({ command, ...options }));
  await test.engine.start(id);
  return id;
}

/** its trap is set: a signal before that would be the default one */
async function ready({ engine }: TestEngine, id: string): Promise<void> {
  for await (const { text } of engine.logs(id, { follow: true })) if (text === 'ready\n') return;
}

test('a container runs, keeps its streams apart and gives its exit code', async (t) => {
  const { run, engine } = await openTestEngine(t);
  const result = await run(['sh', '-c', 'echo out; echo err >&2; exit 3']);
  t.deepEqual({ ...result, id: '' }, { id: '', code: 3, stdout: 'out\n', stderr: 'err\n' });
  const { state } = engine.get(result.id);
  t.is(state.status, 'exited');
  t.is(state.exitCode, 3);
  t.is(state.pid, 0);
  t.regex(state.startedAt, /^20\d\d-.*Z$/);
  t.true(state.finishedAt > state.startedAt);
});

test('stdin reaches the container, and its end too', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ command: ['wc', '-c'], interactive: true }));
  const attachment = (await engine.start(id, { attach: { ...BOTH, stdin: true } }))!;
  for (let part = 0; part < 20; part++) attachment.stdin!.write(Buffer.alloc(100_000));
  attachment.stdin!.end();
  t.is((await readAll(attachment)).stdout.trim(), '2000000');
});

test('without -i stdin is at its end', async (t) => {
  const { run } = await openTestEngine(t);
  t.is((await run(['sh', '-c', 'cat; echo end'])).stdout, 'end\n');
});

test('much output arrives whole and in order', async (t) => {
  const { run } = await openTestEngine(t);
  const { stdout } = await run(['sh', '-c', 'seq 1 300000']);
  t.is(stdout.length, 1_988_895);
  t.true(stdout.endsWith('299999\n300000\n'));
});

test("the environment is the image's and what was asked for", async (t) => {
  const { run } = await openTestEngine(t);
  const lines = (await run(['env'], { env: ['MINE=2'] })).stdout.split('\n');
  for (const expected of ['MINE=2', 'FROM_IMAGE=1', 'PATH=/usr/bin:/bin']) t.true(lines.includes(expected), expected);
});

test('a command that is not there: 127, and the record says why', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ command: ['no-such-command'] }));
  const error = await t.throwsAsync<HuskError>(engine.start(id), { instanceOf: HuskError });
  t.is(error!.exitCode, 127);
  const { state } = engine.get(id);
  t.is(state.status, 'created');
  t.is(state.exitCode, 127);
  t.regex(state.error, /not found/);
  t.is(state.claim, undefined);
});

test('--rm takes the container away before its exit is known, also when it cannot start', async (t) => {
  const { engine, run, paths } = await openTestEngine(t);
  const { id } = await run(['true'], { autoRemove: true });
  t.throws(() => engine.get(id), { message: `No such container: ${id}` });
  await t.throwsAsync(run(['no-such-command'], { autoRemove: true }));
  t.deepEqual(engine.list({ all: true }), []);
  t.deepEqual(readdirSync(paths.containers), []);
});

test('stop: the stop signal, then the exit code', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await background(fixture);
  await ready(fixture, id);
  await fixture.engine.stop(id);
  t.is(fixture.engine.get(id).state.exitCode, 7);
  await fixture.engine.stop(id);
});

test('stop: SIGKILL after the grace', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await background(fixture, ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.05; done']);
  await ready(fixture, id);
  await fixture.engine.stop(id, { timeout: 0 });
  t.is(fixture.engine.get(id).state.exitCode, 137);
});

test("kill with a signal of one's own; a stopped container cannot be killed", async (t) => {
  const fixture = await openTestEngine(t);
  const id = await background(fixture);
  await fixture.engine.kill(id, 'KILL');
  t.is((await fixture.engine.wait(id)).code, 137);
  await t.throwsAsync(fixture.engine.kill(id, 'KILL'), {
    message: new RegExp(`cannot kill container: .*: container ${id} is not running`),
  });
  await t.throwsAsync(fixture.engine.kill(id, 'NOPE'), { message: /[Ii]nvalid signal: NOPE/ });
});

test('wait gives the exit code, to several at once', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await background(fixture, ['sh', '-c', 'sleep 0.2; exit 4']);
  t.deepEqual(await Promise.all([1, 2, 3].map(() => fixture.engine.wait(id).then(({ code }) => code))), [4, 4, 4]);
  t.is((await fixture.engine.wait(id)).code, 4);
});

test('a second client attaches, both see the output; a detached one leaves it running', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(createOptions({ command: ['cat'], interactive: true }));
  const first = (await fixture.engine.start(id, { attach: { ...BOTH, stdin: true } }))!;
  const second = await fixture.engine.attach(id, { stdin: true });
  const third = await fixture.engine.attach(id, { stdin: false });
  third.detach();
  const outputs = [readAll(first), readAll(second)];
  // two connections: that what one sent came first is not known before it is seen
  const seen = once(first.stdout, 'data');
  second.stdin!.write('from the second\n');
  await seen;
  first.stdin!.end('from the first\n');
  for (const { code, stdout } of await Promise.all(outputs)) {
    t.is(code, 0);
    t.deepEqual(stdout.trim().split('\n').sort(), ['from the first', 'from the second']);
  }
});

test("attach to what does not run is refused in Docker's words", async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions());
  await t.throwsAsync(engine.attach(id, { stdin: false }), {
    message: 'You cannot attach to a stopped container, start it first',
  });
});

test('exec: streams, exit code, detached, not found', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const id = await background(fixture);
  const options = { interactive: false, tty: false, detach: false, env: [], privileged: false };
  t.deepEqual(
    await readAll((await engine.exec(id, { ...options, command: ['sh', '-c', 'echo o; echo e >&2; exit 5'] }))!),
    { code: 5, stdout: 'o\n', stderr: 'e\n' },
  );
  const cat = (await engine.exec(id, { ...options, interactive: true, command: ['cat'] }))!;
  cat.stdin!.end('through');
  t.is((await readAll(cat)).stdout, 'through');
  t.is(await engine.exec(id, { ...options, detach: true, command: ['true'] }), undefined);
  const error = await t.throwsAsync<HuskError>(engine.exec(id, { ...options, command: ['no-such-command'] }));
  t.is(error!.exitCode, 127);
  await engine.kill(id, 'KILL');
  await engine.wait(id);
  await t.throwsAsync(engine.exec(id, { ...options, command: ['true'] }), {
    message: `container ${id} is not running`,
  });
});

test("remove: running ones only by force, in Docker's words", async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, paths } = fixture;
  const id = await background(fixture, FOREVER, { name: 'busy' });
  await t.throwsAsync(engine.remove('busy'), {
    message:
      'cannot remove container "/busy": container is running: stop the container before removing or force remove',
  });
  await engine.remove('busy', { force: true });
  t.throws(() => engine.get(id));
  t.false(existsSync(paths.container(id)));
});

test('remove waits for a start that is under way', async (t) => {
  const { engine, paths } = await openTestEngine(t);
  const { id } = await engine.create(createOptions());
  using database = openDatabase(paths.database) as ReturnType<typeof openDatabase> & Disposable;
  const store = new ContainerStore(database);
  const claimed = store.change(id, (state) => ({ ...state, claim: { by: identifySelf(), operation: 'start' } }))!;
  const removed = engine.remove(id, { force: true });
  t.is(await Promise.race([removed, new Promise((after) => setTimeout(after, 100, 'waits'))]), 'waits');
  store.change(id, () => ({ ...claimed.state, claim: undefined }));
  await removed;
  t.deepEqual(engine.list({ all: true }), []);
  const again = await background({ engine } as TestEngine, FOREVER);
  await Promise.all([engine.restart(again, { timeout: 0 }).catch(() => {}), engine.remove(again, { force: true })]);
});

test('what is made in a folder that a removal has looked for already goes again', async (t) => {
  const { engine, paths } = await openTestEngine(t);
  const { id } = await engine.create(createOptions());
  using database = openDatabase(paths.database) as ReturnType<typeof openDatabase> & Disposable;
  const store = new ContainerStore(database) as unknown as Parameters<typeof keepContainerCopy>[0]['store'];
  store.change(id, (state) => ({ ...state, status: 'removing', claim: { by: identifySelf(), operation: 'remove' } }));
  rmSync(paths.container(id), { recursive: true });
  t.false(makeContainerFolder({ paths, store }, id));
  t.deepEqual(readdirSync(paths.containers), []);
  keepContainerCopy({ paths, store }, id);
  t.deepEqual(readdirSync(paths.containers), []);
  store.change(id, (state) => ({ ...state, status: 'created', claim: undefined }));
  await engine.start(id);
  t.true(existsSync(paths.container(id)), 'a creator that was killed had not made it');
});

test('what killed processes were deleting goes with the next removal, what is being deleted stays', async (t) => {
  const { engine, paths } = await openTestEngine(t);
  const { id } = await engine.create(createOptions());
  const self = identifySelf();
  const living = `volume-${self.pid}-${self.startTime}-abcdef`;
  for (const name of [
    living,
    `volume-${self.pid}-1-abcdef`,
    `copy-up-${self.pid}-1-abcdef`,
    `removed-${'ab'.repeat(32)}-${self.pid}-1`,
  ])
    mkdirSync(join(paths.tmp, name), { recursive: true });
  await engine.remove(id);
  t.deepEqual(readdirSync(paths.tmp), [living]);
});

test('names: conflict, rename, prefix, invalid', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ name: 'one' }));
  const conflict = `Conflict. The container name "/one" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`;
  await t.throwsAsync(engine.create(createOptions({ name: 'one' })), { message: conflict });
  engine.rename('one', 'two');
  t.is(engine.get('two').id, id);
  t.is(engine.get(id.slice(0, 5)).id, id);
  t.is(engine.get('/two').id, id);
  await t.throwsAsync(engine.create(createOptions({ name: '-x' })), {
    message: 'Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed',
  });
  t.regex(engine.get((await engine.create(createOptions())).id).name, /^[a-z]+_[a-z]+\d*$/);
});

test('images: absent ones are pulled unless told never', async (t) => {
  const { engine } = await openTestEngine(t);
  const messages: string[] = [];
  await t.throwsAsync(engine.create(createOptions({ image: 'absent' }), { onMessage: (line) => messages.push(line) }), {
    message: /pull access denied/,
  });
  t.deepEqual(messages, ["Unable to find image 'absent:latest' locally"]);
  await t.throwsAsync(engine.create(createOptions({ image: 'absent', pull: 'never' })), {
    message: 'No such image: absent:latest',
  });
});

test('start on a running container does nothing; several at once start it once', async (t) => {
  const fixture = await openTestEngine(t);
  const { id } = await fixture.engine.create(createOptions({ command: FOREVER }));
  await Promise.all([1, 2, 3].map(() => fixture.engine.start(id)));
  const { pid } = fixture.engine.get(id).state;
  await fixture.engine.start(id);
  t.is(fixture.engine.get(id).state.pid, pid);
  t.deepEqual([...fixture.engine.get(id).config.args].length, 2);
});

test('a killed supervisor: whoever looks next sees the exit, and the socket goes', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, paths } = fixture;
  const id = await background(fixture);
  t.true(existsSync(paths.socket(id)));
  process.kill(engine.get(id).state.supervisor!.pid, 'SIGKILL');
  t.is((await engine.wait(id)).code, 137);
  t.like(engine.get(id).state, { status: 'exited', pid: 0 });
  t.false(existsSync(paths.socket(id)));
});

test('a stopped container starts again, and its log goes on', async (t) => {
  const { engine, run } = await openTestEngine(t);
  const { id } = await run(['echo', 'again']);
  await engine.start(id);
  await engine.wait(id);
  const lines: string[] = [];
  for await (const { text } of engine.logs(id)) lines.push(text);
  t.deepEqual(lines, ['again\n', 'again\n']);
});

test('pause, and what it forbids', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await background(fixture);
  await fixture.engine.pause(id);
  t.is(fixture.engine.get(id).state.status, 'paused');
  await t.throwsAsync(fixture.engine.pause(id), { message: `Container ${id} is already paused` });
  await t.throwsAsync(
    fixture.engine.exec(id, {
      command: ['true'],
      interactive: false,
      tty: false,
      detach: false,
      env: [],
      privileged: false,
    }),
    { message: /is paused, unpause the container before exec/ },
  );
  await fixture.engine.unpause(id);
  t.is(fixture.engine.get(id).state.status, 'running');
});

test('the memory of user namespaces is not swapped out, and the container runs on', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await background(fixture);
  await t.throwsAsync(fixture.engine.pause(id, { swapOut: true }), {
    name: 'HuskError',
    message: `container ${id} runs in user namespaces, whose memory the host swaps`,
  });
  t.is(fixture.engine.get(id).state.status, 'running');
});

test('restart policy on-failure: so often, then the last exit code', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(
    createOptions({ command: ['sh', '-c', 'echo try; exit 9'], restart: { name: 'on-failure', maximumRetryCount: 2 } }),
  );
  await engine.start(id);
  const lines: string[] = [];
  for await (const { text } of engine.logs(id, { follow: true })) lines.push(text);
  t.deepEqual(lines, ['try\n', 'try\n', 'try\n']);
  const { state } = engine.get(id);
  t.deepEqual([state.status, state.exitCode, state.restartCount], ['exited', 9, 2]);
});

test('a container that always restarts rests after stop', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(
    createOptions({ command: ['sh', '-c', 'sleep 0.05'], restart: { name: 'always', maximumRetryCount: 0 } }),
  );
  await engine.start(id);
  while (engine.get(id).state.restartCount < 1) await new Promise((after) => setTimeout(after, 20));
  await engine.stop(id);
  t.is(engine.get(id).state.status, 'exited');
  await new Promise((after) => setTimeout(after, 300));
  t.is(engine.get(id).state.status, 'exited');
});

test('list filters by state, name, label and exit code', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, run } = fixture;
  await run(['false'], { name: 'failed', labels: { tier: 'a' } });
  await run(['true'], { name: 'fine', labels: { tier: 'b' } });
  await background(fixture, FOREVER, { name: 'busy' });
  const names = (filters: Record<string, string[]>, all = true) =>
    engine
      .list({ all, filters })
      .map(({ name }) => name)
      .sort();
  t.deepEqual(names({}, false), ['busy']);
  t.deepEqual(names({ status: ['exited'] }, false), ['failed', 'fine']);
  t.deepEqual(names({ exited: ['1'] }), ['failed']);
  t.deepEqual(names({ label: ['tier=b'] }), ['fine']);
  t.deepEqual(names({ name: ['^f'] }), ['failed', 'fine']);
  t.deepEqual(names({ label: ['from=image', 'tier'] }), ['failed', 'fine']);
  t.deepEqual(names({ ancestor: ['test'] }), ['busy', 'failed', 'fine']);
  t.throws(() => engine.list({ filters: { nonsense: ['1'] } }), { message: "invalid filter 'nonsense'" });
  t.throws(() => engine.list({ filters: { status: ['nonsense'] } }), { message: "invalid filter 'status=nonsense'" });
});

test("top lists the container's processes", async (t) => {
  const fixture = await openTestEngine(t);
  const id = await background(fixture, ['sleep', '100']);
  const { titles, processes } = await fixture.engine.top(id, ['-o', 'pid,args']);
  t.deepEqual(titles, ['PID', 'COMMAND']);
  t.deepEqual(
    processes.map(([, command]) => command),
    ['/usr/bin/sleep 100'],
  );
  await t.throwsAsync(fixture.engine.top(id, ['-o', 'args']), { message: "Couldn't find PID field in ps output" });
});

test('prune takes the stopped ones', async (t) => {
  const fixture = await openTestEngine(t);
  await fixture.run(['true'], { name: 'old' });
  const busy = await background(fixture);
  const { deleted } = await fixture.engine.prune();
  t.is(deleted.length, 1);
  t.deepEqual(
    fixture.engine.list({ all: true }).map(({ id }) => id),
    [busy],
  );
});

test("inspect has Docker's shape", async (t) => {
  const { engine, run } = await openTestEngine(t);
  const { id } = await run(['sh', '-c', 'exit 2'], { name: 'shaped', env: ['A=1'] });
  const shown = (await engine.inspect(id)) as {
    Name: string;
    Path: string;
    Args: string[];
    State: object;
    Config: { Env: string[] };
    HostConfig: { NetworkMode: string };
    Isolation: string;
  };
  t.is(shown.Name, '/shaped');
  t.is(shown.Path, 'sh');
  t.deepEqual(shown.Args, ['-c', 'exit 2']);
  t.like(shown.State, { Status: 'exited', Running: false, ExitCode: 2, Pid: 0, OOMKilled: false });
  t.deepEqual(shown.Config.Env, ['A=1', 'PATH=/usr/bin:/bin', 'FROM_IMAGE=1']);
  t.is(shown.HostConfig.NetworkMode, 'none');
  t.is(shown.Isolation, 'userns');
  t.like(engine.inspectImage('test'), { Id: `sha256:${'ab'.repeat(32)}`, Os: 'linux', RepoTags: ['test:latest'] });
});
