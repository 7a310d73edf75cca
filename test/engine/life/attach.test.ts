/** Clients of a container's streams: which they have, whose end stdin ends with, and what becomes of those that go. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Attachment, CreateOptions } from '../../../src/engine/contract.ts';
import { SupervisorClient } from '../../../src/supervisor/client.ts';
import { readAccess } from '../../../src/supervisor/protocol/access.ts';
import { createOptions, openTestEngine, readAll, type TestEngine } from '../fixture.ts';

const NONE = { stdin: false, stdout: false, stderr: false };
const ALL = { stdin: true, stdout: true, stderr: true };
const CAT = ['cat'];
/** bytes that a client holds at most that does not read: what streams buffer, and a read of the socket */
const HELD = 1 << 20;

async function make({ engine }: TestEngine, command: string[], options: Partial<CreateOptions> = {}): Promise<string> {
  return (await engine.create(createOptions({ command, interactive: true, ...options }))).id;
}

/** Both are read to the end. */
const silent = (attachment: Attachment): Attachment => {
  attachment.stdout.resume();
  attachment.stderr.resume();
  return attachment;
};

async function first(attachment: Attachment): Promise<string> {
  return String((await once(attachment.stdout, 'data'))[0]);
}

for (const [what, asked, stdout, stderr] of [
  ['all of it by default', { stdin: true }, 'out\n', 'err\n'],
  ['stdout', { stdin: true, stderr: false }, 'out\n', ''],
  ['stderr', { stdin: true, stdout: false }, '', 'err\n'],
  ['neither', { stdin: true, stdout: false, stderr: false }, '', ''],
] as const)
  test(`attach has the output that it asks for: ${what}`, async (t) => {
    const fixture = await openTestEngine(t);
    const id = await make(fixture, ['sh', '-c', 'read line; echo out; echo err >&2; exit 6']);
    await fixture.engine.start(id);
    const attachment = await fixture.engine.attach(id, asked);
    attachment.stdin!.write('go\n');
    t.deepEqual(await readAll(attachment), { code: 6, stdout, stderr });
  });

test('start with attach has everything from the first byte, and only what it asks for', async (t) => {
  const fixture = await openTestEngine(t);
  for (const [asked, stdout, stderr] of [
    [{ stdin: false, stdout: true, stderr: true }, 'out\n', 'err\n'],
    [{ stdin: false, stdout: true, stderr: false }, 'out\n', ''],
    [{ stdin: false, stdout: false, stderr: true }, '', 'err\n'],
  ] as const) {
    const id = await make(fixture, ['sh', '-c', 'echo out; echo err >&2; exit 2']);
    t.deepEqual(await readAll((await fixture.engine.start(id, { attach: asked }))!), { code: 2, stdout, stderr });
  }
});

const EXPLICIT = { attach: NONE };
const ENDS: [what: string, options: Partial<CreateOptions>, started: typeof NONE | undefined, once: boolean][] = [
  ['as `run -i`', {}, ALL, true],
  ['as `run -i`, started by somebody else', {}, undefined, true],
  ['as `run -d -i`', EXPLICIT, undefined, false],
  ['as `run -d -i`, started by a client that has stdin', EXPLICIT, ALL, false],
  ['asked for', { ...EXPLICIT, stdinOnce: true }, undefined, true],
  ['asked not to', { stdinOnce: false }, ALL, false],
];
for (const [what, options, started, isOnce] of ENDS)
  test(`stdinOnce is the container's own: ${what}: ${isOnce}`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine } = fixture;
    const id = await make(fixture, CAT, options);
    const config = ((await engine.inspect(id)) as { Config: { StdinOnce: boolean; OpenStdin: boolean } }).Config;
    t.deepEqual([config.OpenStdin, config.StdinOnce], [true, isOnce]);
    const starter = await engine.start(id, started && { attach: started });
    const client = silent(starter ?? (await engine.attach(id, { stdin: true })));
    await endsOrStays(t, fixture, { id, client, isOnce });
  });

/** A client ends its stdin: the container ends with it, or another one goes on. */
async function endsOrStays(
  t: ExecutionContext,
  { engine }: TestEngine,
  { id, client, isOnce }: { id: string; client: Attachment; isOnce: boolean },
): Promise<void> {
  client.stdin!.end('from the first\n');
  if (isOnce) {
    t.is((await client.exited).code, 0);
    return;
  }
  const next = await engine.attach(id, { stdin: true });
  const heard = first(next);
  next.stdin!.write('from the second\n');
  t.regex(await heard, /from the/);
  t.is(engine.get(id).state.status, 'running');
}

test('a container of an older husk, whose record says nothing of it', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, paths } = fixture;
  const id = await make(fixture, CAT, { stdinOnce: false, attach: NONE });
  const database = new DatabaseSync(paths.database);
  database.exec("UPDATE containers SET config = json_remove(config, '$.options.stdinOnce', '$.options.attach')");
  database.close();
  t.like((await engine.inspect(id)) as object, { Config: { AttachStdin: true, StdinOnce: true, OpenStdin: true } });
  const client = silent((await engine.start(id, { attach: ALL }))!);
  await endsOrStays(t, fixture, { id, client, isOnce: true });
});

test('the stdin of a terminal is not ended by a client: the next one types on', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await make(fixture, CAT, { tty: true, stdinOnce: true });
  const client = silent((await fixture.engine.start(id, { attach: ALL }))!);
  await endsOrStays(t, fixture, { id, client, isOnce: false });
});

test('a client that detaches leaves it running, with its stdin open; its streams end', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine } = fixture;
  const id = await make(fixture, CAT);
  for (let client = await engine.start(id, { attach: ALL }), round = 0; round < 3; round++) {
    const heard = first(client!);
    client!.stdin!.write(`round ${round}\n`);
    t.is(await heard, `round ${round}\n`);
    const ended = Promise.all([client!.stdout, client!.stderr].map((stream) => once(stream.resume(), 'end')));
    client!.detach();
    client!.detach();
    await ended;
    client = await engine.attach(id, { stdin: true });
    if (round < 2) continue;
    client.stdin!.end();
    t.is((await silent(client).exited).code, 0);
  }
});

for (const isOnce of [true, false])
  test(`a client that is killed ends stdin as its own end would: ${isOnce}`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine, paths } = fixture;
    const id = await make(fixture, CAT, { stdinOnce: isOnce, attach: NONE });
    await engine.start(id);
    const killed = (await SupervisorClient.connect(readAccess(paths, id)))!;
    await killed.open({ type: 'attach', ...ALL }, { stdin: true });
    const other = await engine.attach(id, { stdin: true });
    killed[Symbol.dispose]();
    if (isOnce) t.is((await silent(other).exited).code, 0);
    else await endsOrStays(t, fixture, { id, client: other, isOnce });
  });

test('a client that goes while it does not read holds nothing up', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, dataRoot } = fixture;
  for (const way of ['detach', 'destroy'] as const) {
    const done = join(dataRoot, way);
    const id = await make(fixture, ['sh', '-c', `head -c 64M /dev/zero; echo >&2; touch ${done}`], { name: way });
    const client = (await engine.start(id, { attach: { ...ALL, stdin: false } }))!;
    await once(client.stdout, 'readable');
    t.false(existsSync(done), 'it waits for its reader');
    if (way === 'detach') client.detach();
    else for (const stream of [client.stdout, client.stderr]) stream.destroy();
    t.deepEqual(await engine.wait(id), { code: 0 });
    t.true(existsSync(done));
  }
});

test('what nobody reads holds the container up, and is not kept', async (t) => {
  const fixture = await openTestEngine(t);
  const { engine, dataRoot } = fixture;
  const done = join(dataRoot, 'done');
  const bytes = 64 << 20;
  const id = await make(fixture, ['sh', '-c', `head -c ${bytes} /dev/zero; touch ${done}`], { logDriver: 'none' });
  const client = (await engine.start(id, { attach: { ...ALL, stdin: false } }))!;
  await once(client.stdout, 'readable');
  // time enough for all of it, where nothing holds it up
  await sleep(1000);
  t.false(existsSync(done));
  t.true(client.stdout.readableLength < HELD, `${client.stdout.readableLength} bytes`);
  let read = 0;
  client.stderr.resume();
  client.stdout.on('data', (chunk: Buffer) => (read += chunk.length));
  const [{ code }] = await Promise.all([client.exited, once(client.stdout, 'end')]);
  t.deepEqual([code, read], [0, bytes]);
});

for (const [how, command] of [
  ['stop', ['sh', '-c', 'trap "kill \\$!; exit 7" TERM; yes & wait']],
  ['remove', ['yes']],
  ['its own end', ['sh', '-c', 'head -c 1050000 /dev/zero; exit 7']],
] as const)
  test(`whoever started it and does not read does not hold up its end: ${how}`, async (t) => {
    const fixture = await openTestEngine(t);
    const { engine } = fixture;
    const id = await make(fixture, [...command], { logDriver: 'none' });
    const client = (await engine.start(id, { attach: { ...ALL, stdin: false } }))!;
    await once(client.stdout, 'readable');
    const waiting = engine.wait(id);
    if (how === 'stop') await engine.stop(id, { timeout: -1 });
    else if (how === 'remove') await engine.remove(id, { force: true });
    const code = how === 'remove' ? 137 : 7;
    t.deepEqual(await waiting, { code });
    // and still it reads all that there was
    const { stdout, ...exit } = await readAll(client);
    t.like(exit, { code });
    if (how === 'its own end') t.is(stdout.length, 1_050_000);
  });

test('what outlives the container and writes on and on does not keep it', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await make(fixture, ['sh', '-c', 'yes & exit 7'], { logDriver: 'none' });
  await fixture.engine.start(id);
  t.deepEqual(await fixture.engine.wait(id), { code: 7 });
});

test('stdin that the container does not read is held back, and a detach is not held up by it', async (t) => {
  const fixture = await openTestEngine(t);
  const id = await make(fixture, ['sleep', '1000']);
  const client = silent((await fixture.engine.start(id, { attach: ALL }))!);
  const block = Buffer.alloc(1 << 20);
  let written = 0;
  while (written < 64 && client.stdin!.write(block)) written++;
  t.true(client.stdin!.writableNeedDrain);
  t.true(written < 8, `${written} MiB went on their way`);
  const ended = once(client.stdout, 'end');
  client.detach();
  await ended;
  t.is(fixture.engine.get(id).state.status, 'running');
});
