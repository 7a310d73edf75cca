/**
 * docs/library.md: every example on it, run as an ordinary user with the library as an installed package, and checked
 * by the compiler.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../fixtures/user.ts';
import { libraryProject, type Project } from './project.ts';

/** what each example prints, in the page's order; a RegExp where a part of it is not always the same */
const EXPECTED: (string | RegExp)[] = [
  '3 hello\n\n',
  'FROM STDIN\n',
  'true running\nfrom a shell\n5\n',
  'stdout: line 1\nstdout: line 2\nstdout: line 3\nstderr: done\n0\n7\n',
  "from outside\nfrom inside\n\n[ 'C /root', 'A /root/letter.txt' ]\n",
  'TimeoutError\nrunning\n',
  /^start-failed 127 .*"no-such-program": executable file not found in \$PATH.* undefined\n$/,
  /^\[.*'mine:1'.*\]\nkept\n\ntrue\n$/s,
  // where /dev/net/tun is root's
  /^(WARNING: cannot connect the container to the network: .*\n)?0\n$/,
  "[ '1', '4', '9' ]\n",
];

const page = readFileSync(join(ROOT, 'docs/library.md'), 'utf8');
const examples = [...page.matchAll(/^## ([^\n]*)|^```(js|ts)\n(.*?)^```/gms)]
  .reduce<{ title: string; language: string; code: string }[]>((found, [, title, language, code]) => {
    if (title !== undefined) return [...found, { title, language: '', code: '' }];
    return [...found, { title: found.at(-1)!.title, language: language!, code: code! }];
  }, [])
  .filter(({ language }) => language !== '');

let project: Project;
test.before(() => {
  project = libraryProject();
});
test.after.always(() => project[Symbol.dispose]());

test('the page has as many examples as this file expects', (t) => t.is(examples.length, EXPECTED.length));

for (const [index, { title, language, code }] of examples.entries()) {
  test.serial(`${title} (${index + 1}, ${language})`, (t) => {
    const { status, stdout, stderr } = project.run(`example-${index + 1}.${language}`, code);
    t.is(status, 0, stderr);
    t.is(stderr, '');
    const expected = EXPECTED[index]!;
    if (typeof expected === 'string') t.is(stdout, expected);
    else t.regex(stdout, expected);
    t.is(project.user.husk('ps', '-aq').stdout, '', 'a container was left');
  });
}

test.serial('the declarations are whole: the examples compile, and a wrong use does not', (t) => {
  cpSync(join(ROOT, 'node_modules/@types'), join(project.folder, 'node_modules/@types'), {
    recursive: true,
    dereference: true,
  });
  cpSync(join(ROOT, 'node_modules/undici-types'), join(project.folder, 'node_modules/undici-types'), {
    recursive: true,
    dereference: true,
  });
  for (const [index, { code }] of examples.entries())
    writeFileSync(
      join(project.folder, `typed-${index + 1}.ts`),
      code.replace('catch (error)', 'catch (error: any)').replaceAll('shell.stdin.', 'shell.stdin!.'),
    );
  writeFileSync(
    join(project.folder, 'wrong.ts'),
    "import { Husk } from 'husk';\nconst husk = await Husk.open();\nconst { exitCode } = await husk.run(7);\nconst text: number = exitCode;\nconst odd: string = exitCode;\nexport { text, odd };\n",
  );
  const compile = (...files: string[]) =>
    spawnSync(
      join(ROOT, 'node_modules/.bin/tsc'),
      [
        '--noEmit',
        '--strict',
        '--target',
        'esnext',
        '--lib',
        'esnext',
        '--module',
        'nodenext',
        '--types',
        'node',
        ...files,
      ],
      { cwd: project.folder, encoding: 'utf8' },
    );
  t.is(compile(...examples.map((_, index) => `typed-${index + 1}.ts`)).stdout, '');
  t.deepEqual(
    compile('wrong.ts')
      .stdout.split('\n')
      .flatMap((line) => /^wrong\.ts\((\d+),/.exec(line)?.[1] ?? []),
    ['3', '5'],
  );
});
