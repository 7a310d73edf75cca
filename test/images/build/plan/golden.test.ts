/**
 * The golden cases, as far as they are the parser's and the planner's: errors with their excerpts, configs, histories.
 * What BuildKit did is recorded in corpus/golden; where husk differs on purpose, DIFFERENT says how.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parseDockerfile } from '../../../../src/images/build/dockerfile/parse.ts';
import { excerpt } from '../../../../src/images/build/excerpt.ts';
import { BuildError, type PlanOptions } from '../../../../src/images/build/operations.ts';
import { planBuild } from '../../../../src/images/build/plan/plan.ts';
import { BOX } from './options.ts';

interface Case {
  id: string;
  dockerfile?: string;
  files?: Record<string, unknown>;
  stdin?: string;
  args?: string;
  env?: Record<string, string>;
  buildkit: {
    rc: number;
    error?: string;
    excerpt?: string[];
    config?: Record<string, unknown>;
    history?: string[];
  };
}

/** Errors of what comes behind the plan: files, processes, secrets, registries. */
const LATER =
  /failed to compute cache key|did not complete|secret s: not found|non-directory|to directory|failed to resolve source/;
/** Cases that come out otherwise on purpose: `build` where husk builds, or the error's text. */
const DIFFERENT: Record<string, { error?: string; excerpt?: 'other'; config?: Record<string, unknown> }> = {
  // The whole file is bounded, not its lines.
  bigenv: { config: { Env: [BOX.config!.Env![0], `A=${'x'.repeat(70_000)}`] } },
  // Newer frontends take JSON only if nothing stands behind it; so does the order of work.
  cmdspace: { config: { Cmd: ['a', 'b'], Entrypoint: ['/bin/sh', '-c', '[ "x" ] y'] } },
  // Labels of the command line are laid over the plan's config by the engine.
  labelflag: { config: { Labels: { a: '1', b: '2' } } },
  // Newer frontends let a trigger name an earlier stage of the file that uses it.
  onbuildnewdep: {},
  // Newer frontends have secret variables.
  secretenv: {},
  // Newer frontends say what was perhaps meant.
  targetmiss: { error: 'target stage "biuld" could not be found (did you mean build?)' },
  // A bad mode is refused.
  chmod: {
    error: "invalid chmod parameter: '08'. it should be octal string and between 0 and 07777",
    excerpt: 'other',
  },
  // A WORKDIR's path is cleaned.
  wdrel: { config: { Env: [BOX.config!.Env![0], 'D=/dd'], WorkingDir: '/dd/e' } },
  // The line that is wrong is marked, not the one before it.
  directives: { excerpt: 'other' },
  directive3: { excerpt: 'other' },
};

const file = join(import.meta.dirname, '../corpus/golden/cases.json');
const cases: Case[] = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Case[]) : [];
if (cases.length === 0) test.skip('golden cases: corpus/golden/cases.json is not there yet', () => {});

const filled = (text: string) =>
  text.replace(/\{\{(.)\*(\d+)\}\}/g, (_, character: string, count: string) => character.repeat(Number(count)));

function optionsOf({ args = '', env = {} }: Case): PlanOptions {
  const buildArgs = new Map<string, string>();
  const contexts = new Map<string, { kind: 'files' } | { kind: 'image'; reference: string }>();
  let target: string | undefined;
  for (const [, flag, value] of args.matchAll(/--(build-arg|build-context|target) (\S+)/g)) {
    const [name = '', ...rest] = value!.split('=');
    if (flag === 'target') target = value;
    else if (flag === 'build-arg') buildArgs.set(name, rest.length > 0 ? rest.join('=') : (env[name] ?? ''));
    else if (rest[0]!.startsWith('docker-image://'))
      contexts.set(name, { kind: 'image', reference: rest[0]!.slice('docker-image://'.length) });
    else contexts.set(name, { kind: 'files' });
  }
  const platform = { os: 'linux', architecture: 'amd64' };
  return { buildArgs, contexts, target, platform, baseConfig: async () => BOX };
}

/** What differs from the base image, without what is empty. */
function changes(config: Record<string, unknown>): Record<string, unknown> {
  const base = BOX.config as Record<string, unknown>;
  const isEmpty = (value: unknown) =>
    value === undefined ||
    value === null ||
    (Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0);
  return Object.fromEntries(
    Object.entries(config).filter(
      ([key, value]) => !isEmpty(value) && value !== '' && JSON.stringify(value) !== JSON.stringify(base[key]),
    ),
  );
}

for (const golden of cases) {
  const text = golden.dockerfile ?? golden.stdin ?? golden.files?.['dockerfile'];
  if (typeof text !== 'string') continue;
  const bytes = new TextEncoder().encode(filled(text));
  const { error = '', excerpt: shown = [], config, history } = golden.buildkit;
  const different = DIFFERENT[golden.id];
  test(`golden: ${golden.id}`, async (t) => {
    const build = async () => planBuild(parseDockerfile(bytes), optionsOf(golden));
    const expected = different ? different.error : LATER.test(error) || error === '' ? undefined : error;
    if (expected !== undefined || (different?.excerpt && error !== '')) {
      const thrown = await t.throwsAsync(build, { instanceOf: BuildError });
      t.is(thrown!.message, (expected ?? error).replace('ERROR: failed to solve: ', ''));
      const lines = filled(text).split('\n');
      if (!different?.excerpt) t.is(thrown!.range ? excerpt(lines, thrown!.range) : '', shown.join('\n'));
      return;
    }
    const { stages, target } = await build();
    const stage = stages.find(({ index }) => index === target)!;
    const wanted = different?.config ?? config;
    t.truthy(stage);
    if (wanted) t.deepEqual(changes(stage.config.config as Record<string, unknown>), changes(filledValues(wanted)));
    if (!history) return;
    const own = stage.operations.map(({ createdBy }) => createdBy).toReversed();
    t.deepEqual(
      own.slice(0, history.length),
      history.filter((entry) => entry !== ''),
    );
  });
}

const filledValues = (config: Record<string, unknown>) =>
  JSON.parse(filled(JSON.stringify(config))) as Record<string, unknown>;
