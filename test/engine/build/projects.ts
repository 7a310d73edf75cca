/**
 * The projects of the corpus (test/images/build/corpus/runnable): apt with shared caches, a static program out of a
 * second stage, Python with a health check, npm with a secret, nginx with here-documents; with programs that stand in
 * for apt-get, gcc, npm and the like, so that the mechanics are looked at without a network.
 */
import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { ROOT } from '../../fixtures/user.ts';
import { makeBox } from './box.ts';
import { treeOf } from './golden-case.ts';

export const PROJECTS = join(ROOT, 'test/images/build/corpus/runnable');

/** What each program does that a project calls, as far as the project can see it. */
const STAND_INS: Record<string, string> = {
  'apt-get': `mkdir -p /var/lib/apt/lists; echo "$1" >>/var/cache/apt/asked; echo "$@" >>/var/lib/apt/lists/asked`,
  gcc: `[ "$*" = "-Os -static -o /out/hello main.c" ] && grep -q main main.c && echo program >/out/hello && chmod 755 /out/hello`,
  python3: `[ "$1 $2 $3" = "-m compileall -q" ] && mkdir "$4/__pycache__" && : >"$4/__pycache__/main.pyc"`,
  useradd: `echo web:x:1001:1001::/home/web:/bin/sh >>/etc/passwd && echo web:x:1001: >>/etc/group`,
  npm: `[ -s "$NODE_EXTRA_CA_CERTS" ] && mkdir -p node_modules/ms && cp package.json node_modules/ms/ && echo "$@" >>/root/.npm/asked`,
  node: `[ "$1" = --test ] && [ -f node_modules/ms/package.json ] && [ -f app.test.js ] && echo tested`,
  nginx: `[ "$1" = -t ] && grep -q 'listen 8080' /etc/nginx/sites-enabled/default`,
};

interface Project {
  words?: string[];
  /** what the tree has, as golden cases have it; null for what it must not have */
  tree: Record<string, RegExp | null>;
  /** of the config */
  config: Record<string, unknown>;
  /** steps of the second build that come out of the cache */
  cached: number;
}

export const projects: Record<string, Project> = {
  'apt-cache': {
    tree: {
      'etc/apt/apt.conf.d/keep-cache': /Keep-Downloaded-Packages/,
      'var/cache/apt/asked': null,
      'var/lib/apt/lists': null,
    },
    config: { Cmd: ['hello'] },
    cached: 2,
  },
  'c-static': {
    tree: { hello: /^f 0755 0:0 'program\\n'$/, out: null, src: null, bin: null },
    config: { Entrypoint: ['/hello'], User: '65534:65534', Env: [/^PATH=/] },
    cached: 5,
  },
  'python-app': {
    tree: {
      'app/app': /^d 0755 1001:1001$/,
      'app/app/main.py': /^f 0644 1001:1001 /,
      'app/app/__pycache__/main.pyc': /^f 0644 1001:1001 ''$/,
    },
    config: {
      User: 'web',
      WorkingDir: '/app',
      StopSignal: 'SIGINT',
      ExposedPorts: { '8000/tcp': {} },
      Cmd: ['python3', '-m', 'http.server', '8000', '--directory', 'app'],
      Healthcheck: {
        Test: ['CMD-SHELL', 'curl -fsS http://127.0.0.1:8000/ || exit 1'],
        Interval: 2e9,
        Timeout: 2e9,
        Retries: 3,
      },
    },
    cached: 6,
  },
  'node-app': {
    words: ['--secret', 'id=ca,src=ca.crt'],
    tree: {
      'app/server.js': /^f 0644 0:0 /,
      'app/node_modules/ms/package.json': /^f 0644 0:0 /,
      'app/app.test.js': null,
      'run/ca.crt': null,
      'root/.npm': null,
    },
    config: { User: '1000:1000', WorkingDir: '/app', ExposedPorts: { '3000/tcp': {} }, Cmd: ['node', 'server.js'] },
    cached: 7,
  },
  'nginx-site': {
    tree: {
      'etc/nginx/sites-enabled/default': /^f 0644 0:0 'server/,
      'srv/site': /^d 0755 0:0$/,
      'srv/site/index.html': /^f 0644 0:0 /,
      'var/log/nginx/access.log': /^l 0777 0:0 -> \/dev\/stdout$/,
    },
    config: { Entrypoint: ['nginx', '-g', 'daemon off;'], ExposedPorts: { '8080/tcp': {} } },
    cached: 3,
  },
};

/** A copy of a project, with what its command line names. */
export function copyOf(name: string, into: string): string {
  const folder = join(into, name);
  cpSync(join(PROJECTS, name), folder, { recursive: true });
  writeFileSync(join(folder, 'ca.crt'), 'certificate\n');
  return folder;
}

type Husk = (folder: string, words: string[]) => Promise<{ code: number; stdout: string; stderr: string }>;

/** ms for a project whose RUN steps wait for machines to boot */
const PATIENCE = 1_200_000;

/**
 * One test a project, with stand-ins: it is built, has the files and the config that it should, and comes out of the
 * cache the second time; then what the npm project has besides.
 * @param husk runs a command
 * @param isolation of the projects' RUN steps; their base is made in user namespaces
 */
export function testProjects(husk: Husk, isolation: 'userns' | 'vm'): void {
  const work = temporaryFolder('husk-projects-');
  chmodSync(work, 0o755);
  const root = join(work, 'root');
  const build = (folder: string, words: readonly string[], how: string = isolation) =>
    husk(folder, [
      '--data-root',
      root,
      'build',
      '--progress=plain',
      `--isolation=${how}`,
      '--network=none',
      ...words,
      '.',
    ]);

  test.before('the base, with stand-ins', async (t) => {
    await makeBox(work, root);
    const folder = join(work, 'base');
    mkdirSync(folder);
    for (const [name, script] of Object.entries(STAND_INS)) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, name), 0o755);
    }
    writeFileSync(
      join(folder, 'Dockerfile'),
      `FROM box\nCOPY --exclude=Dockerfile . /usr/bin/\nRUN mkdir -p /etc/apt/apt.conf.d /var/log/nginx /var/cache/apt\n`,
    );
    for (const name of ['deb', 'tools']) {
      const { code, stderr } = await build(folder, ['-t', name], 'userns');
      t.is(code, 0, stderr);
    }
  });

  for (const [name, { words = [], tree, config, cached }] of Object.entries(projects))
    test.serial(`${name} with stand-ins (${isolation})`, async (t) => {
      t.timeout(PATIENCE);
      const folder = copyOf(name, work);
      const first = await build(folder, [...words, '-t', name]);
      t.is(first.code, 0, first.stderr);
      t.notRegex(first.stderr, /WARNING|warning/);
      using engine = await openEngine({ dataRoot: root });
      const image = engine.images.get(name);
      const made = treeOf(image);
      for (const [path, wanted] of Object.entries(tree))
        if (wanted === null) t.is(made.get(path), undefined, path);
        else t.regex(made.get(path) ?? 'nothing', wanted, path);
      const own = image.config.config as Record<string, unknown>;
      for (const [key, wanted] of Object.entries(config))
        if (key === 'Env') t.regex((own[key] as string[])[0]!, (wanted as RegExp[])[0]!);
        else t.deepEqual(own[key], wanted, key);
      const again = await build(folder, [...words, '-t', name]);
      t.is(again.code, 0, again.stderr);
      t.is([...again.stderr.matchAll(/^#\d+ CACHED$/gm)].length - basesIn(again.stderr), cached, again.stderr);
      t.is(engine.images.get(name).id, image.id);
    });

  test.serial(`node-app: its test stage, and the build without its secret (${isolation})`, async (t) => {
    t.timeout(PATIENCE);
    const folder = join(work, 'node-app');
    const tested = await build(folder, ['--secret', 'id=ca,src=ca.crt', '--target', 'test']);
    t.is(tested.code, 0, tested.stderr);
    t.regex(tested.stderr, /^#\d+ [\d.]+ tested$/m);
    const without = await build(folder, ['--no-cache-filter', 'deps']);
    t.is(without.code, 1);
    t.regex(without.stderr, /^>>> RUN --mount=type=cache,target=\/root\/\.npm|^ +\d+ \| >>> RUN --mount/m);
  });
}

/** Lines that say that a base is there already. */
const basesIn = (stderr: string): number => [...stderr.matchAll(/^#\d+ \[[^\]]*\] FROM /gm)].length;
