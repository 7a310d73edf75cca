/** The query of `POST /build`: every parameter of ImageBuild is read or refused, and what is zero asks for nothing. */
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { BuildOptions } from '../../../src/engine/build-contract.ts';
import { buildRequest } from '../../../src/service/engine-api/build-request.ts';
import { readQuery } from '../../../src/service/http/query.ts';

const body = { json: async () => undefined, stream: () => Readable.from([]) };
const read = (query: string, headers: Record<string, string> = {}) =>
  buildRequest({ query: readQuery(`/build?${query}`), headers, body });
const json = (value: unknown) => encodeURIComponent(JSON.stringify(value));

const CASES: [query: string, wanted: Partial<BuildOptions>][] = [
  ['dockerfile=a/Dockerfile', { dockerfile: { path: 'a/Dockerfile' } }],
  ['dockerfile=/etc/passwd', { dockerfile: { path: 'etc/passwd' } }],
  ['t=a:1&t=b&t=', { tags: ['a:1', 'b'] }],
  [`buildargs=${json({ A: '2', B: null })}`, { buildArgs: { A: '2' } }],
  ['buildargs=null&labels=null&cachefrom=null&ulimits=null', { buildArgs: {}, labels: {}, cacheFrom: [], ulimits: [] }],
  ['buildargs={}&labels={}&cachefrom=[]&ulimits=[]', { buildArgs: {}, labels: {}, cacheFrom: [], ulimits: [] }],
  ['cachefrom={}&buildargs=[]', { cacheFrom: [], buildArgs: {} }],
  ['buildargs=&labels=', { buildArgs: {}, labels: {} }],
  [`labels=${json({ a: 'b' })}`, { labels: { a: 'b' } }],
  [
    `cachefrom=${json(['a', 'b:1'])}`,
    {
      cacheFrom: [
        { type: 'registry', reference: 'a' },
        { type: 'registry', reference: 'b:1' },
      ],
    },
  ],
  ['nocache=1', { noCache: true }],
  ['nocache=False', { noCache: false }],
  ['pull=1', { pull: true }],
  ['target=one', { target: 'one' }],
  ['networkmode=host', { network: 'host', allow: ['network.host'] }],
  ['networkmode=bridge', { network: 'default', allow: [] }],
  ['networkmode=', { network: 'default' }],
  ['networkmode=none', { network: 'none' }],
  ['extrahosts=a:1.2.3.4&extrahosts=b:[::1]', { extraHosts: ['a:1.2.3.4', 'b:::1'] }],
  [
    'shmsize=0&memory=0&memswap=0&cpushares=0&cpuquota=0&cpuperiod=0&cpusetcpus=&cpusetmems=',
    { shmSize: undefined, limits: {} },
  ],
  ['shmsize=1024', { shmSize: 1024 }],
  [
    'memory=1000&memswap=-1&cpushares=5&cpuquota=7&cpuperiod=9&cpusetcpus=0&cpusetmems=1',
    {
      limits: {
        memory: 1000,
        memorySwap: -1,
        cpuShares: 5,
        cpuQuota: 7,
        cpuPeriod: 9,
        cpusetCpus: '0',
        cpusetMems: '1',
      },
    },
  ],
  [`ulimits=${json([{ Name: 'nofile', Soft: 1, Hard: 2 }])}`, { ulimits: [{ name: 'nofile', soft: 1, hard: 2 }] }],
  ['platform=linux/amd64', { platform: 'linux/amd64' }],
  ['cgroupparent=/x', { cgroupParent: '/x' }],
  ['isolation=vm', { isolation: 'vm' }],
  ['isolation=default', { isolation: 'auto' }],
  ['rm=1&forcerm=1&squash=0&version=1&session=&securityopt=null&outputs=[]', { tags: [] }],
  [
    'remote=https://example.com/a.git%23main:sub',
    { context: { kind: 'remote', url: 'https://example.com/a.git#main:sub', isGit: true } },
  ],
  ['remote=https://example.com/a.tar', { context: { kind: 'remote', url: 'https://example.com/a.tar', isGit: false } }],
];
for (const [query, wanted] of CASES)
  test(`reads ${decodeURIComponent(query).slice(0, 90)}`, (t) => {
    t.like(read(query), wanted);
  });

const REFUSED: [query: string, message: RegExp][] = [
  ['version=2', /session/],
  ['squash=1', /^squash is only supported with experimental mode$/],
  [`securityopt=${json(['seccomp=unconfined'])}`, /setting security options on build/],
  [`outputs=${json([{ Type: 'local' }])}`, /^outputs:/],
  ['remote=/etc', /^remote: "\/etc" is neither a URL nor a repository$/],
  ['remote=client-session', /^remote:/],
  ['t=A:::', /invalid reference format/],
  [`t=a@sha256:${'a'.repeat(64)}`, /digest reference/],
  ['networkmode=container:x', /^networkmode container:x/],
  ['extrahosts=a', /^extrahosts:/],
  ['extrahosts=a:b', /^extrahosts:/],
  ['isolation=hyperv', /^isolation: "hyperv"/],
  ['memory=-5', /^memory: -5/],
  ['buildargs=[1]', /^buildargs: it is no JSON object$/],
  [`buildargs=${json({ a: 1 })}`, /^buildargs: a: 1 is no text$/],
  [`cachefrom=${json([1])}`, /^cachefrom: 1 is no text$/],
  [`cachefrom=${json('a')}`, /^cachefrom: it is no JSON array$/],
  [`ulimits=${json([{ Name: 'nofile' }])}`, /^ulimits:/],
  ['ulimits=[null]', /^ulimits:/],
];
for (const [query, message] of REFUSED)
  test(`refuses ${decodeURIComponent(query).slice(0, 90)}`, (t) => {
    const error = t.throws(() => read(query), { instanceOf: HuskError, message });
    t.true(['invalid', 'unsupported'].includes(error!.kind));
  });

test('the keys of an object are no properties of every object', (t) => {
  const { buildArgs } = read(`buildargs=${encodeURIComponent('{"__proto__":"x","constructor":"y"}')}`);
  t.deepEqual(Object.keys(buildArgs).sort(), ['__proto__', 'constructor']);
  t.is(({} as Record<string, unknown>)['x'], undefined);
});

test('no parameter of the schema is passed over', (t) => {
  const schema = gunzipSync(readFileSync(join(import.meta.dirname, '../swagger-1.51.yaml.gz'))).toString();
  const of = schema.slice(schema.indexOf('  /build:'), schema.indexOf('  /build/prune:'));
  const names = [...of.matchAll(/- name: "([a-z]+)"\n\s+in: "query"/g)].map(([, name]) => name!);
  t.true(names.length > 20, names.join());
  const source = readFileSync(join(import.meta.dirname, '../../../src/service/engine-api/build-request.ts'), 'utf8');
  // Read by the handler, or without meaning: husk keeps no container of a step.
  const elsewhere = ['q', 'rm', 'forcerm'];
  t.deepEqual(
    names.filter((name) => !elsewhere.includes(name) && !source.includes(`'${name}'`)),
    [],
  );
});

const config = (value: unknown) => ({ 'x-registry-config': Buffer.from(JSON.stringify(value)).toString('base64url') });
const CONFIGS: [name: string, headers: Record<string, string>, host: string, wanted: unknown][] = [
  ['none', {}, 'docker.io', null],
  [
    'the hub',
    config({ 'https://index.docker.io/v1/': { username: 'u', password: 'p' } }),
    'docker.io',
    { kind: 'password', username: 'u', password: 'p' },
  ],
  [
    'a host',
    config({ 'localhost:5000': { auth: Buffer.from('u:p').toString('base64') } }),
    'localhost:5000',
    { kind: 'password', username: 'u', password: 'p' },
  ],
  ['another host', config({ 'localhost:5000': { username: 'u', password: 'p' } }), 'localhost:5001', null],
  ['a token', config({ 'r.example': { identitytoken: 't' } }), 'r.example', { kind: 'identity', token: 't' }],
  ['rubbish', { 'x-registry-config': '%%%' }, 'docker.io', null],
  ['null', config({ 'r.example': null }), 'r.example', null],
];
for (const [name, headers, host, wanted] of CONFIGS)
  test(`X-Registry-Config: ${name}`, async (t) => {
    t.deepEqual(await read('', headers).credentials!(host), wanted as never);
  });
