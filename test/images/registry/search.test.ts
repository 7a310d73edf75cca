/** Search by a registry's own search or by its catalog; and registries that lie. */
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import test from 'ava';
import type { SearchAnswer } from '../../../src/images/store/contract.ts';
import { searchEndpoint, searchRegistry, splitTerm } from '../../../src/images/registry/search.ts';
import { Transport } from '../../../src/images/registry/transport.ts';
import { busyboxLayout, missingImageTools, startRegistry } from '../../fixtures/images.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { hostileRegistry, testImage } from '../hostile-registry.ts';
import { testStore } from '../store.ts';

const IMAGE = testImage();
type Answer = (response: ServerResponse, url: URL) => void;
const json =
  (value: unknown): Answer =>
  (response) =>
    void response.end(JSON.stringify(value));
const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end();

/** Asks a registry whose search and catalog answer so; without an answer they are not there. */
async function search(
  paths: { v1?: Answer; catalog?: Answer },
  term = 'x',
  limit = 25,
): Promise<{ answer: SearchAnswer; requests: string[]; host: string }> {
  await using registry = await hostileRegistry(IMAGE, (_request, response, url) => {
    const answer = { '/v1/search': paths.v1, '/v2/_catalog': paths.catalog }[url.pathname];
    if (!answer) return false;
    answer(response, url);
    return true;
  });
  using s = testStore();
  const answer = await s.store.search(`${registry.host}/${term}`, { limit });
  return { answer, requests: registry.requests, host: registry.host };
}

const names = ({ answer }: { answer: SearchAnswer }): string[] => answer.results.map(({ name }) => name);

const SPLITS: [text: string, domain: string, term: string][] = [
  ['alpine', 'docker.io', 'alpine'],
  ['library/alpine', 'docker.io', 'alpine'],
  ['some/thing', 'docker.io', 'some/thing'],
  ['docker.io/alpine', 'docker.io', 'alpine'],
  ['index.docker.io/alpine', 'docker.io', 'alpine'],
  ['localhost/a', 'localhost', 'a'],
  ['localhost:5000/a/b', 'localhost:5000', 'a/b'],
  ['host.example/', 'host.example', ''],
];
for (const [text, domain, term] of SPLITS)
  test(`${text} is split`, (t) => t.deepEqual(splitTerm(text), { domain, term }));

for (const text of ['https://a.b/c', 'a.b?x/c', 'a@b.c/d', 'a.b#/c', '.../x', 'x'.repeat(2000)])
  test(`refused as a term: ${text.slice(0, 20)}`, (t) => void t.throws(() => splitTerm(text), { name: 'HuskError' }));

test("the hub's search is on a host of its own, over TLS, whatever mirrors there are", (t) =>
  t.deepEqual(searchEndpoint('docker.io', { 'registry-mirrors': ['http://127.0.0.1:1'] }), {
    host: 'docker.io',
    bases: [new URL('https://index.docker.io/')],
    insecure: false,
  }));

test('a search of the registry itself', async (t) => {
  const asked: string[] = [];
  const found = await search(
    {
      v1: (response, url) => {
        asked.push(url.search);
        json({
          results: [
            { name: 'x', description: 'one\ntwo\x1b[2J', star_count: 7, is_official: true },
            { name: 'me/x', description: null, star_count: -3, is_official: 'yes' },
          ],
        })(response, url);
      },
    },
    'a&b=c',
    2,
  );
  t.deepEqual(asked, ['?q=a%26b%3Dc&n=2']);
  t.deepEqual(found.answer, {
    host: found.host,
    by: 'search',
    complete: true,
    results: [
      { name: 'x', description: 'one two [2J', stars: 7, official: true },
      { name: 'me/x', description: '', stars: 0, official: false },
    ],
  });
});

const WITHOUT_SEARCH: [what: string, v1: Answer | undefined][] = [
  ['404', undefined],
  ['a login at every path', status(401, { 'www-authenticate': 'Basic realm="x"' })],
  ['HTML', (response) => void response.end('<html>')],
  ['another JSON', json({ results: 'none' })],
  ['a list', json([])],
  ['null', json(null)],
];
for (const [what, v1] of WITHOUT_SEARCH)
  test(`the catalog, where the search is ${what}`, async (t) => {
    const found = await search({ v1, catalog: json({ repositories: ['ax', 'b', 'c/x'] }) });
    t.deepEqual([found.answer.by, found.answer.complete, names(found)], ['catalog', true, ['ax', 'c/x']]);
  });

test('all pages of a catalog, and no more than are needed', async (t) => {
  const catalog: Answer = (response, url) => {
    const at = Number(url.searchParams.get('last') ?? 0);
    if (at < 3) response.setHeader('link', `</v2/_catalog?last=${at + 1}&n=1000>; rel="next"`);
    json({ repositories: [`x${at}`, `y${at}`] })(response, url);
  };
  t.deepEqual(names(await search({ catalog })), ['x0', 'x1', 'x2', 'x3']);
  const few = await search({ catalog }, 'x', 2);
  t.deepEqual(names(few), ['x0', 'x1']);
  t.is(few.requests.filter((request) => request.endsWith('_catalog')).length, 2);
  t.is(names(await search({ catalog }, '')).length, 8);
});

/** What a hostile registry answers, and what comes of it: names, or a refusal. */
const HOSTILE: [what: string, paths: { v1?: Answer; catalog?: Answer }, expected: string[] | RegExp][] = [
  [
    'names that are none',
    {
      v1: json({
        results: [
          { name: '../x' },
          { name: 'a\nb' },
          { name: 7 },
          7,
          null,
          { name: 'x:1' },
          { name: 'x\x1b' },
          { name: 'x' },
        ],
      }),
    },
    ['x'],
  ],
  [
    'more results than were asked for',
    { v1: json({ results: Array.from({ length: 5000 }, (_, at) => ({ name: `x${at}` })) }) },
    Array.from({ length: 25 }, (_, at) => `x${at}`),
  ],
  [
    '__proto__ and constructor',
    { v1: (response) => void response.end('{"results":[{"__proto__":{"name":"x"}},{"constructor":1,"name":"y"}]}') },
    ['y'],
  ],
  ['a search that fails', { v1: status(500) }, /answers a search with status 500$/],
  ['too many requests', { v1: status(429) }, /answers a search with status 429$/],
  [
    'a search without end',
    { v1: (response) => void response.end('x'.repeat((4 << 20) + 1)) },
    /is larger than 4194304 bytes$/,
  ],
  [
    'nesting',
    { v1: (response) => void response.end('{"results":'.repeat(100_000)), catalog: json({ repositories: ['x'] }) },
    ['x'],
  ],
  [
    'a catalog without end',
    { catalog: (response) => void response.end('x'.repeat((4 << 20) + 1)) },
    /is larger than 4194304 bytes$/,
  ],
  [
    'a catalog that is no JSON',
    { catalog: (response) => void response.end('\x1b[2J') },
    /sends a catalog that is no list$/,
  ],
  ['a catalog of other things', { catalog: json({ repositories: ['../x', 'x\n', 'X', {}, null, 'x', 'x'] }) }, ['x']],
  ['no catalog', {}, /has neither a search nor a catalog$/],
  ['a closed catalog', { catalog: status(403) }, /has no search, and does not show its catalog$/],
  [
    'a token from a host that is no URL',
    { catalog: status(401, { 'www-authenticate': 'Bearer realm="nowhere"' }) },
    /asks for a token without saying where to get it$/,
  ],
  [
    'a page that follows itself',
    {
      catalog: (response, url) => {
        response.setHeader('link', '</v2/_catalog?last=x>; rel="next"');
        json({ repositories: ['x'] })(response, url);
      },
    },
    ['x'],
  ],
  [
    'a next page elsewhere',
    {
      catalog: (response, url) => {
        response.setHeader('link', '<http://127.0.0.2:1/v2/_catalog?last=x>; rel="next"');
        json({ repositories: ['x'] })(response, url);
      },
    },
    ['x'],
  ],
  [
    'a next page that is no URL',
    {
      catalog: (response, url) => {
        response.setHeader('link', '<http://[>; rel="next"');
        json({ repositories: ['x'] })(response, url);
      },
    },
    ['x'],
  ],
];
for (const [what, paths, expected] of HOSTILE)
  test(`hostile: ${what}`, async (t) => {
    if (expected instanceof RegExp) await t.throwsAsync(search(paths), { name: 'HuskError', message: expected });
    else t.deepEqual(names(await search(paths)), expected);
  });

test('pages without end are not followed without end', async (t) => {
  let pages = 0;
  const { answer } = await search({
    catalog: (response, url) => {
      pages++;
      response.setHeader('link', `</v2/_catalog?last=${pages}>; rel="next"`);
      json({ repositories: ['y'] })(response, url);
    },
  });
  t.deepEqual([answer.results, answer.complete, pages], [[], false, 200]);
});

const missing = missingImageTools();
(missing ? test.skip : test)("Debian's registry, open and with a password", async (t) => {
  await using open = await startRegistry();
  await using closed = await startRegistry({ htpasswd: { user: 'me', password: 'secret' } });
  await open.push(`oci:${busyboxLayout()}:latest`, 'some/busybox:1');
  const config = temporaryFolder('husk-search-');
  using s = testStore({ env: { PATH: process.env['PATH'], DOCKER_CONFIG: config } });
  const { by, results } = await s.store.search(`${open.host}/BOX`, { limit: 25 });
  t.deepEqual([by, results.map(({ name }) => name)], ['catalog', ['some/busybox']]);
  await t.throwsAsync(s.store.search(`${closed.host}/x`, { limit: 25 }), { message: 'no basic auth credentials' });
  writeFileSync(
    join(config, 'config.json'),
    JSON.stringify({ auths: { [closed.host]: { username: 'me', password: 'secret' } } }),
  );
  t.deepEqual((await s.store.search(`${closed.host}/x`, { limit: 25 })).results, []);
});

test('a token is asked for the catalog, and sent nowhere else', async (t) => {
  await using elsewhere = await hostileRegistry(
    IMAGE,
    (_request, response) => (response.end('{"repositories":["x"]}'), true),
    {
      address: '127.0.0.2',
    },
  );
  const asked: string[] = [];
  await using registry = await hostileRegistry(IMAGE, (request, response, url) => {
    if (url.pathname === '/token') return (asked.push(url.search), response.end('{"token":"secret"}'), true);
    if (url.pathname !== '/v2/_catalog') return false;
    if (request.headers.authorization === undefined) {
      const realm = `Bearer realm="http://${request.headers.host}/token",service="s"`;
      return (response.writeHead(401, { 'www-authenticate': realm }).end(), true);
    }
    return (response.writeHead(307, { location: `http://${elsewhere.host}/v2/_catalog` }).end(), true);
  });
  using s = testStore();
  const { results } = await s.store.search(`${registry.host}/x`, { limit: 25 });
  t.deepEqual(
    results.map(({ name }) => name),
    ['x'],
  );
  t.deepEqual(asked, ['?service=s&scope=registry%3Acatalog%3A*']);
  t.deepEqual([elsewhere.requests.length, elsewhere.seen('authorization')], [1, []]);
});

test('a registry that trickles for ever is given up', async (t) => {
  await using registry = await hostileRegistry(IMAGE, (_request, response, url) => {
    if (url.pathname !== '/v2/_catalog') return false;
    const timer = setInterval(() => response.write(' '), 5);
    response.once('close', () => clearInterval(timer));
    return true;
  });
  using transport = new Transport({ userAgent: 'test', env: {} });
  const options = {
    transport,
    text: `${registry.host}/x`,
    limit: 1,
    config: {},
    env: { DOCKER_CONFIG: '/nonexistent' },
  };
  await t.throwsAsync(searchRegistry({ ...options, patience: 500 }), {
    message: `${registry.host} has not answered a search within 0.5 s`,
  });
});

test('an interrupted search says so', async (t) => {
  const controller = new AbortController();
  await using registry = await hostileRegistry(IMAGE, (_request, response, url) => {
    if (url.pathname !== '/v2/_catalog') return false;
    response.write('{');
    setImmediate(() => controller.abort(new Error('interrupted')));
    return true;
  });
  using s = testStore();
  await t.throwsAsync(s.store.search(`${registry.host}/x`, { limit: 25, signal: controller.signal }), {
    message: 'interrupted',
  });
});
