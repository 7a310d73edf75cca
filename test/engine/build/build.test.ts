/**
 * What a build promises as a whole: rights that are asked for, secrets that are nowhere, a cache that changes
 * nothing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { makeBox } from './box.ts';
import { buildIn, huskIn, makeContext, type GoldenCase } from './golden-case.ts';

const work = temporaryFolder('husk-build-');
chmodSync(work, 0o755);
const root = join(work, 'root');

test.before('the image box', async () => void (await makeBox(work, root)));

/** @returns what a build of a Dockerfile says, and the id of its image */
const build = (dockerfile: string, words: string[], files?: GoldenCase['files']) =>
  buildIn(makeContext(work, { id: 'own', dockerfile, ...(files && { files }), buildkit: { rc: 0 } }), root, words);

const ALLOWED: [instruction: string, words: string[], said: RegExp][] = [
  ['RUN --network=host true', [], /^ERROR: failed to solve: network\.host is not allowed$/m],
  ['RUN --network=host true', ['--allow', 'security.insecure'], /network\.host is not allowed/],
  ['RUN true', ['--network', 'host'], /network\.host is not allowed/],
  ['RUN --security=insecure true', [], /^ERROR: failed to solve: security\.insecure is not allowed$/m],
  ['RUN --security=insecure true', ['--allow', 'network.host'], /security\.insecure is not allowed/],
];
for (const [instruction, words, said] of ALLOWED)
  test.serial(`is refused: ${instruction} ${words.join(' ')}`, async (t) => {
    const refused = await build(`FROM box\n${instruction}\n`, words);
    t.is(refused.code, 1);
    t.regex(refused.said, said);
  });

test.serial('what is allowed stays in the user namespace', async (t) => {
  const { code, said } = await build('FROM box\nRUN --security=insecure cat /proc/self/uid_map\n', [
    '--allow',
    'security.insecure',
  ]);
  t.is(code, 0, said);
  const [, ids] = /^#\d+ [\d.]+ +0 +\d+ +(\d+)$/m.exec(said) ?? [];
  // The host's own namespace has all 32-bit ids.
  t.true(Number(ids) > 0 && Number(ids) < 0xffff_ffff, said);
});

test.serial('the value of a secret is in nothing that the build leaves or says', async (t) => {
  const marked = 'MARKED-0123456789';
  const { code, said } = await build(
    'FROM box\nARG T\nRUN --mount=type=secret,id=s,env=S --mount=type=secret,id=s ' +
      '[ "$S" = "$(cat /run/secrets/s)" ] && echo "${#S} letters"\nRUN echo MARKED-0123456789 >/dev/null\nRUN false\n',
    ['--secret', 'id=s,src=token', '--progress=rawjson'],
    { token: marked },
  );
  t.is(code, 1);
  const shown = said.replace(/"data":"([^"]*)"/g, (_, data: string) => Buffer.from(data, 'base64').toString());
  t.regex(shown, /17 letters/);
  t.notRegex(shown.replace(/^.*Dockerfile:\d+$[^]*/m, ''), new RegExp(marked));
  // The second RUN has it in its own words, which are the Dockerfile's: its name is masked in the cache as well.
  const found = spawnSync('grep', ['-rlaF', marked, root], { encoding: 'utf8' }).stdout;
  t.is(found, '');
});

test.serial('a here-document with line ends of Windows is told once, and the build goes on', async (t) => {
  const { code, said } = await build('FROM box\r\nCOPY <<E /e\r\nline\r\nE\r\n', []);
  t.is(code, 0, said);
  t.is([...said.matchAll(/CR LF|carriage return/gi)].length, 1, said);
});

const SAME = `FROM box AS one
COPY --chown=ann d /d/
RUN mkdir -p /a/b && echo x > /a/b/f && ln /a/b/f /a/g && chmod 4750 /a/g && rm /etc/group
WORKDIR /w/x
FROM box
COPY --from=one /a /a
COPY --from=one /d/ /e
RUN rm -r /e/sub && echo y > /y
`;
const FILES: GoldenCase['files'] = {
  'd/f': 'f',
  'd/sub/g': { data: 'g', mode: '0640' },
  'd/l': { type: 'link', to: 'f' },
};

test.serial('without the cache the same image comes out, once no time is its own', async (t) => {
  const epoch = ['--build-arg', 'SOURCE_DATE_EPOCH=1700000000'];
  const first = await build(SAME, epoch, FILES);
  const cached = await build(SAME, epoch, FILES);
  const anew = await build(SAME, [...epoch, '--no-cache'], FILES);
  t.is(first.code, 0, first.said);
  t.deepEqual([cached.id, anew.id], [first.id, first.id]);
  t.is([...cached.said.matchAll(/^#\d+ CACHED$/gm)].length, 8, cached.said);
  t.is([...anew.said.matchAll(/^#\d+ DONE .*$/gm)].length, 7, anew.said);
});

test.serial('a stage is built on the files of a folder, by the name of an image or of a stage', async (t) => {
  const files: GoldenCase['files'] = {
    'n/f': { data: 'f', mode: '0640' },
    'n/.dockerignore': 'skip',
    'n/skip': 's',
    'n/bin/sh': { type: 'link', to: '/nowhere' },
    g: 'g',
  };
  const context = ['--build-context', 'n=n', '--load', '-o', join(work, 'from-folder')];
  const { code, said } = await build('FROM never AS n\nRUN false\nFROM n\nCOPY g /g\nUSER 7\n', context, files);
  t.is(code, 0, said);
  t.deepEqual(readdirSync(join(work, 'from-folder')).sort(), ['.dockerignore', 'bin', 'f', 'g']);
  const image = await build('FROM n\nCOPY g /g\nUSER 7\n', ['--build-context', 'n=n'], files);
  t.regex(image.said, /^#\d+ \[1\/2\] FROM n\n#\d+ CACHED$/m);
  const missing = await build('FROM n\n', ['--build-context', 'n=nope']);
  t.is(missing.code, 1);
  t.regex(
    missing.said,
    /^ERROR: failed to solve: failed to get build context n: stat nope: no such file or directory$/m,
  );
});

const SEEDS = `FROM box AS s
RUN mkdir -m 1750 /seed && echo one > /seed/f && chown -R 1000:1000 /seed && ln -s seed /link
FROM box
ARG AGAIN
`;
const seeded = (mount: string, command: string): string =>
  `${SEEDS}RUN --mount=type=cache,target=/c,${mount} ${command}\n`;
const SHOW = 'echo "OUT:$(stat -c %a:%u:%g /c) $(stat -c %u /c/f) $(cat /c/f)"; echo mine > /c/f';

test.serial('a new cache is filled with its seed once; another seed is of another cache', async (t) => {
  const said = async (dockerfile: string, again: string, words: string[] = [], files?: GoldenCase['files']) => {
    const made = await build(dockerfile, ['--build-arg', `AGAIN=${again}`, ...words], files);
    return [...made.said.matchAll(/^#\d+ [\d.]+ OUT:(.*)$|^ERROR: (.*)$/gm)].map(([, out, error]) => out ?? error);
  };
  const fromStage = seeded('id=s,from=s,source=/seed', SHOW);
  t.deepEqual(await said(fromStage, '1'), ['1750:1000:1000 1000 one']);
  t.deepEqual(await said(fromStage, '2'), ['1750:1000:1000 1000 mine']);
  t.deepEqual(await said(fromStage.replace('echo one', 'echo two'), '3'), ['1750:1000:1000 1000 two']);
  t.deepEqual(await said(seeded('id=s', 'echo "OUT:$(ls /c)"'), '4'), ['']);
  t.deepEqual(await said(seeded('id=linked,from=s,source=/link', SHOW), '5'), ['1750:1000:1000 1000 one']);
  t.deepEqual(await said(seeded('id=file,from=s,source=/seed/f', 'echo "OUT:$(cat /c)"'), '6'), ['one']);
  t.deepEqual(await said(seeded('id=ro,from=s,source=/seed,ro', 'echo "OUT:$(rm /c/f 2>&1)"'), '7'), [
    "rm: can't remove '/c/f': Read-only file system",
  ]);
  const context = ['--build-context', 'n=.'];
  t.deepEqual(await said(seeded('id=n,from=n', SHOW), '8', context, { f: 'of the context' }), [
    '755:0:0 0 of the context',
  ]);
  t.deepEqual(await said(seeded('id=i,from=box,source=/etc', 'echo "OUT:$(ls /c)"'), '9'), ['group']);
  t.regex((await said(seeded('id=m,from=s,source=/nothing', 'true'), '10')).join(), /"\/nothing": not found/);
});

// As BuildKit of dockerd 26 answers to the same builds.
test.serial('a step without the cache begins with empty cache mounts, once a build', async (t) => {
  const show = (name: string): string =>
    `RUN --mount=type=cache,id=anew,target=/c echo "OUT:${name}:$(ls /c | xargs)"; touch /c/${name}$AGAIN\n`;
  const dockerfile = `FROM box AS a\nARG AGAIN\n${show('a')}${show('b')}FROM a\nARG AGAIN\n${show('c')}`;
  const said = async (again: string, words: string[] = []) => {
    const made = await build(dockerfile, ['--build-arg', `AGAIN=${again}`, ...words]);
    t.is(made.code, 0, made.said);
    return [...made.said.matchAll(/^#\d+ [\d.]+ OUT:(.*)$/gm)].map(([, out]) => out);
  };
  t.deepEqual(await said('1'), ['a:', 'b:a1', 'c:a1 b1']);
  t.deepEqual(await said('2', ['--no-cache']), ['a:', 'b:a2', 'c:a2 b2']);
  t.deepEqual(await said('3'), ['a:a2 b2 c2', 'b:a2 a3 b2 c2', 'c:a2 a3 b2 b3 c2']);
  t.deepEqual(await said('4', ['--no-cache-filter', 'a']), ['a:', 'b:a4', 'c:a4 b4']);
  const seed = seeded('id=reseeded,from=s,source=/seed', SHOW);
  for (const words of [[], ['--no-cache']]) {
    const made = await build(seed, ['--build-arg', `AGAIN=seed${words.length}`, ...words]);
    t.regex(made.said, / OUT:1750:1000:1000 1000 one$/m, made.said);
  }
});

test.serial('an image in an OCI layout stands over a stage and an image: FROM, COPY --from and mounts', async (t) => {
  const layout = join(work, 'layout:of/box');
  mkdirSync(layout, { recursive: true });
  const inner = await build(
    'FROM box\nENV IN=layout\nCOPY f /f\nONBUILD RUN echo "OUT:$IN $(cat /f)"\n',
    ['-t', 'in:1'],
    {
      f: 'of the layout',
    },
  );
  t.is(inner.code, 0, inner.said);
  const archive = join(work, 'layout.tar');
  t.is((await huskIn(work, ['--data-root', root, 'save', '-o', archive, 'in:1'])).code, 0);
  execFileSync('tar', ['-xf', archive, '-C', layout]);
  t.is((await huskIn(work, ['--data-root', root, 'rmi', 'in:1'])).code, 0);
  const dockerfile =
    'FROM box AS stage\nRUN false\nFROM lib AS from\nCOPY --from=stage /f /g\n' +
    'RUN --mount=from=lib,target=/m echo "OUT:$(cat /m/f /g)"\n';
  const words = ['--build-context', `stage=oci-layout://${layout}:1`, '--build-context', `lib=oci-layout://${layout}`];
  const { code, said } = await build(dockerfile, words);
  t.is(code, 0, said);
  t.deepEqual(
    [...said.matchAll(/ OUT:(.*)$/gm)].map(([, out]) => out),
    ['layout of the layout', 'of the layoutof the layout'],
  );
  t.regex(said, /\[internal\] load oci-layout:\/\/\S*\/layout:of\/box:1$/m);
  const wrong = await build('FROM lib\n', ['--build-context', `lib=oci-layout://${layout}:2`]);
  t.is(wrong.code, 1);
  t.regex(wrong.said, /^ERROR: .*there is no image 2 in \S*box$/m);
});

test.serial('a star, a question mark and a bracket in the source of a mount are letters of a name', async (t) => {
  const odd = 'd*/[a]?';
  const { code, said } = await build(
    `FROM box\nRUN --mount=type=bind,source=${odd},target=/b --mount=type=cache,id=odd,from=n,source=${odd},target=/c ` +
      'echo "OUT:$(cat /b/f /c/f) $(ls /b /c | wc -l)"\n',
    ['--build-context', 'n=.'],
    { 'd*/[a]?/f': 'odd', 'dd/ab/f': 'decoy', 'd*/ab/f': 'decoy' },
  );
  t.is(code, 0, said);
  t.regex(said, /^#\d+ [\d.]+ OUT:oddodd 5$/m);
});

test.serial('a step has the socket of an agent with the key of --ssh, and the key itself is nowhere', async (t) => {
  const key = join(work, 'ssh-key');
  spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const line = readFileSync(key, 'utf8').split('\n')[2]!;
  const { code, said } = await build(
    'FROM box\nRUN --mount=type=ssh,id=k,required --mount=type=ssh,id=none,target=/s [ -S "$SSH_AUTH_SOCK" ] && echo "OUT:$SSH_AUTH_SOCK $(ls /s 2>&1)"\n',
    ['--ssh', `k=${key}`],
  );
  t.is(code, 0, said);
  t.regex(said, /OUT:\/run\/buildkit\/ssh_agent\.0 ls: \/s: No such file/);
  t.is(spawnSync('grep', ['-rlaF', line, root], { encoding: 'utf8' }).stdout, '');
  t.deepEqual(
    readdirSync(join(root, 'tmp')).filter((name) => name.startsWith('half')),
    [],
  );
});

test.serial('the names that are told are those of this build, not all that its image has', async (t) => {
  const metadata = join(work, 'metadata');
  for (const name of ['one:latest', 'two:1']) {
    const { code, said } = await build('FROM box\nUSER 9\n', ['-t', name, '--metadata-file', metadata]);
    t.is(code, 0, said);
    t.is((JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, string>)['image.name'], name);
  }
});
