/**
 * Any text as a Dockerfile, as a word, as a trigger: what is refused is refused in one line with a place in the file,
 * nothing else is thrown, and the time is that of the length. The seed is in the title; HUSK_FUZZ_SECONDS lengthens the
 * run.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { parseDockerfile } from '../../../src/images/build/dockerfile/parse.ts';
import { expand } from '../../../src/images/build/dockerfile/words.ts';
import { excerpt } from '../../../src/images/build/excerpt.ts';
import { BuildError } from '../../../src/images/build/operations.ts';
import { applyChanges } from '../../../src/images/build/plan/changes.ts';
import { lintDockerfile, planBuild } from '../../../src/images/build/plan/plan.ts';
import { BOX, planOptions } from './plan/options.ts';

const SECONDS = Number(process.env['HUSK_FUZZ_SECONDS'] ?? 1);
const SEED = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
/** milliseconds of CPU time that one input may take: small beside "for ever" */
const LIMIT = 1500;

/** xorshift32: the same run for the same seed */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Pick = ReturnType<typeof random>;
const one = <T>(pick: Pick, of: readonly T[]): T => of[pick(of.length)]!;
const some = (pick: Pick, most: number, of: readonly string[]) =>
  Array.from({ length: pick(most) }, () => one(pick, of)).join('');

const NAMES = 'FROM ARG RUN COPY ADD ENV LABEL CMD ENTRYPOINT SHELL EXPOSE VOLUME USER WORKDIR ONBUILD HEALTHCHECK';
const INSTRUCTIONS = [...NAMES.split(' '), 'STOPSIGNAL', 'MAINTAINER', 'RUNN', '', 'from', 'constructor', '__proto__'];
const PIECES = [
  'a',
  'b=',
  '=',
  ' ',
  ' ',
  ' ',
  '\t',
  '"',
  "'",
  '\\',
  '`',
  '$',
  '$a',
  '${',
  '}',
  ':-',
  ':+',
  '?',
  '#',
  '##',
  '%',
  '/',
  '*',
  '<<E',
  '<<-"E"',
  '<<',
  '-',
  '--',
  '--from=a',
  '--from=0',
  '--mount=',
  'type=cache,',
  'target=/t',
  'from=b,',
  '--chmod=7',
  '--link',
  '[',
  ']',
  '"x"',
  ',',
  '\\\n',
  ' \\ \n',
  '\r',
  '\n#c\n',
  '\n\n',
  '\nE\n',
  '\0',
  'é',
  '한',
  '\u{1f600}',
  '\ud800',
  '\u2028',
  '\ufeff',
  'AS b',
  'scratch',
  'https://h/x.git#r:d',
  '80-90/TCP',
  '..',
  '/',
  'CMD',
  '--interval=1s',
  '1m',
  '\n# escape=`\n',
  '\n# check=skip=all\n',
  '__proto__',
  '{',
  '$(x)',
  '~',
  '|',
  '&&',
  '\x1b[2J',
  '-1',
  '99999999999999999999',
];

const someLine = (pick: Pick) =>
  `${one(pick, INSTRUCTIONS)}${one(pick, [' ', ' ', ' ', '\t', ''])}${some(pick, 12, PIECES)}`;

function someFile(pick: Pick): string {
  const lines = Array.from({ length: pick(12) }, () => someLine(pick));
  const head = one(pick, ['', '', '\ufeff', '# escape=`\n', '# syntax=docker/dockerfile:1\n', '# check=error=true\n']);
  return `${head}${one(pick, ['FROM a AS a\n', 'FROM a AS a\nFROM a AS b\n', ''])}${lines.join('\n')}\n`;
}

const corpus = ['real', 'buildah'].flatMap((folder) => {
  const root = join(import.meta.dirname, 'corpus', folder);
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => join(root, name))
    .filter((path) => statSync(path).isFile());
});

/** A file that somebody wrote, with a few bytes changed, left out or doubled. */
function mutated(pick: Pick): Uint8Array {
  let bytes = Buffer.from(readFileSync(one(pick, corpus)));
  for (let count = pick(6); count > 0; count--) {
    const at = pick(bytes.length + 1);
    const part = bytes.subarray(at, at + pick(20));
    const put = one(pick, [Buffer.from(one(pick, PIECES)), part, Buffer.alloc(0), Buffer.from([pick(256)])]);
    bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + pick(10))]);
  }
  return bytes;
}

/** Runs one input; @returns the error that refused it. */
async function refusal(work: () => unknown): Promise<HuskError | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    return error;
  }
}

async function forSeconds(run: (pick: Pick) => Promise<void>): Promise<void> {
  const pick = random(SEED);
  for (const end = Date.now() + SECONDS * 1000; Date.now() < end;) {
    const before = process.cpuUsage();
    await run(pick);
    const { user, system } = process.cpuUsage(before);
    if ((user + system) / 1000 > LIMIT) throw new Error(`an input took ${(user + system) / 1000} ms`);
  }
}

async function tryFile(bytes: Uint8Array, config: typeof BOX): Promise<void> {
  const lines = new TextDecoder().decode(bytes).split('\n');
  const options = planOptions({ baseConfig: async () => config, buildArgs: new Map([['a', '$a"\'\n']]) });
  const error = await refusal(async () => {
    const dockerfile = parseDockerfile(bytes);
    lintDockerfile(dockerfile, options);
    const { stages, target } = await planBuild(dockerfile, options);
    for (const { base, operations, index } of stages) {
      const origins = operations.flatMap((operation) => {
        if (operation.kind === 'copy') return [operation.origin];
        return operation.kind === 'run' ? operation.mounts.flatMap(({ from }) => from ?? []) : [];
      });
      for (const from of [base, ...origins])
        if (from.kind === 'stage' && from.stage >= index) throw new Error('forward');
      for (const operation of operations) checkPaths(operation);
    }
    if (!stages.some(({ index }) => index === target)) throw new Error('the target is not planned');
  });
  if (!error) return;
  if (/[\n\r]/.test(error.message) && error.message.length > 2000) throw new Error('an error of many lines');
  if (!(error instanceof BuildError)) throw new Error(`no place: ${error.message}`, { cause: error });
  if (error.range && error.range.start > lines.length + 1)
    throw new Error(`place ${error.range.start} of ${lines.length}`);
  if (error.range) excerpt(lines, error.range);
}

/** No path that the planner gives leads out of its root, whatever was written. */
function checkPaths(operation: Awaited<ReturnType<typeof planBuild>>['stages'][number]['operations'][number]): void {
  const up = (path: string) => path.split('/').includes('..');
  if (operation.kind === 'copy') {
    for (const source of operation.sources)
      if (source.kind === 'path' && (up(source.path) || source.path.startsWith('/'))) throw new Error(source.path);
    if (up(operation.destination) || !operation.destination.startsWith('/')) throw new Error(operation.destination);
  }
  if (operation.kind === 'run')
    for (const { target, source = '.' } of operation.mounts)
      if (up(target) || up(source) || target === '/' || (target !== '' && !target.startsWith('/')))
        throw new Error(target);
}

test.serial(`Dockerfiles out of pieces (seed ${SEED})`, async (t) => {
  await forSeconds((pick) => tryFile(new TextEncoder().encode(someFile(pick)), BOX));
  t.pass();
});
test.serial(`Dockerfiles with faults (seed ${SEED})`, async (t) => {
  await forSeconds((pick) => tryFile(mutated(pick), BOX));
  t.pass();
});
test.serial(`triggers of a base (seed ${SEED})`, async (t) => {
  const file = new TextEncoder().encode('FROM a AS b\nFROM base');
  await forSeconds((pick) => tryFile(file, { ...BOX, config: { OnBuild: [someLine(pick), someLine(pick)] } }));
  t.pass();
});
test.serial(`words (seed ${SEED})`, async (t) => {
  await forSeconds(async (pick) => {
    const variables = new Map([['a', some(pick, 40, PIECES)]]);
    const flags = {
      rawQuotes: pick(2) === 0,
      rawEscapes: pick(2) === 0,
      keepUnset: pick(2) === 0,
      plainQuotes: pick(4) === 0,
    };
    await refusal(() =>
      expand(some(pick, 40, PIECES), { escape: one(pick, ['\\', '`'] as const), variables, ...flags }),
    );
  });
  t.pass();
});
test.serial(`changes (seed ${SEED})`, async (t) => {
  await forSeconds(async (pick) => void (await refusal(() => applyChanges({}, [someLine(pick), someLine(pick)]))));
  t.pass();
});

/** A megabyte of one thing takes no longer than its length: a square of it would be hours. */
const long = test.macro({
  async exec(t, text: string) {
    const before = process.cpuUsage();
    await refusal(async () => {
      const dockerfile = parseDockerfile(new TextEncoder().encode(text));
      lintDockerfile(dockerfile, planOptions());
      await planBuild(dockerfile, planOptions());
    });
    const { user, system } = process.cpuUsage(before);
    t.true(user + system < 10e6, `${(user + system) / 1000} ms`);
  },
  title: (name) => `a megabyte of ${name}`,
});
const MEGABYTE = 1 << 20;
const of = (piece: string, before = '', after = '') => before + piece.repeat(MEGABYTE / piece.length) + after;
test.serial('letters in ENV', long, of('x', 'FROM a\nENV A='));
test.serial('pairs', long, of('A=b ', 'FROM a\nENV '));
test.serial('unset variables', long, of('$x ', 'FROM a\nCOPY ', ' /'));
test.serial(
  'unset variables with names of their own',
  long,
  `FROM a\nCOPY ${Array.from({ length: 1e5 }, (_, i) => `$x${i}`).join(' ')} /`,
);
test.serial('dollars', long, of('$', 'FROM a\nENV A='));
test.serial('open braces', long, of('${', 'FROM a\nENV A='));
test.serial('open brackets', long, of('[', 'FROM a\nCMD '));
test.serial('quotes', long, of('"', 'FROM a\nENV A='));
test.serial('escapes', long, of('\\', 'FROM a\nENV A='));
test.serial('escapes and blanks', long, of('\\ ', 'FROM a\nRUN ', 'x'));
test.serial('continuations', long, of('a\\\n', 'FROM a\nRUN '));
test.serial('empty continuations', long, of('  \n', 'FROM a\nRUN x\\', 'y'));
test.serial('comments', long, of('#\n', '', 'FROM a'));
test.serial('blanks in a directive', long, of(' ', '# check=skip=', 'x\nFROM a'));
test.serial('blanks before a mark', long, of(' ', '# escape=x', '\u2028y\nFROM a'));
test.serial('here-documents', long, of('<<E ', 'FROM a\nRUN cat ', `\n${'E\n'.repeat(MEGABYTE / 4)}`));
test.serial('here-documents without an end', long, of('RUN <<E\n', 'FROM a\n'));
test.serial('flags', long, of('--exclude=a ', 'FROM a\nCOPY ', 'a b'));
test.serial('flags of mounts', long, of('--mount=target=/a ', 'FROM a\nRUN ', 'x'));
test.serial('fields of a mount', long, of('ro,', 'FROM a\nRUN --mount=', 'target=/a x'));
test.serial('stars of a pattern', long, of('*a', 'ARG V=aaaaaaaaaaaaaaaaaaaaaaaaaaaa\nFROM a\nARG V\nENV A=${V#', '}'));
test.serial('sources', long, of('a ', 'FROM a\nCOPY ', '/'));
test.serial('parts of a path', long, of('../', 'FROM a\nCOPY ', ' /'));
test.serial('clauses of a mode', long, of('u=r,', 'FROM a\nCOPY --chmod=', ' a /'));
test.serial('operators of a mode', long, of('+r', 'FROM a\nCOPY --chmod=u', '! a /'));
test.serial(
  'stages that name each other',
  long,
  `${Array.from({ length: 1000 }, (_, i) => `FROM a AS s${i}\nCOPY --from=s${i - 1} a /`)
    .join('\n')
    .replace('--from=s-1', '')}`,
);
test.serial('a body that is expanded', long, of('a $b c\n', 'FROM a\nCOPY <<E /\n', 'E\n'));
test.serial('ports', long, of('1-65535 ', 'FROM a\nEXPOSE '));
test.serial('labels', long, `FROM a\n${'LABEL a=b\n'.repeat(16_000)}`);
