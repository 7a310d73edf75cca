/** The flags of `build`: what they become, and what is refused in one line. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { BuildOptions } from '../../src/engine/build-contract.ts';
import { BuildFailed } from '../../src/engine/build/failure.ts';
import type { Engine } from '../../src/engine/contract.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { husk } from './fake-context.ts';

const folder = temporaryFolder('husk-build-flags-');
const secret = join(folder, 'secret');
writeFileSync(secret, 'hush');

async function asked(words: string[], env: NodeJS.ProcessEnv = {}): Promise<BuildOptions> {
  let found: BuildOptions | undefined;
  const engine: Partial<Engine> = {
    build: async (options) => {
      found = options;
      return { id: `sha256:${'a'.repeat(64)}`, manifest: undefined, names: [], warnings: [] };
    },
  };
  const { code, stderr } = await husk(['build', ...words], { engine, env: { DOCKER_CONFIG: folder, ...env } });
  if (!found) throw new Error(`${code}: ${stderr}`);
  return found;
}

const GIVES: [string[], Partial<BuildOptions>, NodeJS.ProcessEnv?][] = [
  [['.'], { context: { kind: 'folder', path: '.' }, tags: [], noCache: [], network: 'default', outputs: [] }],
  [['-t', 'a', '-t', 'b:1', '.'], { tags: ['a', 'b:1'] }],
  [['-f', 'x', '.'], { dockerfile: { path: 'x' } }],
  [
    ['--build-arg', 'A=1', '--build-arg', 'B', '--build-arg', 'C', '.'],
    { buildArgs: { A: '1', B: 'two' } },
    { B: 'two' },
  ],
  [['.'], { buildArgs: { SOURCE_DATE_EPOCH: '7' } }, { SOURCE_DATE_EPOCH: '7' }],
  [['--build-arg', 'SOURCE_DATE_EPOCH=', '.'], { buildArgs: { SOURCE_DATE_EPOCH: '' } }, { SOURCE_DATE_EPOCH: '7' }],
  [
    ['--build-context', 'A=/x', '--build-context', 'b=docker-image://box', '.'],
    { contexts: { a: { kind: 'folder', path: '/x' }, b: { kind: 'image', reference: 'box' } } },
  ],
  [['--no-cache', '.'], { noCache: true }],
  [['--no-cache-filter', 'a,b', '.'], { noCache: ['a', 'b'] }],
  [['--label', 'a=1', '--label', 'b', '.'], { labels: { a: '1', b: '' } }],
  [['--annotation', 'manifest:a=b=c', '--annotation', 'd=', '.'], { annotations: { a: 'b=c', d: '' } }],
  [['--add-host', 'a:1.2.3.4', '.'], { extraHosts: ['a:1.2.3.4'] }],
  [['--secret', `id=s,src=${secret}`, '.'], { secrets: [{ id: 's', value: Buffer.from('hush') }] }],
  [['--secret', 'id=S', '.'], { secrets: [{ id: 'S', value: Buffer.from('v') }] }, { S: 'v' }],
  [['--secret', 'id=s,env=S', '.'], { secrets: [{ id: 's', value: Buffer.from('v') }] }, { S: 'v' }],
  [['--allow', 'network.host', '--network', 'host', '.'], { allow: ['network.host'], network: 'host' }],
  [['https://x/y.tgz'], { context: { kind: 'remote', url: 'https://x/y.tgz', isGit: false } }],
  [['-f', 'd', 'git@x:y#z'], { context: { kind: 'remote', url: 'git@x:y#z', isGit: true }, dockerfile: { path: 'd' } }],
  [['github.com/x/y'], { context: { kind: 'remote', url: 'https://github.com/x/y', isGit: true } }],
  [
    ['--build-context', 'a=https://x/y.git', '.'],
    { contexts: { a: { kind: 'remote', url: 'https://x/y.git', isGit: true } } },
  ],
  [['-o', 'out', '.'], { outputs: [{ type: 'local', folder: 'out' }] }],
  [['-o', 'type=image,name=a', '.'], { outputs: [{ type: 'image', name: 'a' }] }],
  [['-o', 'type=image,name=a,push=false', '.'], { outputs: [{ type: 'image', name: 'a' }] }],
  [['-o', 'type=image,"name=a,b:1",push=1', '.'], { outputs: [{ type: 'image', name: 'a,b:1', push: true }] }],
  [['-o', 'type=registry,name=a', '.'], { outputs: [{ type: 'image', name: 'a', push: true }] }],
  [['-t', 'a', '--push', '.'], { outputs: [{ type: 'image', push: true }] }],
  [['-t', 'a', '--push', '--load', '.'], { outputs: [{ type: 'image', push: true }] }],
  [
    ['-t', 'a', '--push', '-o', 'x', '.'],
    {
      outputs: [
        { type: 'local', folder: 'x' },
        { type: 'image', push: true },
      ],
    },
  ],
  [['--push', '-o', 'type=image,name=a', '.'], { outputs: [{ type: 'image', name: 'a', push: true }] }],
  [['-o', 'type=cacheonly', '.'], { outputs: [{ type: 'cacheonly' }] }],
  [['--load', '.'], { outputs: [] }],
  [['--load', '-o', 'x', '.'], { outputs: [{ type: 'local', folder: 'x' }, { type: 'image' }] }],
  [
    ['--cache-from', 'a,b:1', '--cache-from', 'type=local,src=/x,tag=t', '.'],
    {
      cacheFrom: [
        { type: 'registry', reference: 'a' },
        { type: 'registry', reference: 'b:1' },
        { type: 'local', folder: '/x', tag: 't' },
      ],
    },
  ],
  [
    ['--cache-to', 'a', '--cache-to', 'type=local,dest=x,mode=max,ignore-error=true', '--cache-to', 'type=inline', '.'],
    {
      cacheTo: [
        { type: 'registry', reference: 'a', mode: 'min', compression: 'gzip', ignoreError: false },
        { type: 'local', folder: 'x', mode: 'max', compression: 'uncompressed', ignoreError: true },
        { type: 'inline' },
      ],
    },
  ],
  [
    ['-m', '1g', '--memory-swap=-1', '--cpus', '1.5', '-c', '7', '--cpuset-cpus', '0', '--cgroup-parent', 'x', '.'],
    {
      limits: { memory: 2 ** 30, memorySwap: -1, cpus: 1.5, cpuShares: 7, cpusetCpus: '0' },
      cgroupParent: 'x',
    },
  ],
  [
    ['--provenance=false', '--sbom=false', '--attest=type=sbom,disabled=true', '--rm', '--compress', '--load', '.'],
    { tags: [] },
  ],
  [
    ['--ulimit', 'nofile=5', '--shm-size', '1m', '.'],
    { ulimits: [{ name: 'nofile', soft: 5, hard: 5 }], shmSize: 1 << 20 },
  ],
];
for (const [words, expected, env] of GIVES)
  test.serial(`build ${words.join(' ').replace(folder, '…')} ${env ? JSON.stringify(env) : ''}`, async (t) =>
    t.like(await asked(words, env), expected),
  );

const NO: [string[], number, RegExp][] = [
  [['--isolation=x', '.'], 125, /is none of auto, vm, userns/],
  [['https://example.org/x.git?depth=1'], 125, /unexpected query "depth"/],
  [['git@example.org:-x'], 125, /begins with -/],
  [['--squash', '.'], 125, /--squash: /],
  [['--device', 'x', '.'], 125, /--device: /],
  [['--cache-from', 'type=gha', '.'], 125, /type="gha" is none of registry, local$/m],
  [['--cache-from', 'type=inline', '.'], 125, /type="inline" is none of registry, local$/m],
  [['--cache-from', 'type=local', '.'], 125, /type=local needs src=FOLDER/],
  [['--cache-from', 'type=local,src=x,tag=../y', '.'], 125, /"\.\.\/y" is no tag/],
  [['--cache-from', 'type=registry,ref=a,src=b', '.'], 125, /type=registry has no src/],
  [['--cache-from', 'UPPER', '.'], 125, /^Error: --cache-from: "UPPER": invalid reference format/],
  [['--cache-to', 'type=s3', '.'], 125, /type="s3" is none of registry, local, inline/],
  [['--cache-to', 'type=registry', '.'], 125, /needs ref=IMAGE/],
  [['--cache-to', `a@sha256:${'a'.repeat(64)}`, '.'], 125, /written to a tag, not to a digest/],
  [['--cache-to', 'type=registry,ref=a,mode=all', '.'], 125, /mode="all" is none of min, max/],
  [['--cache-to', 'type=registry,ref=a,compression=xz', '.'], 125, /"xz" is none of gzip, zstd, uncompressed/],
  [['--cache-to', 'type=registry,ref=a,oci-mediatypes=false', '.'], 125, /oci-mediatypes=false is not there/],
  [['--cache-to', 'type=registry,ref=a,ignore-error=maybe', '.'], 125, /neither true nor false/],
  [['--cache-to', 'type=inline,mode=max', '.'], 125, /type=inline has no mode/],
  [['--provenance=mode=max', '.'], 125, /husk makes no attestations/],
  [['--attest', 'type=sbom', '.'], 125, /^Error: --attest type=sbom: husk makes no attestations$/m],
  [['--push', '.'], 125, /^Error: tag is needed when pushing to registry$/m],
  [['-o', 'type=registry', '.'], 125, /^Error: tag is needed when pushing to registry$/m],
  [['-o', 'type=image,push=true', '-o', 'x', '.'], 125, /tag is needed when pushing to registry/],
  [['-o', 'type=image,name=a,push=maybe', '.'], 125, /push="maybe" is neither true nor false/],
  [['-o', `type=registry,name=a@sha256:${'a'.repeat(64)}`, '.'], 125, /refusing to create a tag with a digest/],
  [['-o', 'type=registry,name=UPPER', '.'], 125, /invalid argument "UPPER" for "--output" flag: invalid reference/],
  [['-o', secret, '.'], 125, /^Error: --output: destination directory \S+ is a file$/m],
  [['-o', `type=tar,dest=${folder}`, '.'], 1, /^Error: cannot write \S+: it is a directory$/m],
  [['-o', 'type=oci,dest=/nope/x', '.'], 1, /^Error: invalid output path: directory "\/nope" does not exist$/m],
  [['--iidfile', folder, '.'], 1, /^Error: cannot write \S+: it is a directory$/m],
  [['--metadata-file', '/nope/x', '.'], 1, /^Error: invalid output path: directory "\/nope" does not exist$/m],
  [['--annotation', 'x', '.'], 125, /^Error: invalid annotation "x": expected key=value$/m],
  [['--annotation', 'manifest:=x', '.'], 125, /expected key=value/],
  [['--annotation', 'index[linux/amd64]:a=b', '.'], 125, /an image has annotations of its manifest alone/],
  [['--platform', 'x', '.'], 125, /unknown operating system or architecture/],
  [['-o', 'type=x', '.'], 125, /"x" is none of local, tar, oci, docker, image, registry, cacheonly/],
  [['-o', 'type=local', '.'], 125, /needs dest=FOLDER/],
  [['-o', 'type=oci,dest=x,tar=false', '.'], 125, /tar=false is not there: an archive is one file/],
  [['-o', 'type=oci,dest=x,tar=maybe', '.'], 125, /tar="maybe" is neither true nor false/],
  [['-o', 'type=tar,dst=x', '.'], 125, /unexpected key 'dst'/],
  [['-o', '-', '-o', 'type=oci', '.'], 125, /two outputs cannot both go to STDOUT/],
  [['--secret', 'id=s,src=/nope', '.'], 125, /cannot read \/nope: no such file or directory/],
  [['--secret', 'id=s,env=NOPE', '.'], 125, /the variable NOPE is not set/],
  [['--secret', 'id=s,src=a,env=B', '.'], 125, /both src and env/],
  [['--secret', 'src', '.'], 125, /is not key=value/],
  [['--ssh', 'k=/nope', '.'], 125, /--ssh k: \/nope: no such file or directory/],
  [['--ssh', `k=${secret}`, '.'], 125, /--ssh k: \S+ is neither the socket of an agent nor a private key/],
  [['--ssh', `k=${folder}`, '.'], 125, /--ssh k: \S+ is neither a socket nor a file/],
  [['--ssh', `=${secret}`, '.'], 125, /it has no id/],
  [['--ssh', 'default', '.'], 125, /SSH_AUTH_SOCK is not set/],
  [['--allow', 'x', '.'], 125, /is none of network.host, security.insecure/],
  [['--network', 'mine', '.'], 125, /RUN steps have default, none or host/],
  [['--platform', 'linux/amd64,never', '.'], 125, /"never": unknown operating system/],
  [['--build-context', 'a', '.'], 125, /is not NAME=SOURCE/],
  [['--build-context', 'a=docker-image://B C', '.'], 125, /^Error: --build-context a: invalid reference format: /],
  [['--build-context', 'a=oci-layout://', '.'], 125, /names no folder/],
  [['--build-context', 'a=oci-layout://x:1@sha256:5', '.'], 125, /"sha256:5" is no sha256 digest/],
  [['--build-context', 'a=https://x/y.git#-z', '.'], 125, /no name of a branch/],
  [['--progress', 'x', '.'], 125, /is none of auto, tty, plain, rawjson, quiet/],
  [['--progress', 'tty', '.'], 125, /STDERR is not a terminal/],
  [['-f', '-', '-'], 125, /cannot use stdin for both build context and dockerfile/],
  [['-t', 'UPPER', '.'], 125, /^Error: invalid argument "UPPER" for "-t, --tag" flag: invalid reference format/],
  [['--call', 'other', '.'], 125, /--call: "other" is none of build, check, outline, targets\n/],
  [['--call', 'outline,targets', '.'], 125, /invalid print value: outline,targets/],
  [['--call', 'outline,form=json', '.'], 125, /invalid print field: form=json/],
  [['--call', 'outline,format=xml', '.'], 125, /format="xml" is none of text, json/],
  [['--call', 'check,ignorestatus=perhaps', '.'], 125, /invalid ignorestatus print value: perhaps/],
  [['--call', '"', '.'], 125, /--call: "\\"": parse error/],
];
for (const [words, code, stderr] of NO)
  test.serial(`says no to: build ${words.join(' ')}`, async (t) => {
    const found = await husk(['build', ...words], { engine: {}, env: { DOCKER_CONFIG: folder } });
    t.regex(found.stderr, stderr);
    t.is(found.code, code);
    t.is(found.stdout, '');
  });

const CALLS: [string[], RegExp, number?][] = [
  [['--call', 'outline'], /^BUILD ARG {3}VALUE {3}DESCRIPTION\nA/],
  [['--print', 'outline'], /^BUILD ARG/],
  [['--call', 'outline,format=json'], /^\{\n {2}"args": \[/],
  [['--call', 'targets'], /^TARGET +DESCRIPTION\n/],
  [['--call', 'targets,format=json'], /^\{\n {2}"targets": \[/],
  [['--call', 'format=json,targets'], /^\{\n {2}"targets": \[/],
  [['--check'], /^Check complete, 1 warning has been found!/, 1],
  [['--call', 'lint'], /^Check complete, 1 warning/, 1],
  [['--call', 'check,ignorestatus=true'], /^Check complete, 1 warning/],
  [['--call', 'check,format=json'], /^\{\n {2}"warnings": \[/, 1],
  [['--call', 'outline,format=json', '--check'], /^\{\n {2}"warnings": \[/, 1],
];
for (const [words, stdout, code = 0] of CALLS)
  test(`answers, and builds nothing: ${words.join(' ')}`, async (t) => {
    const range = { start: 1, end: 1 };
    const bytes = Buffer.from('');
    const warning = { rule: 'R', message: 'm', description: '', url: '', range };
    const argument = { name: 'A', description: '', value: '', range };
    const engine: Partial<Engine> = {
      checkBuild: async () => ({ warnings: [warning], lines: [''], file: 'Dockerfile', bytes }),
      outlineBuild: async () => ({ name: '', description: '', arguments: [argument], secrets: [], agents: [], bytes }),
      buildTargets: async () => ({ targets: [], bytes }),
    };
    const found = await husk(['build', ...words, '.'], { engine, env: { DOCKER_CONFIG: folder } });
    t.regex(found.stdout, stdout);
    t.is(found.code, code);
  });

test('a file that cannot be built is an error of the check as JSON too', async (t) => {
  const place = { file: 'Dockerfile', lines: ['FROM'], range: { start: 1, end: 1 } };
  const engine: Partial<Engine> = {
    checkBuild: () => Promise.reject(new BuildFailed('no base', { kind: 'invalid', cause: undefined, place })),
  };
  const found = await husk(['build', '--call', 'check,format=json', '.'], { engine, env: { DOCKER_CONFIG: folder } });
  t.like(JSON.parse(found.stdout), { buildError: { message: 'no base' } });
  t.regex(found.stderr, /ERROR: failed to solve: no base/);
  t.is(found.code, 1);
});

test('-q prints the id, and files have it', async (t) => {
  const engine: Partial<Engine> = {
    build: async () => ({ id: `sha256:${'a'.repeat(64)}`, manifest: 'sha256:m', names: ['x:1', 'y:1'], warnings: [] }),
  };
  const [iid, metadata] = [join(folder, 'iid'), join(folder, 'metadata')];
  const words = ['build', '-q', '--iidfile', iid, '--metadata-file', metadata, '.'];
  t.deepEqual(await husk(words, { engine }), { code: 0, stdout: `sha256:${'a'.repeat(64)}\n`, stderr: '' });
  const { readFileSync } = await import('node:fs');
  t.is(readFileSync(iid, 'utf8'), `sha256:${'a'.repeat(64)}`);
  t.deepEqual(JSON.parse(readFileSync(metadata, 'utf8')), {
    'containerimage.config.digest': `sha256:${'a'.repeat(64)}`,
    'containerimage.digest': 'sha256:m',
    'image.name': 'x:1,y:1',
  });
});

for (const [what, words, env, drawn] of [
  ['a terminal', [], { TERM: 'xterm' }, true],
  ['a dumb terminal', [], { TERM: 'dumb' }, false],
  ['a dumb terminal that is asked for', ['--progress=tty'], { TERM: 'dumb' }, true],
  ['a terminal that is to have lines', ['--progress=plain'], { TERM: 'xterm' }, false],
] as const)
  test(`progress on ${what}`, async (t) => {
    const engine: Partial<Engine> = {
      build: async (_, { onEvent } = {}) => {
        onEvent?.({ type: 'start', at: 0, step: 1, name: 'RUN x' });
        return { id: undefined, manifest: undefined, names: [], warnings: [] };
      },
    };
    const terminal = { columns: 80, rows: 24 };
    const { stderr } = await husk(['build', ...words, '.'], {
      engine,
      terminal,
      env: { DOCKER_CONFIG: folder, ...env },
    });
    t.is(stderr.includes('\x1b['), drawn, stderr);
    t.is(stderr.includes('#1 RUN x'), !drawn, stderr);
  });
