/**
 * Debian 13's buildx, driver docker, against husk: what a person sees, and what becomes of it. The classic builder's
 * clients are judged beside it, over the same server.
 */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import type { Engine } from '../../../src/engine/contract.ts';
import { dockerClient, type Answer } from '../../fixtures/docker-client.ts';
import { missingPlugins, putPlugins } from '../../fixtures/docker-plugins.ts';
import { missingImageTools, startRegistry } from '../../fixtures/images.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { TIMEOUT } from '../../fixtures/user.ts';
import { makeBox } from '../../engine/build/box.ts';
import { startServer, type TestServer } from '../fixture.ts';

const work = temporaryFolder('husk-buildx-');
chmodSync(work, 0o755);
const root = join(work, 'root');
const config = join(work, 'config');

let client: string | undefined;
let why = '';
let engine: Engine;
let server: TestServer;

test.before('a server over an engine with the image box', async () => {
  const found = dockerClient();
  if (typeof found === 'string') return void (why = found);
  const missing = missingPlugins();
  if (missing !== undefined) return void (why = missing);
  putPlugins(config);
  client = found.path;
  await makeBox(work, root);
  engine = await openEngine({ dataRoot: root });
  server = await startServer(engine);
});
test.after.always(async () => {
  await server?.[Symbol.asyncDispose]();
  engine?.[Symbol.dispose]();
});

let count = 0;
/** @returns a folder with these files, in which a command is run */
function folder(files: Record<string, string>): string {
  const made = join(work, `ctx-${count++}`);
  mkdirSync(made);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(made, name, '..'), { recursive: true });
    writeFileSync(join(made, name), text);
  }
  return made;
}

function docker(
  cwd: string,
  words: string[],
  { input = '', env = {} }: { input?: string | Buffer; env?: object } = {},
) {
  return new Promise<Answer>((resolve) => {
    const child = execFile(
      client!,
      words,
      {
        cwd,
        env: {
          PATH: process.env['PATH'],
          HOME: config,
          DOCKER_CONFIG: config,
          DOCKER_HOST: server.host,
          ...env,
        },
        timeout: TIMEOUT,
        maxBuffer: 16 << 20,
      },
      (error, stdout, stderr) =>
        resolve({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, stdout, stderr }),
    );
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
  });
}
const plain = (cwd: string, ...words: string[]) => docker(cwd, ['buildx', 'build', '--progress', 'plain', ...words]);

function judged(name: string, body: (t: ExecutionContext) => Promise<void>): void {
  test.serial(name, async (t) => {
    if (client === undefined) {
      t.log(why);
      return t.pass();
    }
    await body(t);
    t.deepEqual(server.bugs, []);
  });
}

judged('an image is built, shown as BuildKit shows it, and cached the second time', async (t) => {
  const cwd = folder({
    Dockerfile: 'FROM box\nARG A=1\nRUN echo said $A; echo $A >/a\nCOPY f /f\n',
    f: 'data',
    left: 'out',
  });
  const first = await plain(cwd, '-t', 'x:1', '--build-arg', 'A=7', '--label', 'l=m', '.');
  t.is(first.code, 0, first.stderr);
  t.regex(first.stderr, /^#\d+ \[internal\] load build definition from Dockerfile$/m);
  t.regex(first.stderr, /^#\d+ transferring dockerfile: \d+B (?:[\d.]+s )?done$/m);
  t.regex(first.stderr, /^#\d+ \[2\/3\] RUN echo said 7; echo 7 >\/a$/m);
  t.regex(first.stderr, /^#\d+ [\d.]+ said 7$/m);
  const image = engine.images.get('x:1');
  t.is(image.config.config?.Labels?.['l'], 'm');
  const second = await plain(cwd, '-t', 'x:2', '--build-arg', 'A=7', '--label', 'l=m', '.');
  t.is(second.stderr.match(/^#\d+ CACHED$/gm)?.length, 3, second.stderr);
  t.is(engine.images.get('x:2').id, image.id);
  const third = await plain(cwd, '--no-cache', '.');
  t.is(third.stderr.match(/^#\d+ CACHED$/gm)?.length, 1, third.stderr);
});

judged('docker build with the plugin, --load, --iidfile and --metadata-file', async (t) => {
  const cwd = folder({ Dockerfile: 'FROM box\nENV a=b\n' });
  const built = await docker(cwd, [
    'build',
    '--load',
    '-t',
    'loaded',
    '--iidfile',
    'iid',
    '--metadata-file',
    'meta',
    '.',
  ]);
  t.is(built.code, 0, built.stderr);
  const { id } = engine.images.get('loaded');
  t.is(readFileSync(join(cwd, 'iid'), 'utf8'), id);
  t.is(
    (JSON.parse(readFileSync(join(cwd, 'meta'), 'utf8')) as Record<string, unknown>)['containerimage.config.digest'],
    id,
  );
});

judged('files come back into a folder and as a tar', async (t) => {
  const cwd = folder({ Dockerfile: 'FROM scratch\nCOPY . /d/\n', 'a/b': 'data', 'z-large': 'x'.repeat(200_000) });
  const local = await plain(cwd, '-o', 'out', '.');
  t.is(local.code, 0, local.stderr);
  t.is(readFileSync(join(cwd, 'out/d/a/b'), 'utf8'), 'data');
  t.is(readFileSync(join(cwd, 'out/d/z-large')).length, 200_000);
  const tar = await plain(cwd, '-o', 'type=tar,dest=out.tar', '--target', '0', '.');
  t.is(tar.code, 0, tar.stderr);
  t.regex(execFileSync('tar', ['-tf', join(cwd, 'out.tar')], { encoding: 'utf8' }), /^d\/a\/b$/m);
});

judged('a .dockerignore holds, with names that are no ASCII', async (t) => {
  const cwd = folder({
    Dockerfile: 'FROM scratch\nCOPY . /\n',
    '.dockerignore': 'out-*\nü\n!out-in\n',
    'out-a': '',
    'out-in': '',
    ü: '',
    ö: '',
  });
  const built = await plain(cwd, '-o', 'made', '.');
  t.is(built.code, 0, built.stderr);
  t.deepEqual(readdirSync(join(cwd, 'made')).sort(), ['.dockerignore', 'Dockerfile', 'out-in', 'ö']);
});

judged('only what the Dockerfile names is transferred', async (t) => {
  const cwd = folder({ Dockerfile: 'FROM box\nCOPY small /x\n', small: 'x', large: 'y'.repeat(1 << 20) });
  const built = await plain(cwd, '.');
  t.regex(built.stderr, /transferring context: \d+B/);
  t.is(built.code, 0);
});

judged('a folder by name, with its own ignore file, is read by COPY, mounts and FROM', async (t) => {
  const cwd = folder({
    Dockerfile:
      'FROM n AS base\nFROM box AS ran\nCOPY --from=n a /a\n' +
      'RUN --mount=from=n,target=/m cat /m/a /m/d/b >/both; stat -c %u:%g /m/a /a >/owners; test ! -e /m/left\n' +
      'FROM scratch\nCOPY --from=ran a both owners /\nCOPY --from=base / /n/\nCOPY --from=context c main /c/\n',
    main: 'main',
    'other/main': 'second',
    'other/c': 'c',
    'other/.dockerignore': 'left',
    'other/a': 'first ',
    'other/d/b': 'deep',
    'other/left': 'out',
  });
  const words = ['--build-context', 'n=other', '--build-context', 'context=other'];
  const built = await plain(cwd, ...words, '-o', 'out', '.');
  t.is(built.code, 0, built.stderr);
  const read = (name: string) => readFileSync(join(cwd, 'out', name), 'utf8');
  t.deepEqual(['a', 'both', 'owners', 'c/main'].map(read), ['first ', 'first deep', '0:0\n0:0\n', 'second']);
  t.deepEqual(readdirSync(join(cwd, 'out/n')).sort(), ['.dockerignore', 'a', 'c', 'd', 'main']);
  // Three of its readers, one transfer.
  t.is(built.stderr.match(/^#\d+ \[context n\] load from client$/gm)?.length, 1, built.stderr);
  t.regex(built.stderr, /^#\d+ \[context n\] load \.dockerignore$/m);
  const again = await plain(cwd, ...words, '.');
  const steps = (stderr: string, line: RegExp) => new Set(stderr.match(line)).size;
  t.true(steps(again.stderr, /^#\d+ CACHED$/gm) >= 5, again.stderr);
  t.is(steps(again.stderr, /^#\d+ CACHED$/gm), steps(again.stderr, /^#\d+ \[.*\d\/\d\] .*/gm), again.stderr);
});

judged('of a folder by name only what is read is transferred, and of one that nothing reads nothing', async (t) => {
  const files = { 'n/small': 'x', 'n/large': 'y'.repeat(1 << 20) };
  const cwd = folder({ Dockerfile: 'FROM box\nCOPY --from=n small /x\n', ...files });
  const words = ['--build-context', 'n=n', '--build-context', 'unused=n'];
  const built = await plain(cwd, ...words, '.');
  t.is(built.code, 0, built.stderr);
  t.regex(built.stderr, /^#\d+ transferring n: \d+B (?:[\d.]+s )?done$/m);
  t.notRegex(built.stderr, /unused|MB/);
  const without = await docker(cwd, ['buildx', 'build', '--progress', 'plain', ...words, '-'], {
    input: 'FROM scratch\nCOPY --from=n large /\n',
  });
  t.is(without.code, 0, without.stderr);
  t.notRegex(without.stderr, /unused/);
});

judged('folders of additional_contexts of compose', async (t) => {
  const cwd = folder({
    'compose.yaml':
      'services:\n  s:\n    image: composed\n    build:\n      context: app\n      additional_contexts: { n: ./other }\n',
    'app/Dockerfile': 'FROM scratch\nCOPY --from=n a /a\nCMD ["x"]\n',
    'other/a': 'first',
  });
  const built = await docker(cwd, ['compose', '--progress', 'plain', 'build']);
  t.is(built.code, 0, built.stderr);
  t.is(engine.images.get('composed').layers.length, 1);
  t.regex(built.stdout + built.stderr, /\[(?:s )?context n\] load from client/);
});

judged('bake of two targets that share a folder by name', async (t) => {
  const target = (name: string) =>
    `target "${name}" {\n  context = "."\n  contexts = { n = "n" }\n  args = { A = "${name}" }\n  tags = ["bake-${name}"]\n}\n`;
  const cwd = folder({
    Dockerfile: 'FROM scratch\nARG A\nCOPY --from=n f /f\nCOPY g /$A\n',
    'n/f': 'x',
    g: 'y',
    'docker-bake.hcl': `group "default" { targets = ["one", "two"] }\n${target('one')}${target('two')}`,
  });
  const built = await docker(cwd, ['buildx', 'bake', '--progress', 'plain']);
  t.is(built.code, 0, built.stderr);
  for (const name of ['one', 'two']) t.is(engine.images.get(`bake-${name}`).layers.length, 2);
});

judged('a secret is there for its step, and missing without', async (t) => {
  const cwd = folder({
    Dockerfile: 'FROM box\nRUN --mount=type=secret,id=s,required=true wc -c </run/secrets/s\n',
    s: '12345',
  });
  const with_ = await plain(cwd, '--secret', 'id=s,src=s', '.');
  t.is(with_.code, 0, with_.stderr);
  t.regex(with_.stderr, /^#\d+ [\d.]+ 5$/m);
  const without = await plain(cwd, '--no-cache', '.');
  t.is(without.code, 1);
  t.regex(without.stderr, /secret s: not found/);
});

judged('a step that fails says where', async (t) => {
  const cwd = folder({ Dockerfile: 'FROM box AS one\nRUN true\nFROM one\nRUN echo why; exit 3\n' });
  const built = await plain(cwd, '.');
  t.is(built.code, 1);
  t.regex(
    built.stderr,
    /^#\d+ ERROR: process "\/bin\/sh -c echo why; exit 3" did not complete successfully: exit code: 3$/m,
  );
  t.regex(built.stderr, /^Dockerfile:4\n-+\n/m);
  t.regex(built.stderr, /^ {3}4 \| >>> RUN echo why; exit 3$/m);
  t.regex(
    built.stderr,
    /^ERROR: failed to solve: process "\/bin\/sh -c echo why; exit 3" did not complete successfully: exit code: 3$/m,
  );
  t.is((await plain(cwd, '--target', 'one', '.')).code, 0);
  const other = await plain(folder({ 'other.file': 'FROM box\nCOPY nothing /\n' }), '-f', 'other.file', '.');
  t.regex(other.stderr, /^other\.file:2\n-+\n/m);
});

const SEVERAL = ['--platform', 'linux/amd64,linux/arm64'];

judged('several platforms are built under one name, also with --load, and as files and an archive', async (t) => {
  const cwd = folder({ Dockerfile: 'FROM scratch\nARG TARGETARCH\nLABEL of=$TARGETARCH\nCOPY f /f\n', f: 'data' });
  for (const [name, words] of [
    ['several:1', ['--metadata-file', 'meta', '--iidfile', 'iid']],
    ['several:2', ['--load']],
  ] as const) {
    const built = await plain(cwd, ...SEVERAL, '-t', name, ...words, '.');
    t.is(built.code, 0, built.stderr);
    t.regex(built.stderr, /^#\d+ \[linux\/arm64 1\/1\] COPY f \/f$/m);
    const { id } = engine.images.get(name);
    const found = engine.images.platforms(id).map((each) => engine.images.get(each.id).config);
    t.deepEqual(
      found.map(({ architecture, config }) => [architecture, config?.Labels?.['of']]),
      ['amd64', 'arm64'].map((architecture) => [architecture, architecture]),
    );
  }
  t.is(readFileSync(join(cwd, 'iid'), 'utf8'), engine.images.get('several:1').id);
  t.regex(readFileSync(join(cwd, 'meta'), 'utf8'), /"image.name": "several:1"/);
  const local = await plain(cwd, ...SEVERAL, '-o', 'out', '.');
  t.is(local.code, 0, local.stderr);
  t.regex(local.stderr, /exporting to client directory\/linux_arm64$/m);
  t.deepEqual(readdirSync(join(cwd, 'out')).sort(), ['linux_amd64', 'linux_arm64']);
  t.is(readFileSync(join(cwd, 'out/linux_arm64/f'), 'utf8'), 'data');
  const archive = await plain(cwd, ...SEVERAL, '-t', 'archived:1', '-o', 'type=oci,dest=out.tar', '.');
  t.is(archive.code, 0, archive.stderr);
  const index = execFileSync('tar', ['-xOf', join(cwd, 'out.tar'), 'index.json'], { encoding: 'utf8' });
  t.regex(index, /^\{"schemaVersion":2,.*"manifests":\[\{"mediaType":"application\/vnd.oci.image.index.v1\+json"/);
});

judged('several platforms are pushed with an index of them', async (t) => {
  const missing = missingImageTools();
  if (missing !== undefined) return t.log(missing);
  await using registry = await startRegistry();
  const cwd = folder({ Dockerfile: 'FROM scratch\nCOPY f /f\n', f: 'pushed' });
  const name = `${registry.host}/several:1`;
  const built = await plain(cwd, ...SEVERAL, '-t', name, '--push', '.');
  t.is(built.code, 0, built.stderr);
  const words = ['inspect', '--raw', '--tls-verify=false', `docker://${name}`];
  const { manifests } = JSON.parse(execFileSync('skopeo', words, { encoding: 'utf8' })) as {
    manifests: { platform: { architecture: string } }[];
  };
  t.deepEqual(
    manifests.map(({ platform }) => platform.architecture),
    ['amd64', 'arm64'],
  );
});

const REFUSED: [name: string, dockerfile: string, words: string[], said: RegExp][] = [
  [
    'another frontend',
    '# syntax=other/frontend\nFROM box\n',
    [],
    /cannot use the frontend other\/frontend: only Docker's own is built in/,
  ],
  ['a stage that is not there', 'FROM box\n', ['--target', 'none'], /target stage "none" could not be found/],
  ['a file that is not there', 'FROM box\nCOPY nothing /\n', [], /"\/nothing": not found/],
  [
    'a file that is not in a folder by name',
    'FROM box\nCOPY --from=n nothing /\n',
    ['--build-context', 'n=.'],
    /"\/nothing": not found/,
  ],
  [
    'a cache elsewhere than in a registry',
    'FROM box\n',
    ['--cache-to', 'type=local,dest=c'],
    /Cache export is not supported|husk writes to registries/,
  ],
];
for (const [name, dockerfile, words, said] of REFUSED)
  judged(`is refused in a line: ${name}`, async (t) => {
    const built = await plain(folder({ Dockerfile: dockerfile }), ...words, '.');
    t.is(built.code, 1);
    t.regex(built.stderr, said);
  });

judged('a Dockerfile and a context from stdin', async (t) => {
  const cwd = folder({ Dockerfile: 'FROM box\nCOPY f /f\n', f: 'data' });
  const file = await docker(cwd, ['buildx', 'build', '-t', 'in:1', '-'], { input: 'FROM box\nENV x=y\n' });
  t.is(file.code, 0, file.stderr);
  t.true(engine.images.get('in:1').config.config?.Env?.includes('x=y'));
  const tar = execFileSync('tar', ['-c', '.'], { cwd });
  const context = await docker(cwd, ['buildx', 'build', '-t', 'in:2', '-'], { input: tar });
  t.is(context.code, 0, context.stderr);
  t.is(engine.images.get('in:2').layers.length, 2);
});

judged('buildx ls, inspect, du and prune', async (t) => {
  t.regex((await docker(work, ['buildx', 'ls'])).stdout, /default +running +v0\.13\.2\+husk\S* +linux\//);
  t.regex((await docker(work, ['buildx', 'inspect'])).stdout, /Driver: +docker/);
  t.regex((await docker(work, ['buildx', 'du'])).stdout, /Total:/);
  t.is((await docker(work, ['buildx', 'prune', '-af'])).code, 0);
  t.is((await engine.images.buildCache()).length, 0);
});

const CLASSIC = { env: { DOCKER_BUILDKIT: '0' } };

judged('the classic client builds, has its answer line by line, and the id with -q', async (t) => {
  const cwd = folder({ Dockerfile: 'FROM box\nRUN echo out\nCOPY f /f\n', f: 'x' });
  const built = await docker(cwd, ['build', '-t', 'c:1', '.'], CLASSIC);
  t.is(built.code, 0, built.stderr);
  const { id } = engine.images.get('c:1');
  const short = id.slice(7, 19);
  // of a user to whom /dev/net/tun is closed
  const said = built.stdout.replace(/^\[Warning\] .*\/dev\/net\/tun.*\n/gm, '');
  t.regex(
    said,
    new RegExp(
      `Step 1/3 : FROM box\n ---> [0-9a-f]{12}\nStep 2/3 : RUN echo out\n ---> Running in [0-9a-f]{12}\nout\n` +
        ` ---> Removed intermediate container [0-9a-f]{12}\n ---> [0-9a-f]{12}\nStep 3/3 : COPY f /f\n ---> ${short}\n` +
        `Successfully built ${short}\nSuccessfully tagged c:1\n$`,
    ),
  );
  const quiet = await docker(cwd, ['build', '-q', '.'], CLASSIC);
  t.is(quiet.stdout, `${id}\n`);
});

judged('the classic client hears the code of the command that failed', async (t) => {
  const built = await docker(work, ['build', '-'], { ...CLASSIC, input: 'FROM box\nRUN exit 7\n' });
  t.is(built.code, 7);
  t.regex(built.stderr, /The command '\/bin\/sh -c exit 7' returned a non-zero code: 7\n$/);
});
