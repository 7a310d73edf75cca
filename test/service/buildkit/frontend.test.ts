/** What BuildKit's Dockerfile frontend is asked for, what a Dockerfile wants of its client, and what a client sees. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import type { BuildEvent } from '../../../src/engine/build-events.ts';
import { parseDockerfile } from '../../../src/images/build/dockerfile/parse.ts';
import { cacheSources, cacheTargets, frontendRequest } from '../../../src/service/buildkit/frontend.ts';
import { ignorePatterns, needsOf } from '../../../src/service/buildkit/needs.ts';
import { BuildStatus } from '../../../src/service/buildkit/status.ts';
import { Fields } from '../../../src/service/buildkit/wire.ts';

const ask = (attributes: Record<string, string>, rights: string[] = []) =>
  frontendRequest(new Map(Object.entries(attributes)), rights);

const READ: [attributes: Record<string, string>, wanted: object][] = [
  [
    { 'build-arg:A': 'b', 'label:l': '' },
    { buildArgs: { A: 'b' }, labels: { l: '' } },
  ],
  [{ 'no-cache': '' }, { noCache: true }],
  [{ 'no-cache': 'a,b' }, { noCache: ['a', 'b'] }],
  [
    { target: 't', platform: 'linux/amd64' },
    { target: 't', platform: 'linux/amd64' },
  ],
  [{ platform: 'linux/amd64,linux/arm64', 'multi-platform': 'true' }, { platform: 'linux/amd64,linux/arm64' }],
  [{ 'image-resolve-mode': 'pull' }, { pull: true }],
  [{ 'image-resolve-mode': 'local' }, { pull: false, noCache: false }],
  [{ 'force-network-mode': 'host' }, { network: 'host' }],
  [{ 'add-hosts': 'a=1.2.3.4,b=::1' }, { extraHosts: ['a:1.2.3.4', 'b:::1'] }],
  [
    { 'shm-size': '1024', 'cgroup-parent': '/x' },
    { shmSize: 1024, cgroupParent: '/x' },
  ],
  [
    { ulimit: 'nofile=1:2,core=-1' },
    {
      ulimits: [
        { name: 'nofile', soft: 1, hard: 2 },
        { name: 'core', soft: -1, hard: -1 },
      ],
    },
  ],
  [{ 'context:base': 'docker-image://a:1' }, { contexts: { base: { kind: 'image', reference: 'a:1' } } }],
  [
    { 'context:n': 'https://example.com/a.git' },
    { contexts: { n: { kind: 'remote', url: 'https://example.com/a.git', isGit: true } } },
  ],
];
for (const [attributes, wanted] of READ)
  test(`reads ${JSON.stringify(attributes)}`, (t) => {
    const { options, warnings } = ask(attributes);
    t.like(options, wanted);
    t.deepEqual(warnings, []);
  });

test('the context is a folder of the client, an upload, or a URL', (t) => {
  t.like(ask({ filename: 'f' }), { filename: 'f', contextName: 'context', remote: undefined, upload: undefined });
  t.is(ask({ contextkey: 'x', dockerfilekey: 'y' }).contextName, 'x');
  t.is(ask({ context: 'http://buildkit-session/abc123' }).upload, '/abc123');
  t.like(ask({ context: 'https://example.com/a.tar' }).remote, { url: 'https://example.com/a.tar' });
});

test('folders by name are those of the client', (t) => {
  const { folders, options } = ask({
    'context:N': 'local:n',
    'context:context': 'local:_context',
    'context:up': 'local:../x\r\ny',
    'context:base': 'docker-image://a:1',
    'context:__proto__': 'local:p',
  });
  t.deepEqual(Object.entries(folders), [
    ['n', 'n'],
    ['context', '_context'],
    ['up', '../x\r\ny'],
    ['__proto__', 'p'],
  ]);
  t.deepEqual(Object.keys(options.contexts), ['base']);
});

test('rights are those that husk knows', (t) => {
  t.deepEqual(ask({}, ['network.host', 'other']).options.allow, ['network.host']);
});

test('what husk does not know is a warning, and attestations that nobody asked for are none', (t) => {
  t.regex(ask({ 'new-option': 'x' }).warnings.join(), /does not know the build option new-option/);
  t.deepEqual(ask({ 'attest:provenance': 'mode=min,inline-only=true' }).warnings, []);
});

const REFUSED: Record<string, string>[] = [
  { requestid: 'frontend.outline' },
  { source: 'other/frontend' },
  { cmdline: 'other/frontend' },
  { 'attest:sbom': '' },
  { 'attest:provenance': 'mode=max' },
  { 'force-network-mode': 'container:x' },
  { 'shm-size': '1g' },
  { ulimit: 'nofile' },
  { 'add-hosts': 'a' },
  { context: '/etc' },
  { 'context:n': '/etc' },
  { 'context:n': 'local:' },
  { 'context:n': `local:${'x'.repeat(1001)}` },
  { 'context:n': 'input:x' },
  { 'context:n': 'oci-layout:///etc' },
  { 'context:n': `oci-layout:///etc@sha256:${'0'.repeat(64)}` },
  { 'context:n': 'oci-layout://id' },
  { 'context:n': 'oci-layout://id:1@sha256:0' },
  { 'context:n': `oci-layout://${'i'.repeat(129)}@sha256:${'0'.repeat(64)}` },
];
for (const attributes of REFUSED)
  test(`refuses ${JSON.stringify(attributes).slice(0, 100)}`, (t) => {
    t.throws(() => ask(attributes), { instanceOf: HuskError });
  });

test('a layout is known by the id that the client has for it, and the digest of its image', (t) => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const { layouts, options } = ask({
    'context:N': `oci-layout://k3xp.q-1:latest@${digest}`,
    'context:m': `oci-layout://other@${digest}`,
  });
  t.deepEqual(layouts, { n: { id: 'k3xp.q-1', digest }, m: { id: 'other', digest } });
  t.deepEqual(options.contexts, {});
});

const typed = (type: string, attributes: Record<string, string>) => ({
  type,
  attributes: new Map(Object.entries(attributes)),
});

test('caches are those of registries', (t) => {
  const { sources, warnings } = cacheSources([
    typed('registry', { ref: 'a' }),
    typed('registry', { ref: 'a' }),
    typed('local', {}),
  ]);
  t.deepEqual(sources, [{ type: 'registry', reference: 'a' }]);
  t.is(warnings.length, 1);
  t.deepEqual(cacheTargets([typed('inline', {})]), [{ type: 'inline' }]);
  t.like(cacheTargets([typed('registry', { ref: 'a', mode: 'max' })])[0], { mode: 'max', compression: 'gzip' });
  for (const each of [typed('local', {}), typed('registry', { ref: 'A:' }), typed('registry', { ref: 'a', mode: 'x' })])
    t.throws(() => cacheTargets([each]), { instanceOf: HuskError });
});

const NEEDS: [dockerfile: string, wanted: object][] = [
  ['COPY a b /x', { paths: ['a', 'b'] }],
  ['COPY . /x', { paths: undefined }],
  ['COPY ./a/ /b/* /x', { paths: ['a', 'b/*'] }],
  ['ARG n\nCOPY $n /x', { paths: undefined }],
  ['COPY ../a /x', { paths: undefined }],
  ['ADD https://example.com/a /x', { paths: [] }],
  ['COPY --from=other a /x', { paths: [] }],
  ['RUN --mount=type=bind,source=a,target=/a true', { paths: ['a'] }],
  ['RUN --mount=target=/a true', { paths: undefined }],
  ['RUN --mount=type=bind,from=x,target=/a true', { paths: [] }],
  ['RUN --mount=type=secret,id=a --mount=type=secret,target=/b/c true', { secrets: ['a', 'c'] }],
  ['RUN --mount=type=ssh --mount=type=ssh,id=k true', { agents: ['default', 'k'] }],
];
for (const [dockerfile, wanted] of NEEDS)
  test(`needs of ${JSON.stringify(dockerfile)}`, (t) => {
    const found = needsOf(parseDockerfile(Buffer.from(`FROM box AS one\nFROM one\n${dockerfile}\n`)));
    for (const [key, value] of Object.entries(wanted)) t.deepEqual(found[key as keyof typeof found], value);
    t.deepEqual(found.bases, ['box']);
  });

const NAMED: [dockerfile: string, wanted: string[] | undefined][] = [
  ['COPY --from=n a ./b/ /x/\nCOPY --from=docker.io/library/n:latest c /x', ['a', 'b', 'c']],
  ['RUN --mount=from=n,source=a,target=/a --mount=type=cache,from=n,source=b,target=/b true', ['a', 'b']],
  ['COPY --from=n a /\nRUN --mount=from=n,target=/a true', undefined],
  ['COPY --from=n a /\nCOPY --from=n $b /', undefined],
  ['COPY --from=n a /\nFROM n', undefined],
  ['COPY --from=n a /\nFROM scratch AS N', undefined],
  ['COPY a /', undefined],
];
for (const [dockerfile, wanted] of NAMED)
  test(`what is read from n in ${JSON.stringify(dockerfile)}`, (t) => {
    const { named } = needsOf(parseDockerfile(Buffer.from(`FROM box\n${dockerfile}\n`)));
    t.deepEqual([named.has('n:latest'), named.get('n:latest')], [dockerfile !== 'COPY a /', wanted]);
  });

const STAGES = [
  'FROM box AS a\nCOPY of-a /',
  'FROM box\nCOPY of-1 /',
  'FROM a AS c\nCOPY --from=1 /x /\nCOPY of-c /',
  'FROM box AS D\nRUN --mount=type=secret,id=s --mount=from=c,target=/c true\nCOPY of-d /',
  'FROM box AS e\nCOPY of-e /',
].join('\n');
const OF_TARGETS: [target: string | undefined, paths: string[], more?: string][] = [
  [undefined, ['of-e']],
  ['a', ['of-a']],
  ['1', ['of-1']],
  ['c', ['of-a', 'of-1', 'of-c']],
  ['d', ['of-a', 'of-1', 'of-c', 'of-d']],
  ['nosuch', ['of-a', 'of-1', 'of-c', 'of-d', 'of-e']],
  ['f', ['of-a', 'of-1', 'of-c', 'of-d', 'of-e'], '\nFROM $X AS f'],
];
for (const [target, paths, more = ''] of OF_TARGETS)
  test(`what the target ${target} reads`, (t) => {
    const needs = needsOf(parseDockerfile(Buffer.from(`ARG X\n${STAGES}${more}`)), target);
    t.deepEqual(needs.paths?.toSorted(), paths.toSorted());
    t.deepEqual(needs.secrets, ['s']);
  });

test('patterns of an ignore file', (t) => {
  const file = '\ufeff# no\n\n  a  \n/b/\n!c\n ! ./d//e\n*.o\n';
  t.deepEqual(ignorePatterns(Buffer.from(file)), ['a', 'b', '!c', '!d/e', '*.o']);
});

/** Runs events through a status. @returns what each message has: field numbers and the texts of their first fields */
async function told(events: Partial<BuildEvent>[]) {
  const status = new BuildStatus('ref');
  for (const event of events) status.event({ at: 1, ...event } as BuildEvent);
  status.end();
  const found: Fields[] = [];
  for await (const each of status.messages) found.push(new Fields(each));
  return found;
}

test('a step is a vertex that begins and ends, what it says is its log', async (t) => {
  const found = await told([
    { type: 'start', step: 1, name: '[1/1] RUN x' },
    { type: 'output', step: 1, stream: 'stderr', data: Buffer.from('hi') },
    { type: 'message', step: 1, text: 'note' },
    { type: 'end', step: 1, outcome: 'error', error: 'why' },
  ]);
  const [begun, log, note, over] = found;
  t.is(found.length, 4);
  t.is(begun!.message(1)!.text(3), '[1/1] RUN x');
  t.regex(begun!.message(1)!.text(1), /^sha256:[0-9a-f]{64}$/);
  t.true(begun!.message(1)!.has(5) && !begun!.message(1)!.has(6));
  t.is(log!.message(3)!.integer(3), 2);
  t.is(log!.message(3)!.text(4), 'hi');
  t.is(note!.message(2)!.text(1), 'note');
  t.is(over!.message(1)!.text(7), 'why');
  t.is(over!.message(1)!.text(1), begun!.message(1)!.text(1));
});

test('a transfer that is open at the end of its step is over then', async (t) => {
  const found = await told([
    { type: 'start', step: 1, name: 'pull' },
    { type: 'transfer', step: 1, id: 'abc', text: 'Downloading', current: 3, total: 9 },
    { type: 'end', step: 1, outcome: 'canceled' },
  ]);
  const statuses = found.flatMap((each) => each.message(2) ?? []);
  t.deepEqual(
    statuses.map((each) => [each.text(1), each.integer(4), each.integer(5), each.has(8)]),
    [
      ['abc', 3, 9, false],
      ['abc', 3, 9, true],
    ],
  );
  t.is(found.at(-1)!.message(1)!.text(7), 'context canceled');
});

test('what a slow client does not read is left out, and said', async (t) => {
  const output = { type: 'output', step: 1, stream: 'stdout', data: Buffer.alloc(100_000) } as const;
  const found = await told([
    { type: 'start', step: 1, name: 'x' },
    ...Array.from({ length: 50 }, () => output),
    { type: 'end', step: 1, outcome: 'done' },
  ]);
  t.true(found.length < 20);
  t.true(found.some((each) => each.message(3)?.text(4).includes('output clipped')));
  t.true(found.at(-1)!.message(1)!.has(6));
});
