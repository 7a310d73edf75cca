/**
 * Bodies of create and commit, sent to husk and to Docker's own engine: what each makes of entrypoints and commands
 * that are absent, null, empty or a word, with an image that has both, and of a config that is committed.
 */
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { dockerEngine, type DockerEngine } from '../fixtures/docker-engine.ts';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { ordinaryUser } from '../fixtures/user.ts';
import { missingBuild } from '../peer/peers.ts';
import { ask, serveAs, type TestServer } from './fixture.ts';

const problem = missingImageTools() ?? missingBuild();
const engine = problem ?? (await dockerEngine());

type Server = Pick<TestServer, 'socket'>;

if (typeof engine === 'string') test.skip(`bodies beside Docker's own engine: ${engine}`, () => {});
else {
  const places = openPlaces(engine);
  test.after.always(async () => {
    await (await places.catch(() => undefined))?.close();
    await engine[Symbol.asyncDispose]();
  });
  test.serial('entrypoints and commands of create', async (t) => {
    const bodies = WORDS.flatMap((Entrypoint) => WORDS.map((Cmd) => ({ Image: 'both', Entrypoint, Cmd })));
    await agree(t, await places, bodies, created);
  });
  test.serial('entrypoints and commands of create, of an image that has none', async (t) => {
    const bodies = [{}, { Cmd: [] }, { Entrypoint: [] }, { Entrypoint: [''] }, { Entrypoint: ['e'] }, { Cmd: ['c'] }];
    const ofNeither = bodies.map((body) => ({ Image: 'neither', ...body }));
    await agree(t, await places, ofNeither, created);
  });
  test.serial('configs of commit', async (t) => agree(t, await places, COMMITTED, committed));
}

/** Both make the same of each body. */
async function agree<B>(
  t: ExecutionContext,
  { husk, docker }: { husk: Server; docker: Server },
  bodies: readonly B[],
  ask: (server: Server, body: B) => Promise<unknown>,
): Promise<void> {
  const answers = async (server: Server) => {
    const found: Record<string, unknown> = {};
    for (const body of bodies) found[JSON.stringify(body) ?? 'none'] = await ask(server, body);
    return found;
  };
  t.deepEqual(await answers(husk), await answers(docker));
}

/** undefined is not sent; one word may stand for a list */
const WORDS = [undefined, null, [], [''], '', 'word', ['e', 'f']];

const COMMITTED: unknown[] = [
  undefined,
  null,
  { User: 'daemon', WorkingDir: '/w', StopSignal: 'INT' },
  { Env: ['A=asked', 'NEW=line\nbreak'] },
  { Labels: { 'a key': 'asked', new: '' } },
  { Cmd: ['asked'] },
  { Cmd: [] },
  { Entrypoint: ['asked'] },
  { Entrypoint: ['asked'], Cmd: ['too'] },
  { Entrypoint: [] },
  { Entrypoint: [''] },
  { ExposedPorts: { '90/udp': {} }, Volumes: { '/asked': {} } },
  { OnBuild: ['RUN true'] },
  { Shell: ['/bin/sh', '-e', '-c'] },
  { Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 2e9, Retries: 5 } },
  { Healthcheck: { Retries: 7 } },
  { Hostname: 'left', Tty: true, OpenStdin: true, AttachStdout: true, Image: 'x' },
];

/** What both containers and images have; what is about one container only is no image's in husk. */
const FIELDS = [
  'User',
  'ExposedPorts',
  'Env',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Entrypoint',
  'OnBuild',
  'Labels',
  'Shell',
  'Healthcheck',
  'StopSignal',
];

/** Both with the images `both`, which has an entrypoint and a command, and `neither`; and a container to commit. */
async function openPlaces(peer: DockerEngine): Promise<{ husk: Server; docker: Server; close(): Promise<void> }> {
  const user = ordinaryUser();
  const husk = await serveAs(user);
  const docker = { socket: peer.socket };
  const box = readFileSync(busyboxTar());
  for (const server of [husk, docker]) {
    for (const [name, ...changes] of [
      ['neither'],
      ['both', 'ENTRYPOINT ["entry"]', 'CMD ["cmd"]', 'ENV A=image', 'LABEL a=image', 'EXPOSE 80', 'VOLUME /image'],
    ]) {
      const query = changes.map((change) => `&changes=${encodeURIComponent(change)}`).join('');
      const { status, text } = await ask(server, 'POST', `/images/create?fromSrc=-&repo=${name}${query}`, {
        body: box,
      });
      if (status !== 200) throw new Error(text);
    }
    const health = { Test: ['CMD', 'true'], Interval: 1e9, Retries: 3 };
    const body = {
      Image: 'both',
      Env: ['B=container'],
      User: 'nobody',
      Labels: { b: 'container' },
      Healthcheck: health,
    };
    const { status, text } = await ask(server, 'POST', '/containers/create?name=source', { body });
    if (status !== 201) throw new Error(text);
  }
  return {
    husk,
    docker,
    async close() {
      for (const server of [husk, docker]) await ask(server, 'DELETE', '/containers/source?force=1&v=1');
      await husk[Symbol.asyncDispose]();
      user[Symbol.dispose]();
    },
  };
}

/** What is executed, and how inspect shows it; or why nothing is. */
async function created(server: Server, body: object): Promise<unknown> {
  const made = await ask(server, 'POST', '/containers/create', { body });
  if (made.status !== 201) return { status: made.status, message: firstLine(made.json) };
  const { Id } = made.json as { Id: string };
  const { Path, Args, Config } = (await ask(server, 'GET', `/containers/${Id}/json`)).json as {
    Path: string;
    Args: string[];
    Config: { Entrypoint: unknown; Cmd: unknown };
  };
  await ask(server, 'DELETE', `/containers/${Id}?v=1`);
  // Docker shows an empty list as it was sent; nothing is made of it.
  const shown = (words: unknown): unknown => (Array.isArray(words) && words.length === 0 ? null : words);
  return { Path, Args, Entrypoint: shown(Config.Entrypoint), Cmd: shown(Config.Cmd) };
}

/** The settings of the image that a commit makes. */
async function committed(server: Server, body: unknown): Promise<unknown> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = { 'Content-Type': 'application/json' };
  const made = await ask(server, 'POST', '/commit?container=source', { body: text, headers });
  if (made.status !== 201) return { status: made.status, message: firstLine(made.json) };
  const { Id } = made.json as { Id: string };
  const { Config } = (await ask(server, 'GET', `/images/${Id}/json`)).json as { Config: Record<string, unknown> };
  const shown = FIELDS.map((field) => [field, Config[field]] as const);
  return Object.fromEntries(shown.filter(([, value]) => value !== null && Object.keys(value ?? {}).length > 0));
}

/** husk's fix stands below a blank line. */
const firstLine = (error: unknown): string => (error as { message: string }).message.split('\n')[0]!;
