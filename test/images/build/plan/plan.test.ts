/** The planner: scopes, operations, stages and what they need, triggers, contexts, bounds. */
import test from 'ava';
import { HuskError } from '../../../../src/errors.ts';
import { parseDockerfile } from '../../../../src/images/build/dockerfile/parse.ts';
import {
  BuildError,
  type CopyOperation,
  type PlanOptions,
  type RunOperation,
} from '../../../../src/images/build/operations.ts';
import { planBuild } from '../../../../src/images/build/plan/plan.ts';
import type { ImageConfig } from '../../../../src/images/store/contract.ts';
import { BOX, planOptions } from './options.ts';

const parse = (text: string) => parseDockerfile(new TextEncoder().encode(text));
const plan = (text: string, more: Partial<PlanOptions> = {}) => planBuild(parse(text), planOptions(more));
const built = async (text: string, more: Partial<PlanOptions> = {}) => {
  const { stages, target } = await plan(text, more);
  return stages.find(({ index }) => index === target)!;
};
const runs = async (text: string, more: Partial<PlanOptions> = {}) =>
  (await built(text, more)).operations.filter((operation): operation is RunOperation => operation.kind === 'run');
const copies = async (text: string, more: Partial<PlanOptions> = {}) =>
  (await built(text, more)).operations.filter((operation): operation is CopyOperation => operation.kind === 'copy');
const withConfig = (config: ImageConfig['config']) => ({ baseConfig: async () => ({ ...BOX, config }) });
const args = (given: Record<string, string>) => ({ buildArgs: new Map(Object.entries(given)) });
const PATH = BOX.config!.Env![0]!;

const environment = test.macro({
  async exec(t, lines: string, expected: string[], more: Partial<PlanOptions> = {}) {
    const [run] = await runs(`${lines}\nRUN x`, more);
    t.deepEqual(run!.env, [PATH, ...expected]);
  },
  title: (_, lines?: unknown, _expected?: unknown, more?: unknown) =>
    `environment: ${JSON.stringify(lines)}${more ? ' with arguments' : ''}`,
});
test(environment, 'FROM a\nENV A=1\nARG B=2\nARG C', ['A=1', 'B=2']);
test(environment, 'FROM a\nENV A=1 B=$A\nENV A=2', ['A=2', 'B=']);
test(environment, 'FROM a\nENV V=env\nARG V=arg', ['V=arg']);
test(environment, 'FROM a\nARG V=arg\nENV V=env', ['V=env'], args({ V: 'cli' }));
test(environment, 'FROM a\nENV V=env\nARG V', ['V=cli'], args({ V: 'cli' }));
test(environment, 'FROM a AS b\nENV V=env\nFROM b\nARG V=arg', ['V=arg']);
test(environment, 'FROM a AS b\nENV V=env\nARG V=arg W=w\nFROM b', ['V=env', 'W=w']);
test(environment, 'ARG G=g\nARG H=${G}2\nFROM a\nARG H', ['H=g2']);
test(environment, 'ARG G=g\nFROM a', []);
test(environment, 'ARG G\nFROM a\nARG G', []);
test(environment, 'ARG G=g\nFROM a\nARG G=own', ['G=own']);
test(environment, 'FROM a\nARG V=${X:?unset}', ['V=given'], args({ V: 'given' }));
test(environment, 'FROM a\nARG TARGETARCH TARGETOS TARGETSTAGE', [
  'TARGETARCH=amd64',
  'TARGETOS=linux',
  'TARGETSTAGE=default',
]);
test(environment, 'FROM a\nARG __proto__=x constructor', ['__proto__=x']);

test('proxies reach RUN unseen by history, unless an ARG declares them', async (t) => {
  const given = args({ HTTP_PROXY: 'http://u:p@h', no_proxy: 'x' });
  const [run] = await runs('FROM a\nRUN x', given);
  t.deepEqual(run!.hidden, ['HTTP_PROXY=http://u:p@h', 'http_proxy=http://u:p@h', 'NO_PROXY=x', 'no_proxy=x']);
  t.deepEqual([run!.env, run!.createdBy], [[PATH], 'RUN /bin/sh -c x # buildkit']);
  const [declared] = await runs('FROM a\nARG HTTP_PROXY\nRUN x', given);
  t.deepEqual(declared!.env, [PATH, 'HTTP_PROXY=http://u:p@h']);
  t.false(declared!.hidden.some((entry) => entry.startsWith('HTTP_PROXY=')));
});

test('build arguments that no ARG takes', async (t) => {
  const given = args({ NOPE: '1', YES: '2', HTTP_PROXY: '3', SOURCE_DATE_EPOCH: '0', BUILDKIT_X: '4' });
  t.deepEqual((await plan('ARG YES\nFROM a', given)).unusedArgs, ['NOPE']);
});

test('a RUN: words, place, owner, network', async (t) => {
  const file = 'FROM a\nSHELL ["/bin/sh","-ec"]\nWORKDIR /w\nUSER u:g\nRUN --network=none --security=insecure a  b';
  const [run] = await runs(file);
  t.like(run!, { argv: ['/bin/sh', '-ec', 'a  b'], cwd: '/w', user: 'u:g', network: 'none', insecure: true });
  const [exec] = await runs('FROM a\nRUN ["a","b c"]');
  t.like(exec!, { argv: ['a', 'b c'], cwd: '/', user: '', network: 'default', insecure: false });
  t.is(exec!.createdBy, 'RUN a b c # buildkit');
});

test('a RUN does not go through ENTRYPOINT', async (t) => {
  const [run] = await runs('FROM a\nENTRYPOINT ["/no/such"]\nRUN x', withConfig({ Entrypoint: ['/none'] }));
  t.deepEqual(run!.argv, ['/bin/sh', '-c', 'x']);
});

test('a build argument that is as its default plans the same steps, history and all', async (t) => {
  const file = 'FROM a\nRUN before\nARG V=3\nRUN echo $V';
  const plain = await built(file);
  t.deepEqual(await built(file, args({ V: '3' })), plain);
  t.notDeepEqual(await built(file, args({ V: '4' })), plain);
});

const hereDocument = test.macro({
  async exec(t, text: string, argv: string[], files: RunOperation['files'] = []) {
    const [run] = await runs(`FROM a\n${text}`);
    t.deepEqual([run!.argv, run!.files], [['/bin/sh', '-c', ...argv], files]);
  },
  title: (_, text?: unknown) => `here-document: ${JSON.stringify(text)}`,
});
test(hereDocument, 'RUN <<E\na $X\nb\nE', ['a $X\nb\n']);
test(hereDocument, 'RUN <<-E\n\ta\n\tE', ['a\n']);
test(hereDocument, 'RUN <<E sh\na\nE', ['<<E sh\na\nE']);
test(hereDocument, 'RUN cat <<-"A" <<B\n\ta\nA\nb\nB', ['cat <<-"A" <<B\n\ta\nA\nb\nB']);
test(hereDocument, 'RUN <<-"E" sh\n\t# `a`\n\tE', ['<<-"E" sh\n\t# `a`\nE']);
test(hereDocument, 'RUN <<E\n#!/bin/x\ny\nE', ['/dev/pipes/E'], [{ name: 'E', data: '#!/bin/x\ny\n' }]);

test('what progress shows: one line, variables as they are, no secrets', async (t) => {
  const file = 'FROM a\nARG V=1 API_TOKEN=hush\nrun echo "$V" \\\n  ${API_TOKEN} $NOPE\nRUN <<E\nx\ny\nE';
  const [run, document] = await runs(file);
  t.is(run!.text, 'RUN echo "1"   ${API_TOKEN} $NOPE');
  t.is(document!.text, 'RUN <<E (x...)');
  const [long] = await runs(`FROM a\nRUN ${'x'.repeat(1 << 20)}`);
  t.is(long!.text.length, 4097);
});

const mount = test.macro({
  async exec(t, text: string, expected: object) {
    const file = `FROM a AS s\nFROM a\nARG D=dir\nWORKDIR /w\nRUN --mount=${text} x`;
    const [run] = await runs(file);
    t.deepEqual(run!.mounts, [expected] as never);
  },
  title: (_, text?: unknown) => `mount: ${String(text)}`,
});
const CONTEXT = { kind: 'context' };
test(mount, 'target=/m', { type: 'bind', target: '/m', from: CONTEXT, source: '.', readOnly: true });
test(mount, 'type=bind,source=../$D/x/,target=m,rw', {
  type: 'bind',
  target: '/w/m',
  from: CONTEXT,
  source: 'dir/x',
  readOnly: false,
});
test(mount, 'from=s,source=/a,dst=/m', {
  type: 'bind',
  target: '/m',
  from: { kind: 'stage', stage: 0 },
  source: 'a',
  readOnly: true,
});
test(mount, 'from=some/image', {
  type: 'bind',
  target: '/w',
  from: { kind: 'image', reference: 'docker.io/some/image:latest' },
  source: '.',
  readOnly: true,
});
test(mount, 'type=cache,target=c/', { type: 'cache', target: '/w/c', id: '/w/c', sharing: 'shared', readOnly: false });
test(mount, 'type=cache,target=/c,id=k,sharing=LOCKED,mode=0750,uid=1,gid=2,from=s,ro', {
  type: 'cache',
  target: '/c',
  id: 'k',
  sharing: 'locked',
  readOnly: true,
  from: { kind: 'stage', stage: 0 },
  source: '.',
  mode: 0o750,
  uid: 1,
  gid: 2,
});
test(mount, 'type=tmpfs,target=/t,size=1m', { type: 'tmpfs', target: '/t', size: 1 << 20 });
const secret = { type: 'secret', required: false, mode: 0o400 };
test(mount, 'type=secret,id=s', { ...secret, id: 's', target: '/run/secrets/s' });
test(mount, 'type=secret,id=../../etc/x', { ...secret, id: '../../etc/x', target: '/run/secrets/x' });
test(mount, 'type=secret,target=/a/b,required,mode=0440,uid=1', {
  ...secret,
  id: 'b',
  target: '/a/b',
  required: true,
  mode: 0o440,
  uid: 1,
});
test(mount, 'type=secret,id=s,env=S', { ...secret, id: 's', target: '', env: 'S' });
test(mount, 'type=ssh', { type: 'ssh', id: 'default', target: '', required: false, mode: 0o600 });
test(mount, 'type=tmpfs,\\"target=/a,b\\"', { type: 'tmpfs', target: '/a,b' });

const copy = test.macro({
  async exec(t, line: string, expected: object) {
    const file = `FROM a AS s\nFROM a\nARG D=dir U=u:g\nWORKDIR /w\n${line}`;
    t.like((await copies(file))[0]!, expected);
  },
  title: (_, line?: unknown) => `copy: ${JSON.stringify(line)}`,
});
const path = (written: string, cleaned = written) => ({ kind: 'path', path: cleaned, written });
test(copy, 'COPY a ../b/$D d', { sources: [path('a'), path('../b/dir', 'b/dir')], destination: '/w/d', add: false });
test(copy, 'COPY / .', { sources: [path('/', '.')], destination: '/w/', origin: CONTEXT });
test(copy, 'COPY a/./b/ x/', { sources: [path('a/./b/', 'a/b')], destination: '/w/x/' });
test(copy, 'COPY f ..', { destination: '/' });
test(copy, 'COPY f /a/../../b/.', { destination: '/b/' });
test(copy, 'COPY f $E', { destination: '/w/' });
test(copy, 'COPY --from=S f /', { origin: { kind: 'stage', stage: 0 }, destination: '/' });
test(copy, 'COPY --from=0 f /', { origin: { kind: 'stage', stage: 0 } });
test(copy, 'COPY --from=alpine f /', { origin: { kind: 'image', reference: 'docker.io/library/alpine:latest' } });
test(copy, 'COPY --chown=$U --chmod=u=rwX,go=rX --exclude=*.$D --exclude=b --parents --link f /', {
  chown: 'u:g',
  chmod: 'u=rwX,go=rX',
  exclude: ['*.dir', 'b'],
  parents: true,
  createdBy: 'COPY --parents --chown=u:g --chmod=u=rwX,go=rX f / # buildkit',
});
test(copy, 'COPY ["a b", "c"]', { sources: [path('a b')], destination: '/w/c' });
test(copy, 'COPY <<A f <<-"B" /d/\n$D "q" \\$D\nA\n\t$D\n\tB', {
  sources: [
    { kind: 'inline', name: 'A', data: 'dir "q" $D\n' },
    path('f'),
    { kind: 'inline', name: 'B', data: '$D\n' },
  ],
  createdBy: 'COPY f <<A <<B /d/ # buildkit',
});
const SHA = `sha256:${'0'.repeat(64)}`;
test(copy, `ADD --checksum=${SHA} https://h/x.tar /d/`, {
  add: true,
  sources: [{ kind: 'url', url: 'https://h/x.tar' }],
  checksum: SHA,
});
test(copy, 'ADD https://u:secret@h/x /d/', {
  sources: [{ kind: 'url', url: 'https://u:secret@h/x' }],
  createdBy: 'ADD https://u:xxxxx@h/x /d/ # buildkit',
});
test(copy, 'ADD --keep-git-dir https://h/x.git#v1:sub /d/', {
  sources: [{ kind: 'git', url: 'https://h/x.git#v1:sub' }],
  keepGitDir: true,
});
test(copy, 'ADD git@h:x/y.git ssh://h/x git://h/x a@b /d/', {
  sources: [
    { kind: 'git', url: 'git@h:x/y.git' },
    { kind: 'git', url: 'ssh://h/x' },
    { kind: 'git', url: 'git://h/x' },
    path('a@b'),
  ],
});
test(copy, 'ADD --unpack=false x.tar /d/', { unpack: false });

test('WORKDIR makes folders, but for the root', async (t) => {
  const { operations, config } = await built('FROM a\nUSER u\nWORKDIR a\nWORKDIR ../b\nWORKDIR /');
  t.deepEqual(
    operations.map(({ kind, createdBy }) => [kind, createdBy]),
    [
      ['config', 'USER u'],
      ['workdir', 'WORKDIR /a'],
      ['workdir', 'WORKDIR /b'],
      ['config', 'WORKDIR /'],
    ],
  );
  t.like(operations[1]!, { path: '/a', user: 'u' });
  t.is(config.config!.WorkingDir, '/');
});

test('scratch has Docker PATH and a root folder', async (t) => {
  const { base, config, text } = await built('FROM scratch');
  t.deepEqual([base, text], [{ kind: 'scratch' }, 'FROM scratch']);
  t.deepEqual(config, {
    architecture: 'amd64',
    os: 'linux',
    config: { WorkingDir: '/', Env: [PATH] },
    rootfs: { type: 'layers', diff_ids: [] },
  });
});

test('the config of the base is kept, its layers and history too, and altered for nobody else', async (t) => {
  const base = { ...BOX, author: 'x', config: { Labels: { a: '1' }, User: 'u', Env: ['A=1'] } };
  const { config } = await built('FROM a\nLABEL b=2\nENV A=2', { baseConfig: async () => base });
  t.like(config, { author: 'x', rootfs: BOX.rootfs, history: BOX.history });
  t.deepEqual(config.config, { Labels: { a: '1', b: '2' }, User: 'u', Env: ['A=2', PATH] });
  t.is(config.created, undefined);
  t.deepEqual(base.config, { Labels: { a: '1' }, User: 'u', Env: ['A=1'] });
});

const commands = test.macro({
  async exec(t, lines: string, expected: { Cmd?: string[]; Entrypoint?: string[] }) {
    const { config } = await built(`FROM a\n${lines}`, withConfig({ Cmd: ['base'], Entrypoint: ['x'] }));
    const { Cmd = [], Entrypoint = [] } = config.config!;
    t.deepEqual({ Cmd: Cmd ?? [], Entrypoint }, { Cmd: [], Entrypoint: [], ...expected });
  },
  title: (_, lines?: unknown) => `over the CMD and the ENTRYPOINT of a base: ${JSON.stringify(lines)}`,
});
test(commands, 'USER u', { Cmd: ['base'], Entrypoint: ['x'] });
test(commands, 'ENTRYPOINT ["y"]', { Entrypoint: ['y'] });
test(commands, 'CMD ["mine"]\nENTRYPOINT ["y"]', { Cmd: ['mine'], Entrypoint: ['y'] });
test(commands, 'ENTRYPOINT ["y"]\nCMD ["mine"]', { Cmd: ['mine'], Entrypoint: ['y'] });
test(commands, 'CMD []', { Entrypoint: ['x'] });
test(commands, 'ENTRYPOINT []\nCMD ["mine"]', { Cmd: ['mine'] });
test(commands, 'CMD []\nENTRYPOINT []', {});

test('healthchecks in history as Docker has them', async (t) => {
  const line =
    'HEALTHCHECK --interval=90m --timeout=1500ms --start-period=61s --start-interval=2m --retries=65 CMD ["a"]';
  const { operations } = await built(`FROM a\n${line}`);
  t.is(operations[0]!.createdBy, `HEALTHCHECK &{["CMD" "a"] "1h30m0s" "1.5s" "1m1s" "2m0s" 'A'}`);
});

// Stages

test('stages that the target does not reach are not planned, nor are their bases asked for', async (t) => {
  const asked: string[] = [];
  const baseConfig = async (reference: string) => {
    asked.push(reference);
    return BOX;
  };
  const file =
    'FROM one AS a\nFROM two AS b\nCOPY --from=nothing x /\nFROM three AS c\nRUN --mount=from=a,target=/m x\n' +
    'FROM three\nCOPY --from=c x /\nFROM four';
  const { stages, target } = await plan(file, { baseConfig, target: '3' });
  t.deepEqual([stages.map(({ index }) => index), target], [[0, 2, 3], 3]);
  t.deepEqual(asked.toSorted(), ['docker.io/library/one:latest', 'docker.io/library/three:latest']);
});
test('names shadow images, the later of two wins, case does not count', async (t) => {
  const file = 'FROM x AS B\nFROM y AS b\nFROM b AS c\nCOPY --from=B f /\nFROM C';
  const { stages } = await plan(file);
  t.deepEqual(
    stages.map(({ index, base, name }) => [index, base.kind === 'stage' ? base.stage : base.kind, name]),
    [
      [1, 'image', 'b'],
      [2, 1, 'c'],
      [3, 2, undefined],
    ],
  );
});
test('platforms of FROM', async (t) => {
  const seen: unknown[] = [];
  const baseConfig = async (_: string, platform: unknown) => {
    seen.push(platform);
    return BOX;
  };
  await plan('FROM --platform=$TARGETPLATFORM x AS a\nFROM --platform=linux/arm64 y\nCOPY --from=a f /\n', {
    baseConfig,
  });
  t.deepEqual(seen, [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
  ]);
});
test('a config as Docker writes it: empty texts, nulls', async (t) => {
  const config = { WorkingDir: '', User: '', Env: null, Cmd: null, Labels: null, Volumes: null, OnBuild: null };
  const file = 'FROM a\nRUN x\nCOPY f g\nLABEL a=b\nVOLUME /v\nONBUILD RUN y\nEXPOSE 1';
  const { operations } = await built(file, withConfig(config as unknown as ImageConfig['config']));
  t.like(operations[0]!, { cwd: '/', user: '', env: [PATH] });
  t.like(operations[1]!, { destination: '/g' });
});
test('a base that cannot be had is told with its line', async (t) => {
  const baseConfig = async () => {
    throw new HuskError('no such image', { kind: 'not-found', fix: 'pull it' });
  };
  const error = await t.throwsAsync(plan('FROM a\n', { baseConfig }), {
    instanceOf: BuildError,
    message: 'no such image',
  });
  t.deepEqual([error!.range, error!.kind, error!.fix], [{ start: 1, end: 1 }, 'not-found', 'pull it']);
});

test('triggers come first, are told as such, and are gone afterwards', async (t) => {
  const config = { OnBuild: ['ENV A=1', 'RUN echo $A', 'COPY <<E /e\n$A\nE'] };
  const stage = await built('FROM a\nENV B=$A', withConfig(config));
  t.deepEqual(
    stage.operations.map(({ createdBy, onbuild, range }) => [createdBy, onbuild, range.start]),
    [
      ['ENV A=1', true, 1],
      ['RUN /bin/sh -c echo $A # buildkit', true, 1],
      ['COPY <<E /e # buildkit', true, 1],
      ['ENV B=1', undefined, 2],
    ],
  );
  t.is(stage.config.config!.OnBuild, undefined);
});
test('triggers of a stage are for the next one, and not for that after it', async (t) => {
  const file = 'FROM a AS b\nONBUILD ENV A=1\nFROM b AS c\nFROM c';
  const { stages } = await plan(file);
  t.deepEqual(
    stages.map(({ operations, config }) => [operations.length, config.config!.OnBuild]),
    [
      [0, ['ENV A=1']],
      [1, undefined],
      [0, undefined],
    ],
  );
});
test('a trigger may name an earlier stage of the file that uses it', async (t) => {
  const later = 'FROM x AS later\nRUN z\nFROM withtrigger';
  const config = { OnBuild: ['COPY --from=later /z /z', 'RUN --mount=from=later,target=/m z'] };
  const baseConfig = async (reference: string) => (reference.includes('trigger') ? { ...BOX, config } : BOX);
  const { stages } = await plan(later, { baseConfig });
  t.deepEqual(
    stages.map(({ index }) => index),
    [0, 1],
  );
});

test('named contexts stand over stages and images', async (t) => {
  const contexts = new Map<
    string,
    { kind: 'files' } | { kind: 'image'; reference: string } | { kind: 'stage'; name: string }
  >([
    ['files', { kind: 'files' }],
    ['alpine', { kind: 'image', reference: 'box:1' }],
    ['replaced', { kind: 'image', reference: 'box:2' }],
    ['alias', { kind: 'stage', name: 'own' }],
  ]);
  const file =
    'FROM alpine:latest AS own\nFROM nowhere AS replaced\nRUN exit 1\nFROM alpine\n' +
    'COPY --from=files f /\nCOPY --from=replaced f /\nCOPY --from=alias f /';
  const { stages } = await plan(file, { contexts });
  t.deepEqual(
    stages.map(({ text }) => text),
    ['FROM docker.io/library/box:1', 'FROM docker.io/library/box:1'],
  );
  t.deepEqual(
    stages[1]!.operations.map((operation) => operation.kind === 'copy' && operation.origin),
    [
      { kind: 'context', name: 'files' },
      { kind: 'image', reference: 'docker.io/library/box:2' },
      { kind: 'stage', stage: 0 },
    ],
  );
});

for (const text of ['FROM n', 'FROM n\nFROM x AS own', 'FROM x\nCOPY --from=n a /'])
  test(`a context that stands for a stage which is not there is no image: ${JSON.stringify(text)}`, async (t) => {
    const contexts = new Map([['n', { kind: 'stage' as const, name: 'own' }]]);
    const message = '--build-context n: there is no stage "own" before this one';
    t.is((await t.throwsAsync(plan(text, { contexts })))?.message, message);
  });

test('a stage on a context of files begins with all of them', async (t) => {
  const contexts = new Map([['f', { kind: 'files' as const }]]);
  const file = 'FROM nowhere AS f\nRUN exit 1\nFROM f\nENV a=b\nFROM f:latest\nCOPY --from=1 x /';
  const { stages } = await plan(file, { contexts });
  t.deepEqual(
    stages.map(({ base, operations }) => [base.kind, ...operations.map(({ kind, text }) => `${kind} ${text}`)]),
    [
      ['scratch', 'copy FROM f', 'config ENV a=b'],
      ['scratch', 'copy FROM f', 'copy COPY --from=1 x /'],
    ],
  );
  t.like(stages[0]!.operations[0], { origin: { kind: 'context', name: 'f' }, destination: '/' });
  t.deepEqual(stages[0]!.config.config, { Env: [PATH, 'a=b'], WorkingDir: '/' });
});

test('here-documents with carriage returns are worth a note', async (t) => {
  t.deepEqual((await plan('FROM a\r\nCOPY <<E /\r\nx\r\nE\r\n')).notes, [
    'here-documents of this file have CR LF line ends, which they keep',
  ]);
  t.deepEqual((await plan('FROM a\r\nRUN <<E\nx\nE\n')).notes, []);
});

// Refusals

const refused = test.macro({
  async exec(t, text: string, message: string | RegExp, line: number | undefined, more: Partial<PlanOptions> = {}) {
    const error = await t.throwsAsync(plan(text, more), { instanceOf: BuildError, message });
    t.is(error!.range?.start, line);
  },
  title: (_, text?: unknown, message?: unknown) => `refuses ${JSON.stringify(String(text).slice(0, 80))}: ${message}`,
});
test(refused, 'FROM $NOPE', 'base name ($NOPE) should not be blank', 1);
test(refused, 'FROM Upper', /failed to parse stage name "Upper": .*must be lowercase/, 1);
test(refused, 'FROM --platform=$X a', 'empty platform value from expression $X', 1);
test(refused, 'FROM --platform=a/b/c/d a', /failed to parse platform a\/b\/c\/d/, 1);
test(refused, 'FROM a AS a\nCOPY --from=a x /', 'circular dependency detected on stage: a', 2);
test(
  refused,
  'FROM x AS a\nCOPY --from=b x /\nFROM x AS b\nCOPY --from=a x /',
  'circular dependency detected on stage: a',
  2,
  { target: 'a' },
);
test(
  refused,
  'FROM x AS a\nCOPY --from=b x /\nFROM x AS b',
  'cannot copy from stage "b", it needs to be defined before current stage "a"',
  2,
  { target: 'a' },
);
test(
  refused,
  'FROM x AS a\nRUN --mount=from=b,target=/m x\nFROM x AS b',
  'cannot mount from stage "b", it needs to be defined before current stage "a"',
  2,
  { target: 'a' },
);
test(
  refused,
  'FROM withtrigger AS one\nFROM x AS later',
  'cannot copy from stage "later", it needs to be defined before current stage "one"',
  1,
  { target: 'one', ...withConfig({ OnBuild: ['COPY --from=later /z /z'] }) },
);
test(refused, 'FROM a\nCOPY --from=7 x /', 'invalid stage index 7', 2);
test(refused, 'FROM a\nCOPY --from=$B x /', /variable expansion is not supported for --from/, 2);
test(refused, 'FROM a\nCOPY --from=scratch x /', 'cannot copy from scratch: it has no files', 2);
test(refused, 'FROM a AS build', 'target stage "biuld" could not be found (did you mean build?)', undefined, {
  target: 'biuld',
});
test(refused, 'FROM a\nRUN --mount=type=bogus,target=/t x', 'unsupported mount type "bogus"', 2);
test(
  refused,
  'FROM a\nRUN --mount=type=bind,target=/t,bind-propagation=shared x',
  /unexpected key 'bind-propagation'/,
  2,
);
test(refused, 'FROM a\nRUN --mount=target=/t,readonyl x', /invalid field 'readonyl' must be a key=value pair/, 2);
test(refused, 'FROM a\nRUN --mount=target=/t,sorce=x x', /unexpected key 'sorce' in .* \(did you mean source\?\)/, 2);
test(refused, 'FROM a\nRUN --mount=target=/ x', 'invalid mount target "/"', 2);
test(refused, 'FROM a\nRUN --mount=target=/a/.. x', 'invalid mount target "/"', 2);
test(refused, 'FROM a\nRUN --mount=type=secret,id=s,target=/ x', 'invalid mount target "/"', 2);
test(refused, 'FROM a\nRUN --mount=type=secret x', /one of source, target required/, 2);
test(refused, 'FROM a\nRUN --mount=type=secret,id=a,src=b x', "both source and id can't be set", 2);
test(refused, 'FROM a\nRUN --mount=type=secret,id=a,from=b x', 'secret mount should not have a from', 2);
test(refused, 'FROM a\nRUN --mount=type=secret,id=a,env=A=B x', 'invalid value A=B for env', 2);
test(refused, 'FROM a\nRUN --mount=target=/t,mode=0700 x', 'mode not allowed for "bind" type mounts', 2);
test(refused, 'FROM a\nRUN --mount=target=/t,sharing=locked x', 'invalid cache sharing set for bind mount', 2);
test(refused, 'FROM a\nRUN --mount=type=cache,target=/t,uid=4294967296 x', 'invalid value 4294967296 for uid', 2);
test(refused, 'FROM a\nRUN --mount=type=cache,target=/t,mode=10000 x', 'invalid value 10000 for mode', 2);
test(refused, 'FROM a\nRUN --mount=type=tmpfs,target=/t,size=x x', 'invalid value for size: x', 2);
test(refused, 'FROM a\nRUN --mount=target=/t,ro=maybe x', 'invalid value for ro: maybe', 2);
test(refused, 'FROM a\nCOPY --chmod=08 f /', /invalid chmod parameter: '08'. it should be octal/, 2);
test(refused, 'FROM a\nCOPY --chmod=10000 f /', /it should be octal string and between 0 and 07777/, 2);
test(refused, 'FROM a\nCOPY --chmod=u+q f /', "invalid chmod parameter: 'u+q'", 2);
test(refused, 'FROM a\nCOPY https://h/x /', "source can't be a URL for COPY", 2);
test(refused, 'FROM a\nCOPY git@h:x.git /', "source can't be a git ref for COPY", 2);
test(refused, `FROM a\nADD --checksum=${SHA} a b /`, "checksum can't be specified for multiple sources", 2);
test(refused, `FROM a\nADD --checksum=${SHA} a /`, 'checksum requires HTTP(S) or Git sources', 2);
test(refused, 'FROM a\nADD --checksum=sha256:1 https://h/x /', 'invalid checksum digest format: sha256:1', 2);
test(refused, 'FROM a\nCOPY <<"../x" /\nE\n../x', /cannot make a file of the here-document "..\/x"/, 2);
test(refused, 'FROM a\nRUN <<"/etc/x"\n#!/bin/sh\n/etc/x', /cannot make a file of the here-document "\/etc\/x"/, 2);
test(refused, 'FROM a\nSTOPSIGNAL SIGNOPE', 'invalid signal: SIGNOPE', 2);
test(refused, 'FROM a\nEXPOSE 1-70000', 'invalid containerPort: 1-70000', 2);
test(refused, 'FROM a\nEXPOSE 80/icmp', 'invalid proto: icmp', 2);
test(refused, 'FROM a', /cannot use the frontend evil\/x/, undefined, args({ BUILDKIT_SYNTAX: 'evil/x' }));
test(refused, 'FROM a', /invalid check option/, 1, args({ BUILDKIT_DOCKERFILE_CHECK: 'what' }));
test(refused, 'FROM a', "FROM isn't allowed as an ONBUILD trigger", 1, withConfig({ OnBuild: ['FROM b'] }));
test(refused, 'FROM a', "ONBUILD isn't allowed as an ONBUILD trigger", 1, withConfig({ OnBuild: ['ONBUILD RUN x'] }));
test(refused, 'FROM a', 'onbuild trigger should be a single expression', 1, withConfig({ OnBuild: ['RUN a\nRUN b'] }));
test(refused, 'FROM a', /unknown instruction: EVIL/, 1, withConfig({ OnBuild: ['EVIL'] }));
// a place in the trigger's own text is none in this file
test(refused, 'FROM a', 'unterminated heredoc', 1, withConfig({ OnBuild: ['RUN <<E\na\nb\nc\nd\ne\nf'] }));
test(refused, 'FROM a', 'file with no instructions', 1, withConfig({ OnBuild: ['\n\n\n\n\n'] }));
test(
  refused,
  'FROM a',
  /invalid escape token 'x'/,
  1,
  withConfig({ OnBuild: ['# check=skip=all\n# escape=x\nRUN x'] }),
);
test(refused, 'FROM a', /more than 4096 ONBUILD triggers/, 1, withConfig({ OnBuild: Array(5000).fill('RUN x') }));

// What would take for ever, or all memory

const repeat = (line: string, count: number) => Array.from({ length: count }, () => line).join('\n');
test(refused, `FROM a\nENV a=aaaaaaaaaaaaaaaa\n${repeat('ENV a=$a$a', 60)}`, /expand to more than 1048576/, 18);
test(refused, `ARG a=aaaaaaaaaaaaaaaa\n${repeat('ARG a=$a$a', 60)}\nFROM x`, /expand to more than 1048576/, 18);
test(
  refused,
  `FROM a\nENV ${'A=$B '.repeat(1)}${Array.from({ length: 9000 }, (_, i) => `A${i}=`).join(' ')}`,
  /8192 var/,
  2,
);
test(refused, `FROM a\nARG ${Array.from({ length: 9000 }, (_, i) => `A${i}`).join(' ')}`, /8192 build arg/, 2);
test(refused, `FROM a\n${repeat('EXPOSE 1-65535', 200)}`, /expand to more than/, 36);
test(
  refused,
  `FROM a\nARG A=${'x'.repeat(1 << 20)}\n${repeat('RUN x', 100)}`,
  /the variables of this file expand to more than/,
  65,
);
test(refused, `FROM a\nARG A=${'x'.repeat(1 << 16)}\n${repeat('COPY $A$A$A$A /', 1000)}`, /expand to more than/, 88);
