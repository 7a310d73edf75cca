import test from 'ava';
import { outlineOf } from '../../../src/engine/build/outline.ts';
import { parseDockerfile } from '../../../src/images/build/dockerfile/parse.ts';
import { planBuild } from '../../../src/images/build/plan/plan.ts';
import { planOptions } from '../../images/build/plan/options.ts';

const FILE = `ARG V=1
FROM box AS one
RUN a \\
  b
ENV x=y
FROM box AS other
RUN c
FROM one
COPY f /
WORKDIR /w
`;
const parsed = () => parseDockerfile(Buffer.from(FILE));

test('has every instruction up to the target, in the order of the file', (t) => {
  const texts = (target?: string) => outlineOf(parsed(), target).instructions.map(({ text }) => text);
  t.deepEqual(texts('one'), ['ARG V=1', 'FROM box AS one', 'RUN a   b', 'ENV x=y']);
  t.is(texts().length, 9);
  t.deepEqual(texts('1'), texts('OTHER'));
  t.deepEqual(texts('nothing'), texts());
  t.deepEqual(outlineOf(parsed(), undefined).instructions[2], { stage: 0, line: 3, text: 'RUN a   b' });
});

test('a plan says what is built, what is a step, and what FROM names', async (t) => {
  const { planned } = outlineOf(parsed(), undefined, await planBuild(parsed(), planOptions()));
  t.deepEqual([...planned!.stages], [0, 2]);
  t.deepEqual(
    [...planned!.steps].sort((one, other) => one - other),
    [2, 3, 9, 10],
  );
  t.deepEqual([...planned!.images], [[2, 'docker.io/library/box:latest']]);
});
