/**
 * The same Dockerfiles under husk and under Podman, whose builder is Buildah: what comes out has the same files and the
 * same config. And what `-o` writes is read by others: skopeo, umoci, Podman, tar. What Buildah does otherwise than
 * Docker's builder is in no case; the golden cases (test/engine/build/golden.test.ts) have that one's outcomes.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { openEngine } from '../../src/engine/assembly/engine.ts';
import type { Engine } from '../../src/engine/contract.ts';
import type { Image } from '../../src/images/store/contract.ts';
import { makeBox } from '../engine/build/box.ts';
import { huskIn, makeContext, treeOf, type GoldenCase } from '../engine/build/golden-case.ts';
import { podman, type Podman } from '../fixtures/podman.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { ordinaryUser, type TestUser } from '../fixtures/user.ts';

const PATH = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const missing = ['skopeo', 'umoci', 'podman'].filter((name) => !existsSync(`/usr/bin/${name}`));

/** a build: its lines, the files of its context, further flags */
type Case = [name: string, lines: string, files?: GoldenCase['files'], flags?: string[]];

const TREE: GoldenCase['files'] = {
  'd/a': 'a',
  'd/b.txt': { data: 'b', mode: '0640' },
  'd/run': { data: '#!/bin/sh\n', mode: '0755' },
  'd/set': { data: 's', mode: '1755' },
  'd/sub/c.txt': 'c',
  'd/sub/link': { type: 'link', to: '../a' },
  'd/empty': { type: 'dir', mode: '0700' },
  'f one': '1',
};

const CASES: Case[] = [
  ['a folder into a new one and into one that is there', 'COPY d /d/\nCOPY d /home/ann', TREE],
  [
    'files to a file, a folder, and relative to WORKDIR',
    'WORKDIR /w\nCOPY d/a x\nCOPY d/a d/b.txt y/\nCOPY ["f one", "z w"]',
    TREE,
  ],
  [
    'owners and modes as asked',
    'COPY --chown=ann:extra d /d\nCOPY --chown=7 --chmod=604 d/a /e/a\nCOPY --chown=3:4 d/sub/ /s/',
    TREE,
  ],
  ['patterns', 'COPY d/*.txt d/s?t /p/\nCOPY d/s*/c* /q', TREE],
  [
    'links on the way to the destination',
    'RUN mkdir /real && ln -s real /l && ln -s /real /m\nCOPY d/a /l/\nCOPY d/sub /m/n',
    TREE,
  ],
  [
    'an ignore file',
    'COPY . /all',
    { ...TREE, '.dockerignore': '*\n!d\nd/sub\n!d/sub/c*\n**/*.txt\n!d/b.txt\n', x: '' },
  ],
  [
    'what a RUN makes and changes',
    'RUN umask 027; mkdir -p /n/m && echo x >/n/f && ln /n/f /n/h && ln -s f /n/l && mkfifo -m 600 /n/p\n' +
      'RUN chmod 1770 /n/m && chown 5:6 /n/m /n/p && chown -h 8:9 /n/l && echo y >/n/g && chmod 4711 /n/g',
  ],
  [
    'what a RUN takes away and replaces',
    'COPY d /d\nRUN rm -r /d/sub /home/ann && mkdir /home/ann && echo n >/home/ann/n && rm /d/a && mkdir /d/a\n' +
      'RUN rm -r /d/empty && echo f >/d/empty && rm /etc/group && ln -s passwd /etc/group && rm -r /home',
    TREE,
  ],
  [
    'a folder that becomes a link, and a link that becomes a folder',
    'RUN mkdir -p /foo /t && touch /foo/bar && ln -s /t /l\n' +
      'RUN rm -r /foo /l && ln -s /t /foo && mkdir /l && touch /l/x\nRUN touch /last',
  ],
  [
    'stages, and from a stage',
    'RUN mkdir -p /out/x && echo made >/out/x/f && chown 1000:2000 /out/x/f && ln -s f /out/x/l && chmod 700 /out\n' +
      'FROM box\nCOPY --from=0 /out/ /got/\nCOPY --from=0 /out/x/f /one\nCOPY --from=0 --chown=1:2 /out/x /two',
  ],
  [
    'from scratch',
    'RUN echo x >/x && chmod 600 /x\nFROM scratch\nCOPY --from=0 /x /bin/busybox /b/\nCMD ["/b/busybox", "cat", "/b/x"]',
  ],
  [
    'archives',
    'ADD t.tar /t/\nADD t.tgz /u/v\nADD d/a /plain',
    {
      ...TREE,
      't.tar': {
        type: 'tar',
        members: [
          { name: 'k', type: 'd' },
          { name: 'k/f', type: 'f', data: 'x', owner: 9 },
        ],
      },
      't.tgz': {
        type: 'tar',
        compression: 'gz',
        members: [
          { name: 'f', type: 'f', data: 'x' },
          { name: 'l', type: 'l', data: 'f' },
        ],
      },
    },
  ],
  [
    'variables',
    'ARG A=1\nARG B\nENV C=$A-${B:-none} D="two words"\nENV E=${C} C=later\nLABEL l=$A "with space"="${D}" m=${X:+never}\n' +
      'RUN echo "$A $B $C $D $E" >/v\nCOPY d/$F /copied/$A\nARG F=a\nWORKDIR /w/$A',
    TREE,
    ['--build-arg', 'B=given', '--build-arg', 'A=2'],
  ],
  [
    'the config',
    'EXPOSE 80 53/udp\nVOLUME /v ["/w"]\nVOLUME ["/x"]\nUSER ann:extra\nSTOPSIGNAL SIGUSR1\nWORKDIR /tmp\nLABEL a=1 b="2 3"\n' +
      'HEALTHCHECK --interval=5s --timeout=1m --retries=2 CMD ["true"]\nENTRYPOINT ["a", "b c"]\nCMD ["d"]',
  ],
  ['shell forms', 'ENTRYPOINT exec a "$B"\nCMD c d\nRUN echo $0 >/zero'],
  ['ENTRYPOINT takes the CMD of the base away', 'ENTRYPOINT ["e"]'],
  ['triggers', 'ONBUILD COPY x /x\nONBUILD RUN echo "$A"\nONBUILD USER 5'],
  [
    'mounts, of which nothing stays',
    'RUN --mount=type=bind,target=/c,source=d cp /c/a /from-bind\n' +
      'RUN --mount=type=tmpfs,target=/t echo x >/t/x\nRUN --mount=type=cache,target=/home/ann/l echo x >/home/ann/l/x',
    TREE,
  ],
  [
    'the user of a RUN',
    'USER ann\nRUN id -u >/tmp/u && id -G >>/tmp/u && echo $HOME >>/tmp/u && pwd >>/tmp/u && umask >>/tmp/u\nUSER 0:2000\nRUN id >/id',
  ],
];

const work = temporaryFolder('husk-peer-build-');
chmodSync(work, 0o755);
const root = join(work, 'root');
let peer: Podman | string = 'it was not asked';
const ending = new DisposableStack();
let owner: Pick<TestUser, 'uid' | 'gid'>;
let engine: Engine;
let box: Image;

test.before('both with the image box', async (t) => {
  if (missing.length > 0) return t.log(`skipped: ${missing.join(', ')} is not installed`);
  box = await makeBox(work, root);
  const user = (owner = ending.use(ordinaryUser()));
  const found = (peer = podman(user));
  if (typeof found === 'string') return t.log(`skipped: ${found}`);
  ending.use(found);
  engine = ending.use(await openEngine({ dataRoot: root }));
  const imported = found.run(['import', '-q', '-c', PATH, '-c', 'CMD ["sh"]', join(work, 'box.tar'), 'box']);
  t.is(imported.status, 0, imported.stderr);
});

test.after.always(() => ending.dispose());

/** @returns Podman, or undefined where it is missing, which the log says */
function asked(t: ExecutionContext): Podman | undefined {
  if (typeof peer !== 'string') return peer;
  t.log(`skipped: ${peer}`);
  t.pass();
  return undefined;
}

async function build(folder: string, words: string[]): Promise<void> {
  const made = await huskIn(folder, [
    '--data-root',
    root,
    'build',
    '-q',
    '--isolation=userns',
    '--network=none',
    ...words,
    '.',
  ]);
  if (made.code !== 0) throw new Error(made.stderr);
}

const EMPTY = new Set(['""', '[]', '{}', 'null', 'false']);

/**
 * What is empty is as if it were not there; Buildah leaves / out, too, which is where a container without one begins.
 */
function configOf({ config: { config } }: Image): Record<string, unknown> {
  const { Labels, ...rest } = (config ?? {}) as Record<string, unknown> & { Labels?: Record<string, string> };
  const own: [string, unknown][] = Object.entries({
    ...rest,
    Labels: Labels && Object.fromEntries(Object.entries(Labels).sort()),
  });
  return Object.fromEntries(
    own.filter(
      ([key, value]) =>
        value !== undefined &&
        !EMPTY.has(JSON.stringify(value)) &&
        !(key === 'WorkingDir' && value === '/') &&
        // names of the build's own container
        !['Hostname', 'Domainname', 'Image'].includes(key),
    ),
  );
}

for (const [index, [name, lines, files, flags = []]] of CASES.entries())
  test.serial(`as Buildah: ${name}`, async (t) => {
    const other = asked(t);
    if (!other) return;
    const folder = makeContext(work, {
      id: name,
      dockerfile: `FROM box\n${lines}\n`,
      ...(files && { files }),
      buildkit: { rc: 0 },
    });
    await build(folder, [...flags, '-t', 'mine']);
    // Podman reads the context as the user that it runs as.
    execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
    const theirs = `localhost/theirs-${index}`;
    const built = other.run([
      'build',
      '-q',
      '--format=docker',
      '--layers=false',
      '--identity-label=false',
      '--network=none',
      ...flags,
      '-t',
      theirs,
      folder,
    ]);
    t.is(built.status, 0, built.stderr);
    const archive = join(work, 'run', 'theirs.tar');
    mkdirSync(join(work, 'run'), { recursive: true });
    chmodSync(join(work, 'run'), 0o777);
    const saved = other.run(['save', '-q', '-o', archive, theirs]);
    t.is(saved.status, 0, saved.stderr);
    const loaded = await huskIn(work, ['--data-root', root, 'load', '-q', '-i', archive]);
    t.is(loaded.code, 0, loaded.stderr);
    rmSync(archive);
    const [mine, buildahs] = [engine.images.get('mine'), engine.images.get(theirs)];
    t.deepEqual(beside(mine), beside(buildahs));
    t.deepEqual(configOf(mine), configOf(buildahs));
  });

/** what Buildah's RUN leaves in every image for its own files to be mounted on */
const STUBS = ['etc/hostname', 'run'];

/** @returns what an image has otherwise than the base */
function beside(image: Image): Record<string, string> {
  const own = treeOf(image);
  const base = treeOf(box);
  const gone = [...base.keys()].filter((path) => !own.has(path)).map((path) => [path, 'DELETED'] as const);
  return Object.fromEntries([
    ...[...own].filter(([path, what]) => base.get(path) !== what && !STUBS.includes(path)),
    ...gone,
  ]);
}

const OUTPUT: GoldenCase = {
  id: 'output',
  dockerfile:
    'FROM box\nCOPY --chown=1000:2000 d /d\nRUN rm /etc/group && mkfifo /p && chmod 4755 /bin/busybox && ln -s d /l\n' +
    'RUN rm -r /d/sub && ln -s /home /d/sub && rm /l && mkdir /l && touch /l/x\n' +
    'ENV A="b c"\nLABEL x=y\nENTRYPOINT ["sh", "-c"]\n',
  files: TREE,
  buildkit: { rc: 0 },
};

const sha256 = (bytes: Buffer | string): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const output = (program: string, ...words: string[]): string =>
  execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 << 20 });

for (const kind of ['oci', 'docker'] as const)
  test.serial(`-o type=${kind}: skopeo, Podman and umoci read what husk says is in it`, async (t) => {
    const other = asked(t);
    if (!other) return;
    const folder = makeContext(work, OUTPUT);
    const name = `out-${kind}`;
    const archive = join(work, `${name}.tar`);
    await build(folder, ['-t', name, '-o', `type=${kind},dest=${archive}`, '--iidfile', join(work, 'iid')]);
    const id = readFileSync(join(work, 'iid'), 'utf8');
    const image = engine.images.get(name);
    t.is(image.id, id);

    const place = `${kind}-archive:${archive}${kind === 'oci' ? '' : `:docker.io/library/${name}:latest`}`;
    t.is(sha256(output('skopeo', 'inspect', '--raw', '--config', place)), id);
    const seen = JSON.parse(output('skopeo', 'inspect', place)) as { Layers: string[]; Env: string[]; Labels: unknown };
    t.is(seen.Layers.length, image.layers.length);
    t.true(seen.Env.includes('A=b c'));
    t.deepEqual(seen.Labels, { x: 'y' });

    chmodSync(archive, 0o644);
    const loaded = other.run(['load', '-q', '-i', archive]);
    t.is(loaded.status, 0, loaded.stderr);
    const shown = other.run(['image', 'inspect', '--format', '{{.Id}} {{.Config.Entrypoint}}', name]);
    t.is(shown.stdout, `${id.replace('sha256:', '')} [sh -c]\n`, shown.stderr);
    const ran = other.run([
      'run',
      '--rm',
      ...other.runFlags,
      '--network=none',
      name,
      'stat -c "%a %u:%g %n" /d/run /d/set; ls /etc; readlink /d/sub; echo /l/*',
    ]);
    t.is(ran.stdout.split('\n').slice(0, 2).join(' '), '755 1000:2000 /d/run 1755 1000:2000 /d/set', ran.stderr);
    t.false(/^group$/m.test(ran.stdout));
    t.regex(ran.stdout, /\n\/home\n\/l\/x\n$/);

    const layout = join(work, `${name}-layout`);
    mkdirSync(layout);
    output('tar', 'xf', archive, '-C', layout);
    const [tag] = (JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as Index).manifests;
    const reference = tag!.annotations['org.opencontainers.image.ref.name']!;
    const bundle = join(work, `${name}-bundle`);
    // As nobody but root may make other owners' files; an ordinary user's unpacking keeps names and kinds.
    const own = process.getuid!() === 0 ? [] : ['--rootless'];
    output('umoci', 'unpack', ...own, '--image', `${layout}:${reference}`, bundle);
    const found = output('find', join(bundle, 'rootfs'), '-mindepth', '1', '-printf', '%P %y %m\\n')
      .trim()
      .split('\n')
      .sort();
    const wanted = [...treeOf(image)].map(([path, what]) => {
      const [type, mode] = what.split(' ') as [string, string];
      return `${path} ${type === 'h' ? 'f' : type} ${Number.parseInt(mode, 8).toString(8)}`;
    });
    if (process.getuid!() === 0) t.deepEqual(found, wanted.sort());
    else
      t.deepEqual(
        found.map((line) => line.replace(/ \S+$/, '')),
        wanted.map((line) => line.replace(/ \S+$/, '')).sort(),
      );
  });

interface Index {
  manifests: { annotations: Record<string, string> }[];
}

test.serial('-o -: tar lists what the image has, and unpacks it', async (t) => {
  if (!asked(t)) return;
  const folder = makeContext(work, OUTPUT);
  const file = join(work, 'tree.tar');
  await build(folder, ['-t', 'out-tar', '-o', `type=tar,dest=${file}`, '-o', 'type=image']);
  const names = output('tar', 'tf', file).trim().split('\n');
  const tree = treeOf(engine.images.get('out-tar'));
  t.deepEqual(
    names
      .map((name) => name.replace(/^\.\/|\/$/g, ''))
      .filter(Boolean)
      .sort(),
    [...tree.keys()].sort(),
  );
  const into = join(work, 'unpacked');
  mkdirSync(into);
  chownSync(into, process.getuid!(), process.getgid!());
  output('tar', 'xpf', file, '-C', into, '--no-same-owner');
  t.is(output('readlink', join(into, 'd/sub')).trim(), '/home');
  t.true(existsSync(join(into, 'l/x')));
  t.is(readFileSync(join(into, 'd/b.txt'), 'utf8'), 'b');
});
