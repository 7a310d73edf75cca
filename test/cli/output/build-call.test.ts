/** What `--call` prints, beside what buildx 0.13 printed of Docker 26.1.5's own builder (corpus/calls). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  checkJson,
  failedCheckJson,
  outlineJson,
  outlineText,
  targetsJson,
  targetsText,
} from '../../../src/cli/output/build-call.ts';
import { parseDockerfile } from '../../../src/images/build/dockerfile/parse.ts';
import { targetsOf } from '../../../src/images/build/plan/parameters.ts';
import { parametersOf } from '../../../src/images/build/plan/plan.ts';
import { planOptions } from '../../images/build/plan/options.ts';

interface Case {
  file: string;
  arguments: string[];
  call: 'outline' | 'targets';
  text?: string;
  json?: string;
  error?: string;
}

const corpus = join(import.meta.dirname, '../../images/build/corpus/calls');
const cases = JSON.parse(readFileSync(join(corpus, 'cases.json'), 'utf8')) as Case[];

/** The line of FROM: BuildKit says that triggers stand on line 1, wherever they come from. */
const LINE_OF_TRIGGERS = 4;

function answer({ file, arguments: words, call }: Case): { text: string; json: string } {
  const bytes = readFileSync(join(corpus, file));
  const parsed = parseDockerfile(bytes);
  if (call === 'targets') {
    const found = { targets: targetsOf(parsed), bytes };
    return { text: targetsText(found), json: targetsJson(found) };
  }
  const values = (flag: string) => words.flatMap((word, index) => (words[index - 1] === flag ? [word] : []));
  const buildArgs = new Map(values('--build-arg').map((each) => each.split('=', 2) as [string, string]));
  const found = { ...parametersOf(parsed, planOptions({ buildArgs, target: values('--target')[0] })), bytes };
  return { text: outlineText(found), json: outlineJson(found) };
}

for (const golden of cases)
  test(`as BuildKit: --call ${golden.call} ${golden.arguments.join(' ')} of ${golden.file}`, (t) => {
    if (golden.error !== undefined) {
      const said = t.throws(() => answer(golden)).message;
      t.is(`ERROR: ${said.replace(/ \(did you mean .*/, '')}`, golden.error);
      return;
    }
    const { text, json } = answer(golden);
    t.is(text, golden.text!);
    const wanted = golden.json!;
    const isTriggered = golden.call === 'outline' && golden.file === 'trigger.Dockerfile';
    t.is(json, isTriggered ? wanted.replaceAll(/"line": 1\b/g, `"line": ${LINE_OF_TRIGGERS}`) : wanted);
  });

test('what a value has of tabs, line breaks and HTML stays in its cell, and in its string', (t) => {
  const range = { start: 1, end: 1 };
  const odd = { name: 'A', description: 'a\tb', value: 'x\ny', range };
  const outline = { name: '', description: '', arguments: [odd], secrets: [], agents: [], bytes: Buffer.from('') };
  t.is(outlineText(outline), 'BUILD ARG   VALUE   DESCRIPTION\nA           x y     a b\n\n');
  const json = outlineJson({ ...outline, name: '<b>&\u2028' });
  t.regex(json, /"name": "\\u003cb\\u003e\\u0026\\u2028"/);
  t.is((JSON.parse(json) as { args: { value: string }[] }).args[0]!.value, 'x\ny');
});

test('a check as JSON has the file, its warnings, and why it cannot be built', (t) => {
  const warning = {
    rule: 'StageNameCasing',
    message: "Stage name 'A' should be lowercase",
    description: 'Stage names should be lowercase',
    url: 'https://x/',
    range: { start: 1, end: 2 },
  };
  const bytes = Buffer.from('FROM a AS A');
  t.deepEqual(JSON.parse(checkJson({ warnings: [warning], lines: [], file: 'F', bytes })), {
    warnings: [
      {
        ruleName: 'StageNameCasing',
        description: 'Stage names should be lowercase',
        url: 'https://x/',
        detail: "Stage name 'A' should be lowercase",
        location: {
          ranges: [
            { start: { line: 1 }, end: { line: 1 } },
            { start: { line: 2 }, end: { line: 2 } },
          ],
        },
      },
    ],
    sources: [{ filename: 'F', language: 'Dockerfile', data: bytes.toString('base64') }],
  });
  const failed = JSON.parse(
    failedCheckJson('no', { file: 'F', lines: ['a', 'b'], range: { start: 2, end: 2 } }),
  ) as object;
  t.like(failed, { warnings: [], buildError: { message: 'no' }, sources: [{ data: 'YQpi' }] });
});
