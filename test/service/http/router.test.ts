/** Paths, versions and methods: which route has a request, and what is nobody's. */
import test from 'ava';
import type { Method, Route } from '../../../src/service/http/contract.ts';
import { makeRouter, versionOf } from '../../../src/service/http/router.ts';

const PATHS: [method: Method, path: string][] = [
  ['GET', '/_ping'],
  ['HEAD', '/_ping'],
  ['GET', '/images/json'],
  ['GET', '/images/search'],
  ['GET', '/images/{name*}/json'],
  ['GET', '/images/{name*}/get'],
  ['POST', '/images/{name*}/tag'],
  ['DELETE', '/images/{name*}'],
  ['GET', '/containers/json'],
  ['GET', '/containers/{id}/json'],
  ['POST', '/containers/{id}/start'],
  ['GET', '/nodes/{rest*}'],
];
const router = makeRouter(
  PATHS.map(([method, path]): Route => ({ method, path, handler: () => ({ kind: 'empty', status: 200 }) })),
);

const FOUND: [method: string, target: string, path: string, parameters: Record<string, string>, version?: string][] = [
  ['GET', '/_ping', '/_ping', {}],
  ['HEAD', '/v1.45/_ping', '/_ping', {}, '1.45'],
  ['GET', '/v1.24/containers/json?all=1', '/containers/json', {}, '1.24'],
  ['GET', '/containers/web/json', '/containers/{id}/json', { id: 'web' }],
  ['HEAD', '/containers/web/json', '/containers/{id}/json', { id: 'web' }],
  ['GET', '/containers/a%20b/json?size=1', '/containers/{id}/json', { id: 'a b' }],
  ['GET', '/images/json', '/images/json', {}],
  ['GET', '/images/json/json', '/images/{name*}/json', { name: 'json' }],
  ['GET', '/images/a/json', '/images/{name*}/json', { name: 'a' }],
  ['GET', '/images/h:5000/a/b:1/json', '/images/{name*}/json', { name: 'h:5000/a/b:1' }],
  ['GET', '/images/a%2Fb%3a1/json', '/images/{name*}/json', { name: 'a/b:1' }],
  ['GET', '/images/get/json/get', '/images/{name*}/get', { name: 'get/json' }],
  ['DELETE', '/images/a/json', '/images/{name*}', { name: 'a/json' }],
  ['POST', '/v1.51/images/a/b/tag?repo=x', '/images/{name*}/tag', { name: 'a/b' }, '1.51'],
  ['GET', '/images/%F0%9F%90%B3/json', '/images/{name*}/json', { name: '🐳' }],
  ['GET', '/nodes/a/update', '/nodes/{rest*}', { rest: 'a/update' }],
  // the version is read where it is asked for, so that it has a text of its own
  ['GET', '/v9/_ping', '/_ping', {}, '9'],
];
for (const [method, target, path, parameters, version] of FOUND)
  test(`${method} ${target}`, (t) => {
    const match = router.find(method, target);
    t.is(match?.route.path, path);
    t.deepEqual({ ...match?.parameters }, parameters);
    t.is(match?.version, version);
  });

const NOBODYS: [method: string, target: string][] = [
  ['GET', '/'],
  ['GET', ''],
  ['GET', '*'],
  ['GET', '/nope'],
  ['POST', '/_ping'],
  ['PATCH', '/_ping'],
  ['OPTIONS', '*'],
  ['HEAD', '/images/a/tag'],
  ['GET', '/containers/json/'],
  ['GET', '/containers//json'],
  ['GET', '//containers/json'],
  ['GET', '/v1.45'],
  ['GET', '/v1.45/'],
  ['GET', '/v1.45/v1.45/_ping'],
  ['GET', '/containers/a/b/json'],
  // what is decoded is what is matched: no name reaches a handler that a path of files could be made of
  ['GET', '/containers/..%2f..%2fetc/json'],
  ['GET', '/containers/%2e%2e/json'],
  ['GET', '/containers/../images/json'],
  ['GET', '/containers/a%2fb/json'],
  ['GET', '/containers/%2fweb/json'],
  ['GET', '/images/a/../json'],
  ['GET', '/images/a%2f%2e%2e%2fb/json'],
  ['GET', '/images/a//json'],
  ['GET', '/containers/a%00b/json'],
  ['GET', '/containers/a\0b/json'],
  ['GET', '/containers/%zz/json'],
  ['GET', '/containers/%/json'],
  ['GET', '/containers/%c3%28/json'],
  ['GET', '/containers/%ff/json'],
  ['GET', 'http://evil/containers/json'],
  ['GET', '/%5fping%00'],
  ['GET', '/toString'],
  ['__proto__', '/_ping'],
];
for (const [method, target] of NOBODYS)
  test(`nobody's: ${method} ${JSON.stringify(target)}`, (t) => t.is(router.find(method, target), undefined));

const VERSIONS: [text: string, expected: string | { major: number; minor: number }][] = [
  ['1.24', { major: 1, minor: 24 }],
  ['1.51', { major: 1, minor: 51 }],
  ['1.52', 'client version 1.52 is too new. Maximum supported API version is 1.51'],
  ['1.99', 'client version 1.99 is too new. Maximum supported API version is 1.51'],
  ['2.0', 'client version 2.0 is too new. Maximum supported API version is 1.51'],
  [
    '1.23',
    'client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  ],
  [
    '1',
    'client version 1 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  ],
  ['1.', 'invalid API version: "1."'],
  ['1.2.3', 'invalid API version: "1.2.3"'],
  ['1.99999999999999999999', 'invalid API version: "1.99999999999999999999"'],
];
for (const [text, expected] of VERSIONS)
  test(`version ${text}`, (t) => {
    const match = router.find('GET', `/v${text}/_ping`)!;
    if (typeof expected === 'string') t.throws(() => versionOf(match), { message: expected });
    else t.deepEqual(versionOf(match), expected);
  });

test('without a version the newest is meant', (t) =>
  t.deepEqual(versionOf(router.find('GET', '/_ping')!), { major: 1, minor: 51 }));

test('a name of many segments does not take long', (t) => {
  t.is(router.find('GET', `/images/${'a/'.repeat(400_000)}json`)?.parameters['name']?.length, 799_999);
  t.is(router.find('GET', `/images/${'a/'.repeat(400_000)}nope`), undefined);
});
