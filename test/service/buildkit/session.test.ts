/** Sessions of clients: how they are found, what is asked of them, and what a hostile one cannot do. */
import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { duplexPair } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { GrpcError, NOT_FOUND, UNKNOWN } from '../../../src/service/buildkit/grpc.ts';
import { serveGrpc, type Method } from '../../../src/service/buildkit/server.ts';
import { bytesMessage, bytesOf, Sessions } from '../../../src/service/buildkit/session.ts';
import { forwardAgents } from '../../../src/service/buildkit/ssh-forward.ts';
import { bytes, Fields, message, text } from '../../../src/service/buildkit/wire.ts';

const SECRET = '/moby.buildkit.secrets.v1.Secrets/GetSecret';
const CREDENTIALS = '/moby.filesync.v1.Auth/Credentials';
const AGENT = '/moby.sshforward.v1.SSH/CheckAgent';

/** A method that answers by the text of its first field. */
const answering = (answers: Record<string, Buffer | GrpcError>): Method =>
  async function* ({ messages }) {
    const { value } = await messages.next();
    const answer = answers[new Fields(value as Buffer).text(1)] ?? new GrpcError(NOT_FOUND, 'not found');
    yield answer instanceof GrpcError ? await Promise.reject(answer) : answer;
  };

const METHODS: Record<string, Method> = {
  [SECRET]: answering({ s: bytes(1, 'value')!, large: bytes(1, Buffer.alloc(500 * 1024 + 1))! }),
  [CREDENTIALS]: answering({
    'r.example': message(text(1, 'u'), text(2, 'p')),
    'token.example': text(2, 't')!,
    'none.example': Buffer.alloc(0),
    'registry-1.docker.io': message(text(1, 'hub'), text(2, 'p')),
  }),
  [AGENT]: answering({ default: Buffer.alloc(0), broken: new GrpcError(UNKNOWN, 'unset ssh forward key') }),
};

const FORWARD = '/moby.sshforward.v1.SSH/ForwardAgent';
METHODS[FORWARD] = async function* ({ headers, messages }) {
  yield bytesMessage(Buffer.from(`${String(headers['buildkit.ssh.id'])}: `));
  for await (const each of bytesOf(messages)) yield bytesMessage(each);
};

/** A client that serves these methods as session `id`. */
function join(sessions: Sessions, id: string, methods = Object.keys(METHODS)) {
  const [ours, theirs] = duplexPair();
  const ended = new AbortController();
  const served = serveGrpc(theirs, METHODS, { signal: ended.signal, onBug: () => {} });
  const headers = {
    'x-docker-expose-session-uuid': id,
    'x-docker-expose-session-grpc-method': methods.join(', '),
  };
  const taken = sessions.serve(headers, () => ({ stream: ours, signal: ended.signal }));
  taken.catch(() => {});
  return {
    taken,
    async [Symbol.asyncDispose]() {
      ended.abort();
      await Promise.allSettled([taken, served]);
    },
  };
}
const { signal } = new AbortController();

test('a session is found while it is open, also by who has asked before it came', async (t) => {
  const sessions = new Sessions();
  const waiting = sessions.get('one', signal);
  {
    await using _client = join(sessions, 'one');
    t.is((await waiting).id, 'one');
    t.is(await sessions.get('one', signal), await waiting);
  }
  const stopped = new AbortController();
  const gone = sessions.get('one', stopped.signal);
  stopped.abort(new Error('over'));
  await t.throwsAsync(gone, { message: 'over' });
});

test('an id is a word, and one session has it', async (t) => {
  const sessions = new Sessions();
  await using _client = join(sessions, 'one');
  for (const id of ['one', '', 'a b', '../x', 'x'.repeat(129)])
    await t.throwsAsync(join(sessions, id).taken, { instanceOf: HuskError });
});

test('secrets are asked for by their ids, and bounded', async (t) => {
  const sessions = new Sessions();
  await using _client = join(sessions, 'one');
  const session = await sessions.get('one', signal);
  t.is((await session.secret('s', signal))?.toString(), 'value');
  t.is(await session.secret('other', signal), undefined);
  t.is((await t.throwsAsync(session.secret('large', signal), { instanceOf: HuskError })).kind, 'limit');
});

const HOSTS: [host: string, wanted: object | null][] = [
  ['r.example', { kind: 'password', username: 'u', password: 'p' }],
  ['token.example', { kind: 'identity', token: 't' }],
  ['none.example', null],
  ['other.example', null],
  ['docker.io', { kind: 'password', username: 'hub', password: 'p' }],
];
for (const [host, wanted] of HOSTS)
  test(`credentials for ${host}`, async (t) => {
    const sessions = new Sessions();
    await using _client = join(sessions, 'one');
    t.deepEqual(await (await sessions.get('one', signal)).credentials(host, signal), wanted as never);
  });

test('an agent is there where the client says so', async (t) => {
  const sessions = new Sessions();
  await using _client = join(sessions, 'one');
  const session = await sessions.get('one', signal);
  t.deepEqual(await Promise.all(['default', 'broken', 'other'].map((id) => session.hasAgent(id, signal))), [
    true,
    false,
    false,
  ]);
});

test('a connection to an agent is one of the client, both ways, and its socket goes with the build', async (t) => {
  const sessions = new Sessions();
  await using _client = join(sessions, 'one');
  const session = await sessions.get('one', signal);
  let path: string;
  {
    await using agents = await forwardAgents(session, ['default'], signal);
    path = agents.sockets['default']!;
    t.is(statSync(dirname(path)).mode & 0o777, 0o700);
    const socket = connect(path);
    socket.end('hello');
    t.is(await readText(socket), 'default: hello');
  }
  t.false(existsSync(dirname(path)));
});

test('what a client does not serve is not asked for', async (t) => {
  const sessions = new Sessions();
  await using _client = join(sessions, 'one', []);
  const session = await sessions.get('one', signal);
  t.is(await session.secret('s', signal), undefined);
  t.is(await session.credentials('r.example', signal), null);
  t.throws(() => session.call('/moby.filesync.v1.FileSync/DiffCopy', signal), {
    instanceOf: HuskError,
    message: /does not serve/,
  });
});
