/** Repositories from a server on this machine's loopback: what a commit has, and what strangers' commits may not do. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmdirSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import type { FetchJob, Said } from '../../../../src/engine/build/fetch/frames.ts';
import { fetchGit } from '../../../../src/engine/build/fetch/git.ts';
import { entriesOf, settingsOf } from '../../../../src/engine/build/fetch/git-tree.ts';
import { lastWords } from '../../../../src/engine/build/fetch/git-program.ts';
import { HuskError } from '../../../../src/errors.ts';
import { TarParser } from '../../../../src/tar/parser.ts';
import type { TarEntry } from '../../../../src/tar/entry.ts';
import { selfSigned } from '../../../fixtures/certificate.ts';
import { temporaryFolder } from '../../../fixtures/temporary.ts';
import {
  backend,
  COMMITTED,
  commitTo,
  makeRepository,
  runGit,
  serveRepositories,
  type GitServer,
} from './git-server.ts';

const work = temporaryFolder('husk-git-');
let server: GitServer;
test.before('a server', async () => void (server = await serveRepositories(work)));
test.after.always('the server ends', async () => await server?.[Symbol.asyncDispose]());

interface Fetched {
  said: Said[];
  commit: string;
  entries: TarEntry[];
  tar: Buffer;
}

async function fetched(
  name: string,
  { go = true, ...more }: Partial<Extract<FetchJob, { kind: 'git' }>> & { go?: boolean } = {},
): Promise<Fetched> {
  const said: Said[] = [];
  const chunks: Buffer[] = [];
  const place = mkdtempSync(join(work, 'place-'));
  const job = {
    kind: 'git' as const,
    repository: name.includes(':') ? name : `${server.url}/${name}`,
    transport: 'http' as const,
    subdir: '',
    keepGitDir: false,
    submodules: true,
    maxSize: 64 << 20,
    userAgent: 'husk/test',
    ...more,
  };
  try {
    await fetchGit(
      job,
      { say: (each) => void said.push(each), data: (bytes) => void chunks.push(Buffer.from(bytes)) },
      { go: async () => go, place: { work: place, ...(more.env && { env: more.env }) } },
    );
  } finally {
    // Nothing is left in the folder that it writes to: this fails otherwise.
    rmdirSync(place);
  }
  const tar = Buffer.concat(chunks);
  const entries: TarEntry[] = [];
  if (go) {
    const parser = new TarParser((entry) => void entries.push(entry), { clamp: true });
    parser.push(tar);
    parser.end();
  }
  const [first] = said;
  if (first?.type !== 'commit') throw new Error('no commit was said');
  return { said, commit: first.commit, entries, tar };
}

/** Names with modes, of what is no folder. */
const tree = ({ entries, tar }: Fetched): Record<string, string> =>
  Object.fromEntries(
    entries
      .filter(({ type }) => type !== 'directory')
      .map(({ path, type, mode, linkname, dataOffset, dataSize }) => [
        path,
        type === 'symlink'
          ? `-> ${linkname}`
          : `${mode.toString(8)} ${tar.toString('latin1', dataOffset, dataOffset + dataSize)}`,
      ]),
  );

const FILES = {
  f: 'F',
  run: { mode: '100755', data: 'R' },
  link: { mode: '120000', data: '/etc/passwd' },
  'sub/dir/s': 'S',
  '.gitattributes': 'f export-ignore\nsub/dir/s export-subst filter=evil\n',
} as const;

test('a branch, a tag, a name in full, a commit: the files as a checkout has them', async (t) => {
  const commit = makeRepository(work, 'plain.git', FILES);
  const repository = join(work, 'plain.git');
  runGit(repository, ['tag', '-a', '-m', 'x', 'v1', commit]);
  runGit(repository, ['update-ref', 'refs/other/x', commit]);
  const later = commitTo(repository, { f: 'G' });
  const expected = {
    '.gitattributes': '644 f export-ignore\nsub/dir/s export-subst filter=evil\n',
    f: '644 F',
    link: '-> /etc/passwd',
    run: '755 R',
    'sub/dir/s': '644 S',
  };
  for (const ref of ['v1', 'refs/tags/v1', 'refs/other/x', 'other/x', commit]) {
    const found = await fetched('plain.git', { ref });
    t.is(found.commit, commit, ref);
    t.deepEqual(tree(found), expected, ref);
    t.deepEqual([...new Set(found.entries.map(({ mtime }) => mtime))], [COMMITTED]);
  }
  for (const ref of [undefined, 'main', 'refs/heads/main']) {
    const found = await fetched('plain.git', { ...(ref !== undefined && { ref }) });
    t.is(found.commit, later);
    t.deepEqual(tree(found), { f: '644 G' });
  }
});

test('of a folder below it: its files, with the time of the commit', async (t) => {
  makeRepository(work, 'below.git', FILES);
  const found = await fetched('below.git', { subdir: 'sub' });
  t.deepEqual(tree(found), { 'dir/s': '644 S' });
  t.deepEqual([...new Set(found.entries.map(({ mtime }) => mtime))], [COMMITTED]);
  for (const subdir of ['f', 'link', 'nothing', 'sub/dir/s'])
    await t.throwsAsync(fetched('below.git', { subdir }), { message: /has no folder/ });
});

test('whose commit is known already is not fetched', async (t) => {
  const commit = makeRepository(work, 'known.git', FILES);
  const asked = () => server.asked.filter((url) => url.startsWith('/known.git')).length;
  t.is((await fetched('known.git', { go: false, ref: commit })).commit, commit);
  t.is(asked(), 0);
  t.is((await fetched('known.git', { go: false })).commit, commit);
  // one for what the server can do, and one for its refs
  t.is(asked(), 2);
});

test('what is not there', async (t) => {
  makeRepository(work, 'there.git', FILES);
  await t.throwsAsync(fetched('there.git', { ref: 'nope' }), { message: 'repository does not contain ref nope' });
  await t.throwsAsync(fetched('there.git', { ref: '0'.repeat(40) }), { message: /failed to fetch|has no commit/ });
  const missing = await t.throwsAsync(fetched('missing.git'), { instanceOf: HuskError });
  t.regex(missing.message, /^failed to fetch remote http:\/\/127\.0\.0\.1:\d+\/missing\.git: repository .* not found$/);
});

test('submodules lie at their paths, one below the other', async (t) => {
  const innermost = makeRepository(work, 'innermost.git', { i: 'I' });
  const inner = makeRepository(work, 'inner.git', {
    m: 'M',
    deep: { commit: innermost },
    '.gitmodules': '[submodule "x"]\n\tpath = deep\n\turl = ../innermost.git\n',
  });
  makeRepository(work, 'outer.git', {
    o: 'O',
    'lib/inner': { commit: inner },
    '.gitmodules': `[submodule "../../x"]\n\tpath = lib/inner\n\turl = ${server.url}/inner.git\n\tupdate = !touch ${work}/evil\n`,
  });
  const names = (found: Fetched) => Object.keys(tree(found)).sort();
  t.deepEqual(names(await fetched('outer.git')), [
    '.gitmodules',
    'lib/inner/.gitmodules',
    'lib/inner/deep/i',
    'lib/inner/m',
    'o',
  ]);
  t.deepEqual(names(await fetched('outer.git', { submodules: false })), ['.gitmodules', 'o']);
  t.deepEqual(names(await fetched('outer.git', { subdir: 'lib' })), ['inner/.gitmodules', 'inner/deep/i', 'inner/m']);
  t.deepEqual(names(await fetched('outer.git', { subdir: 'lib/inner/deep' })), ['i']);
  t.false(existsSync(join(work, 'evil')));
});

test('the folder .git is that of a clone, and says nothing of who has fetched', async (t) => {
  const commit = makeRepository(work, 'kept.git', FILES);
  const { tar } = await fetched('kept.git', {
    keepGitDir: true,
    repository: `${server.url.replace('//', '//u:secret@')}/kept.git`,
  });
  const folder = mkdtempSync(join(work, 'kept-'));
  const file = join(work, 'kept.tar');
  writeFileSync(file, tar);
  execFileSync('tar', ['-xf', file, '-C', folder]);
  t.is(runGit(folder, ['rev-parse', 'HEAD']), commit);
  t.is(runGit(folder, ['status', '--porcelain']), '');
  t.is(runGit(folder, ['fsck', '--strict']), '');
  t.is(runGit(folder, ['config', 'remote.origin.url']), `${server.url}/kept.git`);
  t.false(tar.includes('secret'));
  t.false(existsSync(join(folder, '.git/hooks')));
});

const module = (path: string, url: string): string => `[submodule "x"]\n\tpath = ${path}\n\turl = ${url}\n`;
const HOSTILE: [what: string, files: () => Parameters<typeof makeRepository>[2], why: RegExp][] = [
  ['a submodule and no .gitmodules', () => ({ m: { commit: '1'.repeat(40) } }), /no url found for submodule path "m"/],
  [
    'a submodule of this disk',
    () => ({ m: { commit: '1'.repeat(40) }, '.gitmodules': module('m', `file://${work}/x.git`) }),
    /http, https or ssh/,
  ],
  [
    'a submodule of a path',
    () => ({ m: { commit: '1'.repeat(40) }, '.gitmodules': module('m', work) }),
    /http, https or ssh/,
  ],
  [
    'a submodule by a command',
    () => ({ m: { commit: '1'.repeat(40) }, '.gitmodules': module('m', `"ext::sh -c touch% ${work}/evil"`) }),
    /space|http, https or ssh/,
  ],
  [
    'a submodule that is an option',
    () => ({ m: { commit: '1'.repeat(40) }, '.gitmodules': module('m', '--upload-pack=x') }),
    /http, https or ssh/,
  ],
  [
    'a submodule without a URL',
    () => ({ m: { commit: '1'.repeat(40) }, '.gitmodules': '[core]\n\tx = 1\n' }),
    /no url found/,
  ],
  [
    'a submodule at an option',
    () => ({ '-m': { commit: '1'.repeat(40) }, '.gitmodules': module('-m', 'http://h/x') }),
    /has the path "-m"/,
  ],
  [
    'an endless .gitmodules',
    () => ({ m: { commit: '1'.repeat(40) }, '.gitmodules': '#'.repeat((1 << 20) + 1) }),
    /more than 1048576 bytes/,
  ],
  [
    'submodules without end',
    () => ({
      ...Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`m${index}`, { commit: '1'.repeat(40) }])),
      '.gitmodules': '',
    }),
    /more than 100 submodules/,
  ],
];
for (const [index, [what, files, why]] of HOSTILE.entries())
  test(`is refused: ${what}`, async (t) => {
    makeRepository(work, `hostile-${index}.git`, files());
    await t.throwsAsync(fetched(`hostile-${index}.git`), { instanceOf: HuskError, message: why });
    t.false(existsSync(join(work, 'evil')));
  });

test('a repository that is its own submodule comes to an end', async (t) => {
  const first = makeRepository(work, 'circle.git', { f: 'F' });
  let commit = first;
  for (let depth = 0; depth < 12; depth++)
    commit = commitTo(join(work, 'circle.git'), { m: { commit }, '.gitmodules': module('m', './') });
  await t.throwsAsync(fetched('circle.git'), { message: /10 levels/ });
});

/** Puts trees that git would not make on `main`: modes, names, and trees or the bytes of files. */
type RawTree = [mode: string, name: string, data: string | RawTree][];
function commitRaw(name: string, tree: RawTree): void {
  const repository = join(work, name);
  runGit(work, ['init', '--quiet', '--bare', '-b', 'main', repository]);
  const write = (type: string, data: Buffer): string =>
    runGit(repository, ['hash-object', '-w', '-t', type, '--literally', '--stdin'], data);
  const treeOf = (entries: RawTree): string =>
    write(
      'tree',
      Buffer.concat(
        entries.flatMap(([mode, path, data]) => [
          Buffer.from(`${mode} ${path}\0`),
          Buffer.from(typeof data === 'string' ? write('blob', Buffer.from(data)) : treeOf(data), 'hex'),
        ]),
      ),
    );
  const commit = runGit(repository, ['commit-tree', '-m', 'x', treeOf(tree)]);
  runGit(repository, ['update-ref', 'refs/heads/main', commit]);
}

test('a .gitmodules that is a link is refused', async (t) => {
  commitRaw('linked.git', [
    ['120000', '.gitmodules', 'f'],
    ['100644', 'f', module('m', 'http://127.0.0.1:1/x')],
  ]);
  await t.throwsAsync(fetched('linked.git'), { instanceOf: HuskError, message: /\.gitmodules .* is no file/ });
});

const LEADS_OUT: [what: string, tree: RawTree][] = [
  ['..', [['40000', '..', [['100644', 'f', 'evil']]]]],
  ['a slash', [['100644', '../../f', 'evil']]],
  ['the root', [['100644', '/etc/f', 'evil']]],
  [
    'a link and a folder of one name',
    [
      ['120000', 'd', '/etc'],
      ['40000', 'd', [['100644', 'f', 'evil']]],
    ],
  ],
];
for (const [index, [what, raw]] of LEADS_OUT.entries())
  test(`a tree with ${what} comes to nothing but names in an archive, or is refused`, async (t) => {
    commitRaw(`out-${index}.git`, raw);
    const outcome = await fetched(`out-${index}.git`).catch((error: unknown) => error);
    if (outcome instanceof Error) t.true(outcome instanceof HuskError, String(outcome));
    else for (const { path } of (outcome as Fetched).entries) t.false(/^\/|(?:^|\/)\.\.(?:\/|$)/.test(path), path);
  });

for (const [index, raw] of (
  [
    [['40000', '.git', [['100644', 'config', '[core]\n\tfsmonitor = touch evil\n']]]],
    [['40000', 'a', [['40000', '.GIT', [['100644', 'config', 'x']]]]]],
    [['120000', '.git', 'elsewhere']],
    [['100644', '.git/config', 'x']],
  ] satisfies RawTree[]
).entries())
  test(`a folder .git that lies in a tree is refused (${index})`, async (t) => {
    commitRaw(`own-folder-${index}.git`, raw);
    await t.throwsAsync(fetched(`own-folder-${index}.git`, { submodules: index > 0 }), {
      instanceOf: HuskError,
      message: /checks out nowhere: ".*\.git/i,
    });
  });

test('a repository and its submodules have one bound together', async (t) => {
  const { randomBytes } = await import('node:crypto');
  const half = () => randomBytes(350_000).toString('hex');
  const inner = makeRepository(work, 'half.git', { f: half() });
  makeRepository(work, 'whole.git', {
    f: half(),
    m: { commit: inner },
    '.gitmodules': module('m', `${server.url}/half.git`),
  });
  const maxSize = 600_000;
  t.truthy((await fetched('whole.git', { maxSize, submodules: false })).commit);
  await t.throwsAsync(fetched('whole.git', { maxSize }), { instanceOf: HuskError, message: /more than 600000 bytes/ });
});

test('more than is allowed is not fetched', async (t) => {
  const { randomBytes } = await import('node:crypto');
  makeRepository(work, 'huge.git', { f: randomBytes(2 << 20).toString('hex') });
  const error = await t.throwsAsync(fetched('huge.git', { maxSize: 1 << 20 }), { instanceOf: HuskError });
  t.regex(error.message, /too large|more than 1048576 bytes/);
});

test('hooks, filters and settings of strangers run nowhere', async (t) => {
  const commit = makeRepository(work, 'lfs.git', {
    '.gitattributes': '* filter=lfs\n',
    '.lfsconfig': `[lfs]\n\turl = ${server.url}/lfs\n`,
    big: 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n',
  });
  const before = server.asked.length;
  const found = await fetched('lfs.git', { ref: commit });
  t.regex(tree(found)['big']!, /^644 version https/);
  t.false(server.asked.slice(before).some((url) => url.includes('/lfs/') || url === '/lfs'));
});

test('a redirect leads to no other transport, and back to none that is not safe', async (t) => {
  await using redirecting = await serveRepositories(work, (request, response) => {
    const to = decodeURIComponent(new URL(request.url!, 'http://h').pathname.slice(1).split('/')[0]!);
    response.writeHead(302, { location: `${to}/info/refs?service=git-upload-pack` }).end();
    return true;
  });
  for (const to of ['file:///etc', 'ftp://127.0.0.1/x', 'gopher://127.0.0.1:1/x'])
    await t.throwsAsync(fetched(`${redirecting.url}/${encodeURIComponent(to)}/x.git`), {
      message: /^failed to fetch remote/,
    });
});

test('https never leads to http', async (t) => {
  makeRepository(work, 'plain-http.git', FILES);
  const secure = createSecureServer(selfSigned(), (request, response) =>
    response.writeHead(302, { location: `${server.url}${request.url}` }).end(),
  );
  await new Promise<void>((listening) => secure.listen(0, '127.0.0.1', listening));
  const repository = `https://127.0.0.1:${(secure.address() as AddressInfo).port}/plain-http.git`;
  await t.throwsAsync(fetched(repository, { transport: 'https' }), { message: /certificate/ });
  const unverified = { GIT_SSL_NO_VERIFY: '1' };
  await t.throwsAsync(fetched(repository, { transport: 'https', env: unverified }), {
    message: /^failed to fetch remote/,
  });
  t.deepEqual(
    server.asked.filter((url) => url.startsWith('/plain-http.git')),
    [],
  );
  await new Promise((closed) => secure.close(closed));
});

test('a token goes to its own server, and by no redirect to another', async (t) => {
  makeRepository(work, 'private.git', FILES);
  const heard: (string | undefined)[] = [];
  const { key, cert } = selfSigned();
  const listen = async (answer: RequestListener) => {
    const secure = createSecureServer({ key, cert }, answer);
    await new Promise<void>((listening) => secure.listen(0, '127.0.0.1', listening));
    return { secure, origin: `https://127.0.0.1:${(secure.address() as AddressInfo).port}/` };
  };
  const other = await listen((request, response) => {
    heard.push(request.headers.authorization);
    response.writeHead(404).end();
  });
  const own = await listen((request, response) => {
    if (request.url!.startsWith('/redirected'))
      response.writeHead(302, { location: `${other.origin}x.git/info/refs?service=git-upload-pack` }).end();
    else if (request.headers.authorization === 'basic x') backend(work, request, response);
    else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  const env = { GIT_SSL_NO_VERIFY: '1' };
  const auth = { origin: own.origin, header: 'basic x' };
  const transport = 'https' as const;
  t.is(tree(await fetched(`${own.origin}private.git`, { transport, env, auth }))['f'], '644 F');
  await t.throwsAsync(fetched(`${own.origin}private.git`, { transport, env }), { message: /^failed to fetch remote/ });
  await t.throwsAsync(fetched(`${own.origin}redirected.git`, { transport, env, auth }));
  await t.throwsAsync(fetched(`${other.origin}x.git`, { transport, env, auth }));
  t.deepEqual(
    heard.filter((header) => header !== undefined),
    [],
  );
  t.is(heard.length, 1);
  for (const { secure } of [own, other]) await new Promise((closed) => secure.close(closed));
});

test('what a server says moves no cursor', async (t) => {
  await using shouting = await serveRepositories(work, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
    const line = (text: string) => `${(text.length + 4).toString(16).padStart(4, '0')}${text}`;
    response.end(`${line('# service=git-upload-pack\n')}0000${line('ERR \x1b[31m\x1b]0;title\x07red\x9b1m\r\n')}`);
    return true;
  });
  const error = await t.throwsAsync(fetched(`${shouting.url}/x.git`), { instanceOf: HuskError });
  t.regex(error.message, /red/);
  t.notRegex(error.message, /[\x00-\x1f\x7f-\x9f]/);
});

for (const [text, words] of [
  ['', undefined],
  ['remote: x\nfatal: y\n', 'y'],
  ['fatal: a\nfatal: b\nhint: c\n', 'b'],
  ['\x1b[1;31merror: \x1b[0mbad\n', 'bad'],
  ['a\rb\x00c', 'bc'],
  [
    'fatal: unable to connect to h:\nh[0: 1.2.3.4]: errno=Refused\n\n',
    'unable to connect to h: h[0: 1.2.3.4]: errno=Refused',
  ],
  ['fatal: nothing:\n', 'nothing:'],
  ['ssh: no route\nfatal: Could not read from remote repository.\n\nPlease\n', 'ssh: no route'],
] as const)
  test(`the last words of ${JSON.stringify(text)}`, (t) => t.is(lastWords(text), words));

test('what git prints of trees and settings', (t) => {
  t.deepEqual(entriesOf(`160000 commit ${'a'.repeat(40)}\tp q\n\0nonsense\0`), [
    { mode: '160000', id: 'a'.repeat(40), path: 'p q\n' },
  ]);
  t.deepEqual(
    [...settingsOf('submodule.a.b.path\np\0submodule.a.b.url\nu\nv\0submodule.x.update\n!sh\0core.x\n1\0')],
    [['a.b', { path: 'p', url: 'u\nv' }]],
  );
});
