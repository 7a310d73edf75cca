/** Image layouts of the client as contexts by name: what it is asked for, and Debian 13's buildx with one. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import { clientBlobs } from '../../../src/service/buildkit/client-blobs.ts';
import type { ClientCall } from '../../../src/service/buildkit/client.ts';
import { GrpcError, NOT_FOUND, UNKNOWN } from '../../../src/service/buildkit/grpc.ts';
import type { Session } from '../../../src/service/buildkit/session.ts';
import { bytes, Fields, message, number } from '../../../src/service/buildkit/wire.ts';
import { dockerClient, type Answer } from '../../fixtures/docker-client.ts';
import { missingPlugins, putPlugins } from '../../fixtures/docker-plugins.ts';
import { busyboxLayout, missingImageTools } from '../../fixtures/images.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { TIMEOUT } from '../../fixtures/user.ts';
import { startServer } from '../fixture.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

/** A client that answers each call with these messages, or fails. */
function sessionOf(answers: Buffer[], failure?: Error): { session: Session; asked: unknown[]; canceled: () => number } {
  const asked: unknown[] = [];
  let canceled = 0;
  const call = (path: string, _signal: AbortSignal, headers: unknown): Partial<ClientCall> => ({
    send: async (sent) => void asked.push([path, headers, new Fields(Buffer.from(sent)).text(1)]),
    end: () => {},
    cancel: () => void canceled++,
    messages: (async function* () {
      yield* answers;
      if (failure) throw failure;
    })(),
  });
  return { session: { call } as unknown as Session, asked, canceled: () => canceled };
}

const signal = new AbortController().signal;
const HEADERS = { 'buildkit-attachable-store-id': 'oci:id' };

test('a size is asked of the store that is meant', async (t) => {
  const { session, asked } = sessionOf([message(bytes(1, message(bytes(1, DIGEST), number(2, 7))))]);
  t.is(await clientBlobs(session, 'oci:id', signal).size(DIGEST), 7);
  t.deepEqual(asked, [['/containerd.services.content.v1.Content/Info', HEADERS, DIGEST]]);
});

test('what is not there has no size; any other failure is one', async (t) => {
  const none = sessionOf([], new GrpcError(NOT_FOUND, 'not found'));
  t.is(await clientBlobs(none.session, 'oci:id', signal).size(DIGEST), undefined);
  const failing = sessionOf([], new GrpcError(UNKNOWN, 'no luck'));
  await t.throwsAsync(clientBlobs(failing.session, 'oci:id', signal).size(DIGEST), { message: 'no luck' });
});

test('a blob comes in pieces, and whoever stops reading ends the call', async (t) => {
  const piece = (text: string): Buffer => message(number(1, 5), bytes(2, Buffer.from(text)));
  const { session, asked, canceled } = sessionOf([piece('ab'), piece(''), piece('c')]);
  const read: string[] = [];
  for await (const chunk of clientBlobs(session, 'oci:id', signal).read(DIGEST)) {
    read.push(String(chunk));
    if (read.length === 2) break;
  }
  t.deepEqual(read, ['ab', '']);
  t.is(canceled(), 1);
  t.deepEqual(asked, [['/containerd.services.content.v1.Content/Read', HEADERS, DIGEST]]);
});

const found = dockerClient();
const missing = typeof found === 'string' ? found : (missingPlugins() ?? missingImageTools());
const real = missing === undefined ? test : test.skip;
if (missing !== undefined) test.skip(`buildx with a layout: ${missing}`, () => {});

real('buildx --build-context n=oci-layout://FOLDER: FROM, COPY and mounts read its image', async (t) => {
  const work = temporaryFolder('husk-layouts-');
  chmodSync(work, 0o755);
  const config = join(work, 'config');
  putPlugins(config);
  using engine = await openEngine({ dataRoot: join(work, 'root') });
  await using server = await startServer(engine);
  const layout = join(work, 'layout');
  execFileSync('cp', ['-r', busyboxLayout(), layout]);
  const context = join(work, 'context');
  mkdirSync(context);
  writeFileSync(
    join(context, 'Dockerfile'),
    'FROM n AS ran\nRUN --mount=from=n,target=/m cat /m/etc/group /etc/passwd >/both\n' +
      'FROM scratch\nCOPY --from=ran /both /\nCOPY --from=n /etc/passwd /\n',
  );
  const build = (source: string): Promise<Answer> =>
    new Promise((resolve) => {
      const words = [
        'buildx',
        'build',
        '--progress=plain',
        '--build-context',
        `n=oci-layout://${source}`,
        '-o',
        'out',
        '.',
      ];
      const env = { PATH: process.env['PATH'], HOME: config, DOCKER_CONFIG: config, DOCKER_HOST: server.host };
      const options = { cwd: context, env, timeout: TIMEOUT, maxBuffer: 16 << 20 };
      execFile((found as { path: string }).path, words, options, (error, stdout, stderr) =>
        resolve({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, stdout, stderr }),
      );
    });
  const built = await build(layout);
  t.is(built.code, 0, built.stderr);
  const passwd = readFileSync(join(context, 'out/passwd'), 'utf8');
  t.regex(passwd, /^root:x:0:0:/);
  t.true(readFileSync(join(context, 'out/both'), 'utf8').endsWith(passwd));
  t.regex(built.stderr, /load oci-layout:\/\/n@sha256:/);
  const absent = await build(`${layout}@${DIGEST}`);
  t.not(absent.code, 0);
  t.regex(absent.stderr, /there is no image sha256:(ab){32} in n/);
  t.deepEqual(server.bugs, []);
});
