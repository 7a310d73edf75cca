/** The HTTP server of the API: heads, errors, streams and their ends, over routes made for the test. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { Route } from '../../../src/service/http/contract.ts';
import { ask, hijack, readAll, startServer } from '../fixture.ts';

const routes: Route[] = [
  { method: 'GET', path: '/json', handler: () => ({ kind: 'json', status: 201, value: { a: null } }) },
  { method: 'GET', path: '/gone/{name}', handler: ({ parameters }) => refuse(parameters['name']!) },
  { method: 'POST', path: '/echo', handler: async ({ body }) => json(await body.json()) },
  { method: 'GET', path: '/lines', handler: () => ({ kind: 'lines', lines: lines() }) },
  { method: 'GET', path: '/torn', handler: () => ({ kind: 'lines', lines: torn(1) }) },
  { method: 'GET', path: '/never', handler: () => ({ kind: 'lines', lines: torn(0) }) },
  {
    method: 'POST',
    path: '/cat/{id}',
    hijacks: true,
    handler: async ({ body }) => {
      const value = await body.json();
      return {
        kind: 'hijack',
        type: 'application/vnd.docker.raw-stream',
        async take(begin) {
          const { stream } = begin();
          stream.write(`${JSON.stringify(value)}:`);
          for await (const chunk of stream.iterator({ destroyOnReturn: false })) stream.write(chunk);
        },
      };
    },
  },
];
const json = (value: unknown) => ({ kind: 'json', status: 200, value: value ?? 'nothing' }) as const;
function refuse(name: string): never {
  throw new HuskError(`No such container: ${name}`, { kind: 'not-found', fix: 'look' });
}
async function* lines() {
  yield { status: 'a' };
  yield { status: 'b' };
}
async function* torn(after: number) {
  for (let at = 0; at < after; at++) yield { status: 'a' };
  throw new HuskError('no such image', { kind: 'not-found' });
}

test('a JSON answer, its headers', async (t) => {
  await using server = await startServer({}, routes);
  const { status, headers, text } = await ask(server, 'GET', '/v1.44/json?x=1');
  t.is(status, 201);
  t.is(text, '{"a":null}\n');
  t.is(headers['api-version'], '1.51');
  t.is(headers['docker-experimental'], 'false');
  t.is(headers['ostype'], 'linux');
  t.regex(String(headers['server']), /^Docker\/28\.3\.0\+husk\.\S+ \(linux\)$/);
});

test('an error has its status, and the fix behind a blank line', async (t) => {
  await using server = await startServer({}, routes);
  const { status, json } = await ask(server, 'GET', '/gone/web');
  t.deepEqual([status, json], [404, { message: 'No such container: web\n\nlook' }]);
  t.deepEqual((await ask(server, 'GET', '/nope')).json, { message: 'page not found' });
});

test('lines: an error before the first has a status, one behind it is the last line', async (t) => {
  await using server = await startServer({}, routes);
  t.deepEqual((await ask(server, 'GET', '/lines')).lines, [{ status: 'a' }, { status: 'b' }]);
  t.is((await ask(server, 'GET', '/never')).status, 404);
  const { status, lines } = await ask(server, 'GET', '/torn');
  t.is(status, 200);
  t.deepEqual(lines, [{ status: 'a' }, { errorDetail: { message: 'no such image' }, error: 'no such image' }]);
});

test('a JSON body', async (t) => {
  await using server = await startServer({}, routes);
  t.deepEqual((await ask(server, 'POST', '/echo', { body: { a: [1] } })).json, { a: [1] });
  t.is((await ask(server, 'POST', '/echo')).json, 'nothing');
  t.is(
    (await ask(server, 'POST', '/echo', { body: '{"a":', headers: { 'Content-Type': 'application/json' } })).status,
    400,
  );
});

for (const upgrade of [true, false])
  test(`a hijacked connection, upgrade ${upgrade}`, async (t) => {
    await using server = await startServer({}, routes);
    const { head, stream } = await hijack(server, '/cat/x', { body: { Tty: false }, upgrade });
    t.regex(head, upgrade ? /^HTTP\/1\.1 101 UPGRADED\r\n/ : /^HTTP\/1\.1 200 OK\r\n/);
    t.notRegex(head, /content-length|chunked/i);
    stream.end('stdin');
    t.is((await readAll(stream)).toString(), '{"Tty":false}:stdin');
  });
