/**
 * Builds that take files and repositories from the network, by the command: what they become, what the cache has of
 * them, and whom they do not reach. The servers are on this machine's loopback, which a build sees with the network
 * of the host alone.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { accessSync, chmodSync, constants, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { tarHeader } from '../../../src/tar/write.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { makeRepository, runGit, serveRepositories, type GitServer } from './fetch/git-server.ts';
import { huskIn } from './golden-case.ts';

const work = temporaryFolder('husk-remote-');
chmodSync(work, 0o755);
const root = join(work, 'root');
const empty = join(work, 'empty');
mkdirSync(empty);
/** bytes of a layer in one test: no multiple of what limits are counted in */
const MAX_LAYER = (1 << 20) + 100;
const HOST = ['--network', 'host', '--allow', 'network.host'];

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
const answers = new Map<string, Answer>();
let files: { url: string; asked: string[]; close(): Promise<void> };
let repositories: GitServer;

async function listen(address: string) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url!);
    const answer = answers.get(request.url!);
    if (answer) answer(request, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((listening) => server.listen(0, address, listening));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
  return { url: `http://${address}:${(server.address() as AddressInfo).port}`, asked, close };
}

test.before('servers', async () => {
  files = await listen('127.0.0.1');
  repositories = await serveRepositories(work);
});
test.after.always('servers end', async () => {
  await files?.close();
  await repositories?.[Symbol.asyncDispose]();
});

/** Serves bytes at a path. @returns its URL */
function file(path: string, data: string | Buffer, headers: Record<string, string> = {}): string {
  answers.set(path, (_, response) => void response.writeHead(200, headers).end(data));
  return `${files.url}${path}`;
}

interface Built {
  code: number;
  said: string;
  /** names with modes, owners and bytes, where it was built */
  tree: Record<string, string>;
  /** steps of the Dockerfile that came out of the cache */
  cached: number;
}

let count = 0;

async function build(words: string[], dockerfile?: string): Promise<Built> {
  const output = join(work, `output-${count++}.tar`);
  const { code, stderr } = await huskIn(
    empty,
    ['--data-root', root, 'build', '--progress=plain', '--isolation=userns', '-o', `type=tar,dest=${output}`, ...words],
    { ...(dockerfile !== undefined && { stdin: dockerfile }) },
  );
  const names = new Map([...stderr.matchAll(/^#(\d+) (\[\d.*)$/gm)].map(([, step, name]) => [step!, name!]));
  const cached = [...stderr.matchAll(/^#(\d+) CACHED/gm)].filter(([, step]) => names.has(step!)).length;
  return { code, said: stderr, tree: code === 0 ? listed(output) : {}, cached };
}

/** A Dockerfile from STDIN, with this folder as the context, and the host's network. */
const withFile = (lines: string, words: string[] = []): Promise<Built> =>
  build([...HOST, ...words, '-f', '-', '.'], `FROM scratch\n${lines}\n`);

function listed(tar: string): Record<string, string> {
  const lines = execFileSync('tar', ['--numeric-owner', '--utc', '--full-time', '-tvf', tar], { encoding: 'utf8' });
  return Object.fromEntries(
    lines
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [mode, owner, size, date, time, ...name] = line.split(/ +/);
        return [
          name.join(' '),
          mode!.startsWith('d') ? `${mode} ${owner}` : `${mode} ${owner} ${size} ${date} ${time}`,
        ];
      }),
  );
}

const digest = (data: string, algorithm = 'sha256'): string =>
  `${algorithm}:${createHash(algorithm).update(data).digest('hex')}`;

function tarOf(name: string, members: Record<string, string>): Buffer {
  const folder = join(work, name);
  for (const [path, data] of Object.entries(members)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), data);
  }
  return execFileSync('tar', [
    '-cz',
    '--owner=7',
    '--group=7',
    '--mode=0640',
    '--mtime=@1000000000',
    '-C',
    folder,
    '.',
  ]);
}

test.serial('a file of a URL: its name, 0600, the time of Last-Modified; owner and mode as asked', async (t) => {
  const archive = tarOf('archive', { x: 'X' });
  const dated = { 'last-modified': 'Wed, 21 Oct 2015 07:28:00 GMT' };
  const url = file('/p/x.tar.gz?q=/y', archive, dated);
  const built = await withFile(
    [
      `ADD ${url} /d/`,
      `ADD --chown=5:6 --chmod=4750 ${url} /own/`,
      `ADD --chown=7:8 ${url} /other/`,
      `ADD ${url} /as`,
      `ADD --unpack=true --chown=1:2 ${url} /un/`,
      `ADD ${file('/BZh', 'no bzip2')} ${file('/a%20b', 'x')} /more/`,
    ].join('\n'),
  );
  t.is(built.code, 0, built.said);
  const size = archive.length;
  t.like(built.tree, {
    'd/x.tar.gz': `-rw------- 0/0 ${size} 2015-10-21 07:28:00`,
    'own/': 'drwxr-xr-x 5/6',
    'own/x.tar.gz': `-rwsr-x--- 5/6 ${size} 2015-10-21 07:28:00`,
    'other/': 'drwxr-xr-x 7/8',
    'other/x.tar.gz': `-rw------- 7/8 ${size} 2015-10-21 07:28:00`,
    as: `-rw------- 0/0 ${size} 2015-10-21 07:28:00`,
    'un/x': '-rw-r----- 1/2 1 2001-09-09 01:46:40',
    'more/BZh': '-rw------- 0/0 8 1970-01-01 00:00:00',
    'more/a b': '-rw------- 0/0 1 1970-01-01 00:00:00',
  });
  // One fetch, however often it is named.
  t.is(files.asked.filter((asked) => asked.startsWith('/p/')).length, 1);
});

test.serial('a checksum: in the key beside the URL, checked before use, and enough without the server', async (t) => {
  const one = file('/one/same', 'ALPHA');
  const other = file('/two/same', 'BRAVO');
  const add = (url: string, checksum: string): string => `ADD --checksum=${checksum} ${url} /f`;
  t.is((await withFile(add(one, digest('ALPHA')))).code, 0);
  const before = files.asked.length;
  const again = await withFile(add(one, digest('ALPHA')));
  t.deepEqual([again.code, again.cached, files.asked.length], [0, 1, before], again.said);
  const wrong = await withFile(add(other, digest('ALPHA')));
  t.is(wrong.code, 1);
  t.regex(wrong.said, new RegExp(`digest mismatch ${digest('BRAVO')}: ${digest('ALPHA')}$`, 'm'));
  t.regex(wrong.said, /^ {3}2 \| >>> ADD /m);
  for (const algorithm of ['sha384', 'sha512'])
    t.is((await withFile(add(other, digest('BRAVO', algorithm)))).code, 0, algorithm);
});

test.serial('an ETag saves the download; one that nobody asked for does not count', async (t) => {
  let bodies = 0;
  let etag = '"1"';
  let content = 'first';
  answers.set('/etag', (request, response) => {
    response.setHeader('etag', etag);
    if (request.headers['if-none-match'] !== undefined) return void response.writeHead(304).end();
    bodies++;
    response.end(content);
  });
  const add = `ADD ${files.url}/etag /f`;
  t.is((await withFile(add)).code, 0);
  const same = await withFile(add);
  t.deepEqual([same.code, same.cached, bodies], [0, 1, 1], same.said);
  [etag, content] = ['"2"', 'other'];
  const changed = await withFile(add);
  t.deepEqual([changed.code, changed.cached, bodies], [0, 0, 2], changed.said);
});

test.serial('the same bytes and the same URL are cached without any header', async (t) => {
  const add = `ADD ${file('/plain', 'x')} /f`;
  t.is((await withFile(add)).cached, 0);
  t.is((await withFile(add)).cached, 1);
  file('/plain', 'y');
  t.is((await withFile(add)).cached, 0);
});

test.serial('what a server refuses is told in the words of BuildKit', async (t) => {
  const { code, said } = await withFile(`ADD ${files.url}/missing /f`);
  t.is(code, 1);
  t.regex(said, /^ERROR: failed to solve: failed to load cache key: invalid response status 404$/m);
  t.regex(said, /^Dockerfile:2\n-+\n {3}1 \| {5}FROM scratch\n {3}2 \| >>> ADD /m);
  const context = await build([...HOST, `${files.url}/missing`]);
  t.is(context.code, 1);
  t.regex(context.said, /^ERROR: .*failed to read downloaded context: .*invalid response status 404$/m);
});

test.serial('a context from a URL: an archive, or a Dockerfile', async (t) => {
  const archive = tarOf('context', {
    Dockerfile: 'FROM scratch\nCOPY . /c\n',
    'sub/other': 'FROM scratch\nCOPY sub /s\n',
    f: 'F',
  });
  const url = file('/context.tgz', archive);
  const whole = await build([...HOST, url]);
  t.is(whole.code, 0, whole.said);
  t.is(whole.tree['c/f'], '-rw-r----- 0/0 1 2001-09-09 01:46:40');
  const other = await build([...HOST, '-f', 'sub/other', url]);
  t.deepEqual(Object.keys(other.tree), ['s/', 's/other'], other.said);
  const alone = await build([...HOST, file('/Dockerfile', 'FROM scratch\nCOPY <<E /e\nx\nE\n')]);
  t.deepEqual(Object.keys(alone.tree), ['e'], alone.said);
  const named = await withFile('COPY --from=n f /n', ['--build-context', `n=${url}`]);
  t.deepEqual(Object.keys(named.tree), ['n'], named.said);
  const based = await build([...HOST, '-f', '-', '--build-context', `n=${url}`, '.'], 'FROM n\nWORKDIR /w\n');
  t.is(based.code, 0, based.said);
  // Whoever's they were in the archive, they are root's here.
  for (const [path, line] of Object.entries(based.tree)) t.regex(line, / 0\/0\b/, path);
  t.true(
    ['w/', 'sub/other'].every((path) => path in based.tree),
    Object.keys(based.tree).join(' '),
  );
  const checked = await huskIn(empty, ['--data-root', root, 'build', '--check', ...HOST, url]);
  t.is(checked.code, 0, checked.stderr);
});

test.serial('a repository: as the context, by name, and in ADD', async (t) => {
  const commit = makeRepository(work, 'app.git', {
    Dockerfile: 'FROM scratch\nCOPY . /c\n',
    run: { mode: '100755', data: 'R' },
    'sub/Dockerfile': 'FROM scratch\nCOPY s /only\n',
    'sub/s': 'S',
  });
  runGit(join(work, 'app.git'), ['tag', 'v1', commit]);
  const url = `${repositories.url}/app.git`;
  const whole = await build([...HOST, url]);
  t.deepEqual(whole.tree['c/run'], '-rwxr-xr-x 0/0 1 2020-01-02 03:04:05', whole.said);
  t.deepEqual(Object.keys((await build([...HOST, `${url}#main:sub`])).tree), ['only']);
  t.deepEqual(Object.keys((await build([...HOST, `${url}?tag=v1&subdir=sub`])).tree), ['only']);
  t.deepEqual(Object.keys((await withFile('COPY --from=n sub/s /n', ['--build-context', `n=${url}#v1`])).tree), ['n']);
  const lines = `ADD --chown=3:4 ${url}#${commit}:sub /a\nADD --keep-git-dir=true --checksum=${commit} ${url} /k`;
  const added = await withFile(lines);
  t.is(added.code, 0, added.said);
  t.is(added.tree['a/s'], '-rw-r--r-- 3/4 1 2020-01-02 03:04:05');
  t.regex(added.tree['k/.git/HEAD']!, /^-rw-r--r-- 0\/0 41 /);
  t.is((await withFile(lines)).cached, 2);
  const wrong = await withFile(`ADD --checksum=${'0'.repeat(40)} ${url} /k`);
  t.regex(wrong.said, new RegExp(`expected checksum to match ${'0'.repeat(40)}, got ${commit}$`, 'm'));
  const before = repositories.asked.length;
  t.is((await withFile(`ADD ${url}#${commit}:sub /a`)).code, 0);
  t.is(repositories.asked.length, before);
});

test.serial('what grows when it is decompressed, or without an end, is bounded', async (t) => {
  const config = join(work, 'config.json');
  writeFileSync(config, JSON.stringify({ 'max-layer-size': MAX_LAYER }));
  const zeros = Buffer.alloc(8 << 20);
  const bomb = gzipSync(Buffer.concat([tarHeader({ type: 'file', path: 'zeros', size: zeros.length }), zeros]));
  const url = file('/bomb.tgz', bomb);
  const large = file('/large', zeros);
  const before = process.env['HUSK_CONFIG'];
  process.env['HUSK_CONFIG'] = config;
  try {
    for (const built of [
      await build([...HOST, url]),
      await withFile(`ADD --unpack=true ${url} /f/`),
      await withFile(`ADD ${large} /f`),
    ]) {
      t.is(built.code, 1);
      t.regex(built.said, new RegExp(`larger than ${MAX_LAYER} bytes`));
    }
    makeRepository(work, 'big.git', { f: randomBytes(1 << 20).toString('hex') });
    makeRepository(work, 'small.git', { f: 'F' });
    const big = await withFile(`ADD ${repositories.url}/big.git /f`);
    t.regex(big.said, /what it fetches is too large|more than \d+ bytes/);
    // a folder of ten folders of ten folders …, each of them one object
    makeRepository(work, 'tree.git', { f: 'F' });
    const bare = join(work, 'tree.git');
    let tree = runGit(bare, ['rev-parse', 'main^{tree}']);
    for (let depth = 0; depth < 9; depth++) {
      const lines = Array.from({ length: 10 }, (_, index) => `040000 tree ${tree}\t${index}\n`);
      tree = runGit(bare, ['mktree'], lines.join(''));
    }
    runGit(bare, ['update-ref', 'refs/heads/main', runGit(bare, ['commit-tree', '-m', 'x', tree])]);
    const without = await withFile(`ADD ${repositories.url}/tree.git /f`);
    t.regex(without.said, new RegExp(`more files than fit into ${MAX_LAYER} bytes`));
    const small = await withFile(`ADD ${repositories.url}/small.git /f`);
    t.is(small.code, 0, small.said);
  } finally {
    if (before === undefined) delete process.env['HUSK_CONFIG'];
    else process.env['HUSK_CONFIG'] = before;
  }
});

const REFUSED: [what: string, lines: string, said: RegExp][] = [
  ['an option as a ref', 'ADD https://h/a.git#--upload-pack=x /f', /no name of a branch/],
  ['an option as a host', 'ADD ssh://-oProxyCommand=x/a /f', /begins with -|no URL/],
  ['a query that is not known', 'ADD https://h/a.git?depth=1 /f', /unexpected query "depth"/],
  ['a name that no file has', 'ADD http://h/a%2f.. /f', /no file can have the name/],
  ['ssh without an agent', 'ADD git@h:a /f', /no agent was given|ssh is not installed/],
];
for (const [what, lines, said] of REFUSED)
  test.serial(`is refused before anybody is asked: ${what}`, async (t) => {
    const refused = await withFile(lines);
    t.is(refused.code, 1);
    t.regex(refused.said, said);
  });

test.serial('the network of the host has to be allowed', async (t) => {
  const before = files.asked.length;
  const { code, said } = await build(
    ['--network', 'host', '-f', '-', '.'],
    `FROM scratch\nADD ${files.url}/plain /f\n`,
  );
  t.is(code, 1);
  t.regex(said, /network\.host is not allowed/);
  t.is(files.asked.length, before);
});

test.serial('an interrupted fetch ends at once, and leaves nothing', async (t) => {
  const held = Promise.withResolvers<void>();
  answers.set('/held', (_, response) => {
    response.write('x');
    held.resolve();
  });
  const { openEngine } = await import('../../../src/engine/assembly/engine.ts');
  await using engine = await openEngine({ dataRoot: root });
  const controller = new AbortController();
  const building = engine.build(
    {
      context: { kind: 'remote', url: `${files.url}/held`, isGit: false },
      tags: [],
      buildArgs: {},
      contexts: {},
      noCache: false,
      pull: false,
      labels: {},
      annotations: {},
      network: 'host',
      extraHosts: [],
      ulimits: [],
      secrets: [],
      ssh: {},
      allow: ['network.host'],
      outputs: [],
      isolation: 'userns',
    },
    { signal: controller.signal },
  );
  await Promise.race([held.promise, building]);
  controller.abort(new Error('enough'));
  await t.throwsAsync(building, { message: 'enough' });
  t.deepEqual(
    readdirSync(join(root, 'tmp')).filter((name) => name.startsWith('tree-')),
    [],
  );
});

/** whether commands of a build have a way out here; without one they reach nobody, which is right too */
function hasWayOut(): boolean {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return readFileSync('/proc/self/uid_map', 'latin1').includes('4294967295');
  } catch {
    return false;
  }
}

const own = Object.values(networkInterfaces())
  .flatMap((infos) => infos ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

test.serial("a server on the host's loopback hears nothing, by whatever way it is named", async (t) => {
  file('/secret', 'secret');
  const port = new URL(files.url).port;
  const reached = hasWayOut() && own !== undefined ? await listen(own) : undefined;
  const targets = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0'].map(
    (host) => `http://${host}:${port}/secret`,
  );
  if (reached) {
    for (const [index, target] of targets.entries())
      answers.set(`/to/${index}`, (_, response) => void response.writeHead(302, { location: target }).end());
    answers.set('/ok', (_, response) => void response.end('ok'));
  }
  const before = files.asked.length;
  const redirects = reached ? targets.map((_, index) => `${reached.url}/to/${index}`) : [];
  // All of one build are fetched side by side; each of these fails by itself.
  for (const url of [targets[0]!, ...redirects.slice(0, 2)]) {
    const { code, said } = await build(['-f', '-', '.'], `FROM scratch\nADD ${url} /f\n`);
    t.is(code, 1, said);
    t.regex(said, /cannot reach /, said);
  }
  const { code } = await build(['-f', '-', '.'], `FROM scratch\nADD ${[...targets, ...redirects].join(' ')} /f/\n`);
  t.is(code, 1);
  const repository = await build(['-f', '-', '.'], `FROM scratch\nADD ${repositories.url}/app.git /f/\n`);
  t.is(repository.code, 1);
  t.regex(repository.said, /failed to fetch remote/);
  t.deepEqual(files.asked.slice(before), []);
  if (!reached) return t.log('nothing here has a way out: that it would have been heard is not shown');
  const fine = await build(['-f', '-', '.'], `FROM scratch\nADD ${reached.url}/ok /f\n`);
  t.is(fine.code, 0, fine.said);
  t.true(reached.asked.includes('/ok') && reached.asked.includes('/to/0'));
  await reached.close();
});
