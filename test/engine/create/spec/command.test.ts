import test from 'ava';
import { mergeCommand, mergeEnv, processEnv, workingDirectory } from '../../../../src/engine/create/spec/command.ts';

const IMAGE = { Entrypoint: ['/entry'], Cmd: ['run'] };
const merges: [string, Parameters<typeof mergeCommand>[0], Parameters<typeof mergeCommand>[1], string[]][] = [
  ['the image alone', {}, IMAGE, ['/entry', 'run']],
  ['a command', { command: ['x', 'y'] }, IMAGE, ['/entry', 'x', 'y']],
  ['an entrypoint drops the command of the image', { entrypoint: ['/e'] }, IMAGE, ['/e']],
  ['both', { entrypoint: ['/e'], command: ['x'] }, IMAGE, ['/e', 'x']],
  ['an empty entrypoint', { entrypoint: [''], command: ['x'] }, IMAGE, ['x']],
  ['no entrypoint', { entrypoint: [], command: ['x'] }, IMAGE, ['x']],
  ['no entrypoint and no command', { entrypoint: [] }, IMAGE, ['run']],
  ['neither, with an empty command', { entrypoint: [], command: [] }, IMAGE, ['run']],
  ['an image with a command only', {}, { Cmd: ['sh'] }, ['sh']],
  ['an image with nulls', { command: ['x'] }, { Entrypoint: null, Cmd: null }, ['x']],
];
for (const [what, asked, image, wanted] of merges)
  test(`command: ${what}`, (t) => {
    const { path, args } = mergeCommand(asked, image);
    t.deepEqual([path, ...args], wanted);
  });
for (const [what, asked, image] of [
  ['nothing anywhere', {}, {}],
  ['an empty entrypoint without a command', { entrypoint: [''] }, IMAGE],
] as const)
  test(`no command: ${what}`, (t) =>
    void t.throws(() => mergeCommand(asked, { ...image }), { message: 'no command specified' }));

test('env: the image adds what was not asked for', (t) =>
  t.deepEqual(mergeEnv(['A=1', 'B=2'], ['B=9', 'C=3', 'PATH=/x']), ['A=1', 'B=2', 'C=3', 'PATH=/x']));
test('env: a name without a value keeps the image’s out', (t) => t.deepEqual(mergeEnv(['A'], ['A=1']), []));
test('env: a value may have an equals sign', (t) =>
  t.deepEqual(processEnv({ env: ['A=b=c', 'A=d=e'], hostname: 'h', terminal: false }).slice(2), ['A=d=e']));

for (const [asked, image, wanted] of [
  [undefined, undefined, '/'],
  [undefined, '/i', '/i'],
  ['/a', '/i', '/a'],
  ['', '/i', '/i'],
] as const)
  test(`workdir ${asked} of ${image}`, (t) => t.is(workingDirectory(asked, { WorkingDir: image }), wanted));
test('a relative workdir', (t) =>
  void t.throws(() => workingDirectory('x', {}), {
    message: "the working directory 'x' is invalid, it needs to be an absolute path",
  }));
