/**
 * What users reported of other builders, as far as a whole build has to show it and no golden case does. The outcome
 * is written in the words of a golden case; test/images/build/corpus/CASES.md says where each report has its test.
 */
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import type { Image } from '../../../src/images/store/contract.ts';
import { scanTar } from '../../../src/tar/scan.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { makeBox } from './box.ts';
import {
  buildIn,
  huskIn,
  idFileOf,
  makeContext,
  runCase,
  treeOf,
  type GoldenCase,
  type Outcome,
} from './golden-case.ts';
import { problems } from './golden-problems.ts';

const work = temporaryFolder('husk-reported-');
chmodSync(work, 0o755);
const root = join(work, 'root');
let box: Image;

test.before('the image box', async () => {
  box = await makeBox(work, root);
});

/** A case in the words of the golden ones. */
interface Reported extends Pick<GoldenCase, 'dockerfile' | 'files' | 'args' | 'context'> {
  what: string;
  gives: Omit<Outcome, 'later'>;
  /** further builds in the same folder, after the shell's line `do`, and what they give */
  later?: { do?: string; args?: string; cached: number; out?: string[] }[];
}

const CASES: Reported[] = [
  {
    what: 'backticks of a here-document with a quoted delimiter are not run',
    dockerfile: 'FROM box\nRUN <<-"EOF" /bin/sh\n\t# `touch /sneaky`\n\techo "OUT:`echo inside`"\nEOF\n',
    gives: { rc: 0, out: ['OUT:inside'] },
  },
  {
    what: 'COPY --link --chown leaves a folder above that is there to its owner',
    dockerfile: 'FROM box\nRUN mkdir -p /var/lib && chown 3:4 /var/lib\nCOPY --link --chown=200 f /var/lib/x/\n',
    files: { f: '1' },
    gives: {
      rc: 0,
      tree: { 'var/lib': 'd 0755 3:4', 'var/lib/x': 'd 0755 200:200', 'var/lib/x/f': "f 0644 200:200 '1'" },
    },
  },
  {
    what: 'an owner that the stage does not know is told with its line',
    dockerfile: 'FROM box\nCOPY --chown=nobodyhere:nogrp f /f\n',
    files: { f: '1' },
    gives: {
      rc: 1,
      error: 'ERROR: failed to solve: --chown nobodyhere:nogrp: the stage\'s /etc/passwd has no user "nobodyhere"',
      excerpt: ['   1 |     FROM box', '   2 | >>> COPY --chown=nobodyhere:nogrp f /f', '   3 |     '],
    },
  },
  {
    what: 'a Dockerfile in a folder that is ignored is read, and its folder is not copied',
    files: { '.dockerignore': 'df-*\n', 'df-1/Dockerfile': 'FROM box\nCOPY . /c\n', a: '1' },
    args: '-f df-1/Dockerfile',
    gives: {
      rc: 0,
      tree: { c: 'd 0755 0:0', 'c/.dockerignore': "f 0644 0:0 'df-*\\n'", 'c/a': "f 0644 0:0 '1'" },
    },
  },
  {
    what: 'a default Dockerfile that is a link out of the context is refused, one that -f names is not',
    dockerfile: 'FROM box\nRUN echo OUT:read\n',
    files: { 'ctx/Dockerfile': { type: 'link', to: '../Dockerfile' } },
    context: 'ctx',
    gives: { rc: 1, error: 'ERROR: failed to solve: Dockerfile is a link that leads out of the context' },
    later: [{ args: '-f Dockerfile', cached: 1, out: ['OUT:read'] }],
  },
  {
    what: 'what a step writes to a bind of another stage changes no key',
    dockerfile:
      'FROM box AS s\nRUN mkdir /d && echo o > /d/f\nFROM box\n' +
      'RUN --mount=from=s,source=/d,target=/m,rw echo n > /m/f && touch /m/new\n' +
      'RUN --mount=from=s,source=/d,target=/m echo "OUT:$(cat /m/f) $(ls /m)"\n',
    gives: { rc: 0, out: ['OUT:o f'] },
    later: [{ cached: 3, out: [] }],
  },
  {
    what: 'another seed of a cache runs its step again',
    dockerfile:
      'FROM box AS s\nRUN mkdir /seed && echo one > /seed/f\nFROM box\n' +
      'RUN --mount=type=cache,id=reported,from=s,source=/seed,target=/c echo "OUT:$(cat /c/f)"\n',
    gives: { rc: 0, out: ['OUT:one'] },
    later: [
      { cached: 2, out: [] },
      { do: 'sed -i s/one/two/ Dockerfile', cached: 1, out: ['OUT:two'] },
    ],
  },
  {
    what: 'another address of a host that is added runs no step again, another name does',
    dockerfile: 'FROM box\nRUN grep -c foo /etc/hosts | sed s/^/OUT:/\n',
    args: '--add-host foo:1.2.3.4',
    gives: { rc: 0, out: ['OUT:1'] },
    later: [
      { args: '--add-host foo:5.6.7.8', cached: 1, out: [] },
      { args: '--add-host foo:1.2.3.4 --add-host bar:1.2.3.4', cached: 1, out: ['OUT:1'] },
    ],
  },
  {
    what: 'what a later step deletes in a VOLUME is deleted',
    dockerfile: 'FROM box\nRUN mkdir /v && touch /v/a /v/b\nVOLUME /v\nRUN rm /v/a\nRUN echo "OUT:$(ls /v)"\n',
    gives: {
      rc: 0,
      out: ['OUT:b'],
      config: { Volumes: { '/v': {} } },
      tree: { v: 'd 0755 0:0', 'v/b': "f 0644 0:0 ''" },
    },
  },
  {
    what: 'another path in COPY --from copies again',
    dockerfile:
      'FROM box AS b\nRUN mkdir /d && echo 1 > /d/f1 && echo 2 > /d/f2\nFROM box\nCOPY --from=b /d/f1 /x\n' +
      'RUN echo "OUT:$(cat /x)"\n',
    gives: { rc: 0, out: ['OUT:1'], tree: { x: "f 0644 0:0 '2\\n'" } },
    later: [{ do: 'sed -i "s:d/f1 /x:d/f2 /x:" Dockerfile', cached: 2, out: ['OUT:2'] }],
  },
];
for (const { what, gives, later = [], ...build } of CASES)
  test.serial(what, async (t) => {
    const then = later.map(({ do: line, args }) => ({ ...(line && { do: line }), ...(args && { args }) }));
    const outcomes = later.map(({ cached, out }) => ({ rc: 0, cached, ...(out && { out }) }));
    // oxlint-disable unicorn/no-thenable -- the corpus names its further builds so
    const golden: GoldenCase = {
      ...build,
      id: `reported: ${what}`,
      ...(later.length > 0 && { then }),
      buildkit: { ...gives, ...(later.length > 0 && { then: outcomes }) },
    };
    // oxlint-enable unicorn/no-thenable
    t.deepEqual(problems(await runCase(makeContext(work, golden), root, golden, box), golden), []);
  });

const folderWith = (dockerfile: string): string => makeContext(work, { id: 'own', dockerfile, buildkit: { rc: 0 } });

/** As `ls -F` marks them. */
const MARKS: Record<string, string> = { symlink: '@', directory: '/' };

/** @returns the names of the members of an image's last layers, a text for each layer */
async function lastLayers(id: string, count: number): Promise<string[]> {
  using engine = await openEngine({ dataRoot: root });
  return engine.images
    .get(id)
    .layers.slice(-count)
    .map(({ tar }) => {
      const names: string[] = [];
      scanTar(tar, ({ path, type }) => names.push(`${path}${MARKS[type] ?? ''}`));
      return names.join(' ');
    });
}

async function treeBelow(id: string, names: readonly string[]): Promise<Record<string, string>> {
  using engine = await openEngine({ dataRoot: root });
  const tree = [...treeOf(engine.images.get(id))];
  return Object.fromEntries(tree.filter(([path]) => names.includes(path.split('/')[0]!)));
}

test.serial(
  'a deleted file stays deleted in a build out of the cache, in its steps, and where it is exported',
  async (t) => {
    const lines = 'FROM box\nRUN mkdir -p /d && echo 1 > /d/f\nRUN rm /d/f\nENV X=';
    for (const value of [1, 2]) {
      const out = join(work, `deleted-${value}`);
      const folder = folderWith(`${lines}${value}\nRUN echo "OUT:$X$(ls /d)."\n`);
      const { code, said, id } = await buildIn(folder, root, ['--load', '-o', out]);
      t.is(code, 0, said);
      t.regex(said, new RegExp(`^#\\d+ [\\d.]+ OUT:${value}\\.$`, 'm'));
      t.is([...said.matchAll(/^#\d+ \[\d\/4\] RUN .*\n#\d+ CACHED$/gm)].length, value === 1 ? 0 : 2, said);
      t.deepEqual(await treeBelow(id, ['d']), { d: 'd 0755 0:0' });
      t.deepEqual([existsSync(join(out, 'd')), existsSync(join(out, 'd/f'))], [true, false]);
    }
  },
);

test.serial('a folder that becomes a link, and a link that becomes a folder, have nothing beneath them', async (t) => {
  const folder = folderWith(
    'FROM box\nRUN mkdir -p /foo /t && touch /foo/bar && ln -s /t /l\n' +
      'RUN rm -r /foo /l && ln -s /t /foo && mkdir /l && touch /l/x\nRUN echo "OUT:$(find /foo /l /t | xargs)"\n',
  );
  const { code, said, id } = await buildIn(folder, root);
  t.is(code, 0, said);
  t.regex(said, /^#\d+ [\d.]+ OUT:\/foo \/l \/l\/x \/t$/m);
  const [replaced] = await lastLayers(id, 2);
  t.is(replaced, 'foo@ l/ l/x');
  t.deepEqual(await treeBelow(id, ['foo', 'l', 't']), {
    foo: 'l 0777 0:0 -> /t',
    l: 'd 0755 0:0',
    'l/x': "f 0644 0:0 ''",
    t: 'd 0755 0:0',
  });
});

test.serial('a mode that a later step changes leaves the content, and deletes nothing', async (t) => {
  const folder = folderWith('FROM box\nRUN mkdir /e && echo 1 > /e/run\nRUN chmod 0500 /e/run\n');
  const { code, said, id } = await buildIn(folder, root);
  t.is(code, 0, said);
  t.deepEqual(await lastLayers(id, 1), ['e/ e/run']);
  t.deepEqual(await treeBelow(id, ['e']), { e: 'd 0755 0:0', 'e/run': "f 0500 0:0 '1\\n'" });
});

test.serial(
  'a folder of a sibling stage, made anew there, comes over that of the base: anew, cached, uncached',
  async (t) => {
    const folder = folderWith(
      'FROM box AS base\nRUN mkdir /d && touch /d/keep\nFROM base AS sib\n' +
        'RUN rm -r /d && mkdir /d && touch /d/new\nFROM base\nCOPY --from=sib /d/ /d/\n',
    );
    const ids: string[] = [];
    for (const words of [[], [], ['--no-cache']]) {
      const { code, said, id } = await buildIn(folder, root, ['--build-arg', 'SOURCE_DATE_EPOCH=1700000000', ...words]);
      t.is(code, 0, said);
      ids.push(id);
      t.deepEqual(Object.keys(await treeBelow(id, ['d'])), ['d', 'd/keep', 'd/new']);
    }
    t.is(new Set(ids).size, 1);
  },
);

test.serial('a check warns of a file that the ignore file leaves out', async (t) => {
  const folder = makeContext(work, {
    id: 'own',
    dockerfile: 'FROM box\nCOPY a /c/\n',
    files: { '.dockerignore': 'a\n', a: '1' },
    buildkit: { rc: 0 },
  });
  const { code, stdout } = await huskIn(folder, ['--data-root', root, 'build', '--check', '.']);
  t.is(code, 1, stdout);
  t.regex(stdout, /^WARNING: CopyIgnoredFile - /m);
  t.regex(stdout, /"a" that is excluded by \.dockerignore$/m);
});

const LINES = 60_000;

test.serial('sixty thousand lines of a step are all shown, and the last ten again when it fails', async (t) => {
  const folder = folderWith(
    `FROM box\nRUN i=0; while [ $i -lt ${LINES} ]; do echo "line $i of a long log"; i=$((i+1)); done; exit 3\n`,
  );
  const { code, said } = await buildIn(folder, root);
  t.is(code, 1);
  const numbers = [...said.matchAll(/^#\d+ [\d.]+ line (\d+) of a long log$/gm)].map(([, number]) => Number(number));
  t.is(numbers.length, LINES);
  t.true(numbers.every((number, index) => number === index));
  const [, again = ''] = /^------\n > [^\n]*:\n([^]*?)\n------$/m.exec(said) ?? [];
  t.deepEqual(
    again.split('\n').map((line) => Number(/line (\d+)/.exec(line)?.[1])),
    Array.from({ length: 10 }, (_, index) => LINES - 10 + index),
  );
});

/** ms */
const PATIENCE = 30_000;
/** Seconds that no other process of this machine sleeps. */
const SLEEP = `98765.${process.pid}`;

function sleepers(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0').includes(SLEEP);
    } catch {
      return false;
    }
  });
}

test.serial('a step that fails leaves no image under the name, no container, no process and no file', async (t) => {
  const folder = folderWith(
    `FROM box\nRUN sleep ${SLEEP} & \\\n  until grep -q ${SLEEP} /proc/$!/cmdline; do true; done; exit 42\nRUN true\n`,
  );
  const { code, said } = await buildIn(folder, root, ['-t', 'never:made']);
  t.is(code, 1, said);
  t.regex(said, /did not complete successfully: exit code: 42$/m);
  // The kernel takes what the step's first process leaves; on a busy machine it may come to that a little later.
  for (const start = Date.now(); sleepers().length > 0 && Date.now() - start < PATIENCE; await sleep(50));
  t.deepEqual(sleepers(), []);
  t.false(existsSync(idFileOf(folder)));
  using engine = await openEngine({ dataRoot: root });
  t.throws(() => engine.images.get('never:made'), { message: /never:made/ });
  t.deepEqual(engine.list({ all: true }), []);
  for (const name of ['tmp', 'build-locks']) t.deepEqual(readdirSync(join(root, name)), [], name);
});
