/** `build --push`: what a registry has afterwards, what is told of it, and what is left when it does not answer. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import { freePort, missingImageTools, startRegistry, type Registry } from '../../fixtures/images.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { makeBox } from './box.ts';
import { huskIn, makeContext } from './golden-case.ts';

const missing = missingImageTools();
const real = missing ? test.skip : test.serial;
if (missing) test(`real registry: skipped: ${missing}`, (t) => t.pass());

const work = temporaryFolder('husk-build-push-');
chmodSync(work, 0o755);
const root = join(work, 'root');
const DOCKERFILE = 'FROM box\nCOPY f /f\nLABEL a=b\n';
const folder = makeContext(work, { id: 'push', dockerfile: DOCKERFILE, files: { f: 'f' }, buildkit: { rc: 0 } });
const USER = { user: 'ada', password: 'secret' };
const iid = join(work, 'iid');
const metadata = join(work, 'metadata');

const build = (...words: string[]) =>
  huskIn(folder, ['--data-root', root, 'build', '--progress=plain', '--iidfile', iid, ...words, '.']);
const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
const here = async (name: string) => (await huskIn(folder, ['--data-root', root, 'inspect', name])).code === 0;

let registry: Registry;

/** @returns the manifest that a name has in the registry, as it is there */
const manifestOf = (name: string): string =>
  execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', '--creds', 'ada:secret', `docker://${name}`], {
    encoding: 'utf8',
  });

test.before(async () => {
  await makeBox(work, root);
  if (missing) return;
  registry = await startRegistry({ htpasswd: USER });
  const auth = Buffer.from(`${USER.user}:${USER.password}`).toString('base64');
  writeFileSync(join(work, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }));
  process.env['DOCKER_CONFIG'] = work;
});
test.after.always(async () => registry?.[Symbol.asyncDispose]());

real('every name is pushed with the credentials of the user, and the layers are compressed once', async (t) => {
  const names = [`${registry.host}/a:1`, `${registry.host}/b/c:latest`];
  const { code, stderr } = await build(
    '-t',
    names[0]!,
    '-t',
    `${registry.host}/b/c`,
    '--annotation',
    'org.example=yes',
    '--metadata-file',
    metadata,
    '--push',
  );
  t.is(code, 0, stderr);
  const { 'containerimage.digest': digest, 'image.name': named } = read(metadata);
  t.deepEqual(new Set(named!.split(',')), new Set([names[0], names[1]!]));
  for (const name of names) {
    const manifest = manifestOf(name);
    t.like(JSON.parse(manifest), {
      annotations: { 'org.example': 'yes' },
      config: { digest: read(metadata)['containerimage.config.digest'] },
    });
    const { createHash } = await import('node:crypto');
    t.is(digest, `sha256:${createHash('sha256').update(manifest).digest('hex')}`);
    t.true(stderr.includes(` pushing manifest for ${name}@${digest}\n`), stderr);
  }
  const step = /^#(\d+) pushing \S+\/a:1$/m.exec(stderr)?.[1];
  t.regex(stderr, new RegExp(`^#${step} [0-9.]+ pushing layers$`, 'm'));
  t.regex(stderr, new RegExp(`^#${step} [0-9a-f]{12} Pushed$`, 'm'));
  t.regex(stderr, new RegExp(`^#${step} DONE `, 'm'));
  const later = stderr.slice(stderr.indexOf('/b/c:latest\n'));
  t.notRegex(later, / Pushing$/m, 'the second repository mounts them');
  t.regex(later, / Mounted from a$/m);
});

real('type=registry names the image itself; a folder is written beside it', async (t) => {
  const name = `${registry.host}/typed:2`;
  const out = join(work, 'out');
  const { code, stderr } = await build('-o', `type=registry,name=${name}`, '-o', out);
  t.is(code, 0, stderr);
  t.is(JSON.parse(manifestOf(name)).config.digest, readFileSync(iid, 'utf8'));
  t.is(readFileSync(join(out, 'f'), 'utf8'), 'f');
});

test.serial('type=cacheonly makes the steps, and no image', async (t) => {
  const { code, stderr } = await build(
    '-t',
    'nowhere',
    '-o',
    'type=cacheonly',
    '--no-cache',
    '--metadata-file',
    metadata,
  );
  t.is(code, 0, stderr);
  t.notRegex(stderr, /export/);
  t.false(await here('nowhere'));
  t.false(existsSync(iid));
  t.deepEqual(read(metadata), {});
});

const CROSS = `ARG BUILDPLATFORM
FROM --platform=$BUILDPLATFORM box AS compiler
ARG TARGETARCH
RUN --network=none echo "for $TARGETARCH on $(uname -m)" >/out
FROM scratch
ARG TARGETPLATFORM
LABEL platform=$TARGETPLATFORM
COPY --from=compiler /out /
`;
const BOTH = ['--platform', 'linux/arm64,linux/amd64,linux/arm64/v8'];
const inFolder = (dockerfile: string): string =>
  makeContext(work, { id: '', dockerfile, files: { f: 'f' }, buildkit: { rc: 0 } });
const buildIn = (place: string, ...words: string[]) =>
  huskIn(place, ['--data-root', root, 'build', '--progress=plain', '--iidfile', iid, ...words, '.']);
interface Index {
  mediaType: string;
  manifests: { digest: string; platform: { os: string; architecture: string } }[];
}

real('images of several platforms are one index in the registry, of which each machine finds its own', async (t) => {
  const name = `${registry.host}/cross:1`;
  const place = inFolder(CROSS);
  const words = [...BOTH, '-t', name, '--metadata-file', metadata, '--push'];
  const { code, stderr } = await buildIn(place, ...words);
  t.is(code, 0, stderr);
  t.regex(stderr, /^#\d+ \[linux\/arm64 compiler 2\/2\] RUN /m);
  t.regex(stderr, /^#\d+ \[linux\/amd64 compiler 2\/2\] RUN /m);
  const manifest = manifestOf(name);
  const { mediaType, manifests } = JSON.parse(manifest) as Index;
  t.is(mediaType, 'application/vnd.oci.image.index.v1+json');
  t.deepEqual(
    manifests.map(({ platform }) => platform.architecture),
    ['arm64', 'amd64'],
  );
  const { createHash } = await import('node:crypto');
  const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
  t.is(readFileSync(iid, 'utf8'), digest);
  t.deepEqual(read(metadata), { 'containerimage.digest': digest, 'image.name': name });
  t.regex(stderr, new RegExp(`pushing manifest for ${name}@${digest}`));
  const fresh = join(work, 'fresh');
  for (const architecture of ['arm64', 'amd64']) {
    const pulled = await huskIn(work, ['--data-root', fresh, 'pull', '--platform', `linux/${architecture}`, name]);
    t.is(pulled.code, 0, pulled.stderr);
    await using engine = await openEngine({ dataRoot: fresh });
    const { config } = engine.images.get(name);
    t.is(config.architecture, architecture);
    t.is(config.config?.Labels?.['platform'], `linux/${architecture}`);
    const out = join(work, `out-${architecture}`);
    const image = inFolder(`FROM --platform=linux/${architecture} ${name}\n`);
    const written = await huskIn(image, ['--data-root', fresh, 'build', '-o', out, '.']);
    t.is(written.code, 0, written.stderr);
    t.is(readFileSync(join(out, 'out'), 'utf8'), `for ${architecture} on x86_64\n`);
  }
  // The name here is that of this machine's image.
  await using engine = await openEngine({ dataRoot: root });
  t.is(engine.images.get(name).config.architecture, 'amd64');
  const again = await buildIn(place, ...words);
  t.is(again.code, 0, again.stderr);
  t.is(readFileSync(iid, 'utf8'), digest);
  t.notRegex(again.stderr, / Pushed$/m);
});

real('a base of several platforms is taken by each build for itself, and its name here stays', async (t) => {
  const base = `${registry.host}/base:1`;
  const made = await buildIn(
    inFolder('FROM scratch\nARG TARGETARCH\nLABEL of=$TARGETARCH\nCOPY f /f\n'),
    ...BOTH,
    '-t',
    base,
    '--push',
  );
  t.is(made.code, 0, made.stderr);
  const own = (await openEngine({ dataRoot: root })).images.get(base).id;
  const name = `${registry.host}/derived:1`;
  const derived = await buildIn(inFolder(`FROM ${base}\nCOPY f /g\n`), ...BOTH, '-t', name, '--push');
  t.is(derived.code, 0, derived.stderr);
  for (const architecture of ['arm64', 'amd64']) {
    const fresh = join(work, `fresh-${architecture}`);
    const pulled = await huskIn(work, ['--data-root', fresh, 'pull', '--platform', `linux/${architecture}`, name]);
    t.is(pulled.code, 0, pulled.stderr);
    await using engine = await openEngine({ dataRoot: fresh });
    t.is(engine.images.get(name).config.config?.Labels?.['of'], architecture);
  }
  await using engine = await openEngine({ dataRoot: root });
  t.is(engine.images.get(base).id, own);
});

real('images of several platforms are kept under one name, and pushed later', async (t) => {
  const name = `${registry.host}/later:1`;
  const place = inFolder(CROSS.replace('LABEL', 'LABEL when=later') + 'COPY f /f\n');
  const made = await buildIn(place, ...BOTH, '-t', name);
  t.is(made.code, 0, made.stderr);
  const husk = async (...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await huskIn(place, ['--data-root', root, ...words]);
    t.is(code, 0, `${words.join(' ')}: ${stderr}`);
    return stdout;
  };
  t.is(
    await husk('image', 'inspect', '--format', '{{.Architecture}} {{.Id}}', name),
    `amd64 ${readFileSync(iid, 'utf8')}\n`,
  );
  const ids = async (...words: string[]): Promise<string[]> =>
    (await husk('images', '--no-trunc', '--format', '{{.ID}}', ...words)).trimEnd().split('\n');
  const shown = await ids();
  const hidden = (await ids('-a')).filter((id) => !shown.includes(id));
  t.true(hidden.length > 0);
  t.is(await husk('image', 'inspect', '--format', '{{.Architecture}}', ...hidden), 'arm64\n'.repeat(hidden.length));
  await husk('image', 'prune', '-f');
  // What builds on it for another platform finds that one here, and asks no registry: there it is not yet.
  const derived = await buildIn(inFolder(`FROM ${name}\nCOPY f /g\n`), ...BOTH, '-t', 'derived-later');
  t.is(derived.code, 0, derived.stderr);
  t.notRegex(derived.stderr, /\[internal\] pull/);
  const said = await husk('push', name);
  const { manifests } = JSON.parse(manifestOf(name)) as Index;
  t.deepEqual(
    manifests.map(({ platform }) => platform.architecture),
    ['arm64', 'amd64'],
  );
  t.regex(said, /^1: digest: sha256:[0-9a-f]{64} size: \d+$/m);
  await husk('push', '-q', '--platform', 'linux/arm64', name);
  t.is((JSON.parse(manifestOf(name)) as { manifests?: unknown }).manifests, undefined);
  const refused = await huskIn(place, ['--data-root', root, 'push', '--platform', 'linux/s390x', name]);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /was found but does not provide the specified platform \(linux\/s390x\)/);
  const gone = await husk('rmi', 'derived-later');
  t.is(gone.match(/^Deleted: /gm)?.length, 2, gone);
});

test.serial('the files of several platforms go to a folder each, and through no link', async (t) => {
  const out = join(work, 'split');
  const place = inFolder(CROSS);
  const made = await buildIn(place, ...BOTH, '-o', out);
  t.is(made.code, 0, made.stderr);
  t.deepEqual(readdirSync(out).sort(), ['linux_amd64', 'linux_arm64']);
  for (const architecture of ['amd64', 'arm64'])
    t.is(readFileSync(join(out, `linux_${architecture}`, 'out'), 'utf8'), `for ${architecture} on x86_64\n`);
  // What an image has may be a link of such a name.
  rmSync(join(out, 'linux_arm64'), { recursive: true });
  const elsewhere = temporaryFolder('husk-elsewhere-');
  symlinkSync(elsewhere, join(out, 'linux_arm64'));
  const { code, stderr } = await buildIn(place, ...BOTH, '-o', out);
  t.is(code, 1);
  t.regex(stderr, /cannot write to linux_arm64 in \S+split: /);
  t.deepEqual(readdirSync(elsewhere), []);
});

test.serial('an OCI archive has an index of all, and load gives the name to all again', async (t) => {
  const archive = join(work, 'several.tar');
  const place = inFolder(CROSS.replace('LABEL', 'LABEL when=archive'));
  for (const [index, names] of [['-t', 'archived:1'], []].entries()) {
    const made = await buildIn(place, ...BOTH, ...names, '-o', `type=oci,dest=${archive}`);
    t.is(made.code, 0, made.stderr);
    t.regex(made.stderr, /exporting oci to \S+several.tar$/m);
    const fresh = temporaryFolder('husk-loaded-');
    const loaded = await huskIn(work, ['--data-root', fresh, 'load', '-i', archive]);
    t.regex(loaded.stdout, index === 0 ? /^Loaded image: archived:1\n$/ : /^Loaded image ID: sha256:[0-9a-f]{64}\n$/);
    await using engine = await openEngine({ dataRoot: fresh });
    const found = engine.images.list().map(({ config }) => config.architecture);
    t.deepEqual(found.sort(), index === 0 ? ['amd64', 'arm64'] : ['amd64']);
  }
});

test.serial('what several platforms cannot give is refused before anything is built', async (t) => {
  const place = inFolder('FROM scratch\nCOPY f /f\n');
  for (const [words, message] of [
    [['-o', 'type=tar,dest=x'], /--platform: an archive of type=tar is of one platform/],
    [['--push', '-o', 'type=docker,dest=x'], /--platform: an archive of type=docker is of one platform/],
    [['--push', '--cache-to', 'type=inline'], /--cache-to: a cache is written by a build of one platform/],
  ] as const) {
    const { code, stderr } = await buildIn(place, ...BOTH, '-t', 'several', ...words);
    t.is(code, 1, stderr);
    t.regex(stderr, message);
    t.notRegex(stderr, /COPY f/);
  }
  const nowhere = await buildIn(place, ...BOTH, '-o', 'type=cacheonly');
  t.is(nowhere.code, 0, nowhere.stderr);
  t.false(await here('several'));
});

test.serial('another platform than this machine\u2019s is built as far as nothing has to run', async (t) => {
  const { code, stderr } = await buildIn(
    inFolder('FROM scratch\nCOPY f /f\n'),
    '--platform',
    'linux/arm64',
    '-t',
    'arm',
  );
  t.is(code, 0, stderr);
  await using engine = await openEngine({ dataRoot: root });
  t.is(engine.images.get('arm').config.architecture, 'arm64');
});

real('a push that is refused is one line; the image stays, and no file says that the build is done', async (t) => {
  const name = `${registry.host}/refused:1`;
  const config = join(work, 'config.json');
  const before = readFileSync(config);
  writeFileSync(config, '{}');
  const { code, stderr } = await build('-t', name, '--push').finally(() => writeFileSync(config, before));
  t.is(code, 1);
  t.deepEqual(
    stderr.split('\n').filter((line) => line.startsWith('ERROR')),
    [`ERROR: failed to solve: failed to push ${name}: no basic auth credentials`],
  );
  t.true(await here(name));
  t.false(existsSync(iid));
});

test.serial('so is one that nobody answers', async (t) => {
  const name = `127.0.0.1:${await freePort()}/gone:1`;
  const { code, stderr } = await build('-t', name, '--push');
  t.is(code, 1);
  const lines = stderr.split('\n').filter((line) => line.startsWith('ERROR'));
  t.is(lines.length, 1, stderr);
  t.true(lines[0]!.startsWith(`ERROR: failed to solve: failed to push ${name}: `), lines[0]);
  t.true(await here(name));
});

test.serial('an interrupted push ends at once, and the image stays', async (t) => {
  const asked = Promise.withResolvers<void>();
  // It takes the connection, and never answers.
  const server = createServer(() => asked.resolve()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const name = `127.0.0.1:${(server.address() as AddressInfo).port}/held:1`;
  const controller = new AbortController();
  const outcomes: string[] = [];
  await using engine = await openEngine({ dataRoot: root });
  const building = engine.build(
    {
      context: { kind: 'folder', path: folder },
      tags: [name],
      buildArgs: {},
      contexts: {},
      noCache: false,
      pull: false,
      labels: {},
      annotations: {},
      network: 'none',
      extraHosts: [],
      ulimits: [],
      secrets: [],
      ssh: {},
      allow: [],
      outputs: [{ type: 'image', push: true }],
      isolation: 'userns',
    },
    {
      signal: controller.signal,
      onEvent: (event) => void (event.type === 'end' && outcomes.push(event.outcome)),
    },
  );
  void asked.promise.then(() => controller.abort(new Error('enough')));
  await t.throwsAsync(building, { message: 'enough' });
  server.closeAllConnections();
  server.close();
  t.is(outcomes.at(-1), 'canceled');
  t.truthy(engine.images.find(name));
});
