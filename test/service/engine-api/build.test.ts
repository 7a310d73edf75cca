/** `/build`, `/build/cancel` and `/build/prune` over HTTP, with an engine that does what each test says. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { BuildHooks, BuildOptions, BuildResult } from '../../../src/engine/build-contract.ts';
import { BuildFailed, CommandFailed } from '../../../src/engine/build/failure.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import type { CachePruneOptions, CacheRow } from '../../../src/images/store/contract.ts';
import { buildRoutes } from '../../../src/service/engine-api/build.ts';
import { ask, startServer } from '../fixture.ts';

const ID = `sha256:${'ab'.repeat(32)}`;
const MADE: BuildResult = { id: ID, manifest: undefined, names: [], warnings: [] };
const OUTLINE = { instructions: [{ stage: 0, line: 1, text: 'FROM scratch' }] };
const PLANNED = { ...OUTLINE, planned: { stages: new Set([0]), steps: new Set<number>(), images: new Map() } };

const building = (build: (options: BuildOptions, hooks: BuildHooks) => Promise<BuildResult>) =>
  startServer({ build, images: { find: () => undefined } } as unknown as Partial<Engine>, buildRoutes);

test('a tar is built, whatever its type is called', async (t) => {
  let read = '';
  await using server = await building(async ({ context }, hooks) => {
    if (context.kind === 'tar') for await (const chunk of context.input) read += String(chunk);
    hooks.onOutline?.(OUTLINE);
    hooks.onOutline?.(PLANNED);
    return MADE;
  });
  const { status, lines } = await ask(server, 'POST', '/v1.41/build?t=x', {
    headers: { 'content-type': 'application/tar' },
    body: Buffer.from('a tar'),
  });
  t.is(status, 200);
  t.is(read, 'a tar');
  t.deepEqual(lines.at(-1), { stream: 'Successfully tagged x:latest\n' });
  t.deepEqual(lines.at(-3), { aux: { ID } });
});

test('what is wrong before the first line has a status, behind it an error of its own (podman#15828)', async (t) => {
  const missing = new HuskError('failed to read dockerfile: open Dockerfile: no such file or directory', {
    kind: 'not-found',
  });
  await using early = await building(() => Promise.reject(missing));
  t.is((await ask(early, 'POST', '/build')).status, 400);
  const failed = new BuildFailed('process', {
    kind: 'start-failed',
    cause: new CommandFailed('process', { command: '/bin/sh -c false', code: 9 }),
  });
  await using late = await building(async (_, hooks) => {
    hooks.onOutline?.(OUTLINE);
    throw failed;
  });
  const { status, lines } = await ask(late, 'POST', '/build');
  t.is(status, 200);
  const message = `The command '/bin/sh -c false' returned a non-zero code: 9`;
  t.deepEqual(lines.at(-1), { errorDetail: { code: 9, message }, error: message });
});

test('q=1 is the id alone', async (t) => {
  await using server = await building(async (_, hooks) => {
    hooks.onOutline?.(OUTLINE);
    return MADE;
  });
  t.deepEqual((await ask(server, 'POST', '/build?q=1')).lines, [{ stream: `${ID}\n` }]);
});

test('version=2 without a session says what to do', async (t) => {
  await using server = await building(async () => MADE);
  const { status, text } = await ask(server, 'POST', '/build?version=2');
  t.is(status, 400);
  t.regex(text, /DOCKER_BUILDKIT=0/);
});

test('a build is canceled by its id, and by its client that leaves', async (t) => {
  const began = Promise.withResolvers<void>();
  await using server = await building(async (_, { signal, onOutline }) => {
    onOutline?.(OUTLINE);
    began.resolve();
    return await new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)));
  });
  const answer = ask(server, 'POST', '/build?buildid=b1');
  await began.promise;
  t.is((await ask(server, 'POST', '/build/cancel?id=other')).status, 204);
  t.is((await ask(server, 'POST', '/build/cancel?id=b1')).status, 204);
  t.regex((await answer).text, /the build was canceled/);
  t.is((await ask(server, 'POST', '/build/cancel')).status, 400);
});

const row = (key: string, shared: boolean, step = 'RUN x'): CacheRow => ({
  key,
  diffId: key,
  size: 5,
  step,
  made: 0,
  lastUsed: 0,
  uses: 1,
  shared,
});
const ROWS = [row('aa', false), row('bb', true), row('cc', false, 'COPY y')];

const PRUNES: [query: string, wanted: string[]][] = [
  ['', ['aa', 'cc']],
  ['all=1', ['aa', 'bb', 'cc']],
  [`filters=${encodeURIComponent('{"id":["a"]}')}`, ['aa']],
  [`filters=${encodeURIComponent('{"description":{"COPY":true}}')}`, ['cc']],
  [`all=1&filters=${encodeURIComponent('{"shared":["true"]}')}`, ['bb']],
  [`all=1&filters=${encodeURIComponent('{"private":["1"]}')}`, ['aa', 'cc']],
  [`filters=${encodeURIComponent('{"inuse":["true"]}')}`, []],
  [`filters=${encodeURIComponent('{"type":["exec.cachemount"]}')}`, []],
  ['filters=', ['aa', 'cc']],
];
for (const [query, wanted] of PRUNES)
  test(`prune ${decodeURIComponent(query)}`, async (t) => {
    const images = { pruneBuildCache: async ({ filter }: CachePruneOptions) => ROWS.filter((each) => filter!(each)) };
    await using server = await startServer(
      { images, pruneCacheMounts: async () => 100 } as unknown as Partial<Engine>,
      buildRoutes,
    );
    const { json } = await ask(server, 'POST', `/build/prune?${query}`);
    const { CachesDeleted, SpaceReclaimed } = json as { CachesDeleted: string[]; SpaceReclaimed: number };
    t.deepEqual(CachesDeleted, wanted);
    const own = wanted.filter((key) => key !== 'bb').length * 5;
    t.is(SpaceReclaimed, own + (/\{/.test(decodeURIComponent(query)) ? 0 : 100));
  });

test('a filter that is none is refused', async (t) => {
  await using server = await startServer({}, buildRoutes);
  t.is((await ask(server, 'POST', `/build/prune?filters=${encodeURIComponent('{"x":["y"]}')}`)).status, 400);
});
