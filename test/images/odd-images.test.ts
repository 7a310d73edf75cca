/**
 * Images that are right and odd, from `load` to `export`, as an ordinary user meets them in user namespaces.
 * test/vmm/odd-images.test.ts has the machines.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { oddImages } from '../fixtures/odd-images.ts';
import { ordinaryUser, ROOT } from '../fixtures/user.ts';

const BUSYBOX = '/bin/busybox';
const reason = !existsSync(join(ROOT, 'dist/husk-main.cjs'))
  ? 'husk is not built: run make'
  : !existsSync(BUSYBOX)
    ? 'no static program: apt install busybox-static'
    : undefined;

if (reason !== undefined) test.skip(`odd images: ${reason}`, () => {});
else {
  const user = ordinaryUser();
  const husk = (...args: string[]) => user.husk(...args);
  const run = (...args: string[]) => husk('run', '--rm', '--network', 'none', ...args);
  test.before('loaded', (t) => {
    for (const [name, archive] of Object.entries(oddImages(readFileSync(BUSYBOX)))) {
      writeFileSync(join(user.home, `${name}.tar`), archive);
      const { status, stdout, stderr } = husk('load', '-i', `${name}.tar`);
      t.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `Loaded image: ${name}:1\n`, stderr: '' });
    }
  });
  test.after.always('away', () => user[Symbol.dispose]());

  const runs: [title: string, args: string[], stdout: string][] = [
    ['the empty layer twice', ['emptydup:1', '/bin/busybox', 'echo', 'runs'], 'runs\n'],
    ['a layer twice, deleted in between: the upper one counts', ['dup:1', '/bin/busybox', 'cat', '/one'], '1'],
    ['no platform in the index', ['noplatform:1', '/bin/busybox', 'echo', 'runs'], 'runs\n'],
    ['a label that is null', ['nulllabel:1', '/bin/busybox', 'echo', 'runs'], 'runs\n'],
    [
      'no layers: what is mounted is all there is',
      ['-v', `${BUSYBOX}:/busybox`, 'nolayers:1', '/busybox', 'ls', '/'],
      'busybox\ndev\netc\nproc\nsys\n',
    ],
    [
      'no layers, with a new volume',
      ['-v', `${BUSYBOX}:/busybox`, '-v', '/v', 'nolayers:1', '/busybox', 'ls', '/v'],
      '',
    ],
    [
      'folders that a layer implies keep what the layer below gave them',
      ['implied:1', '/bin/busybox', 'stat', '-c', '%n %a %u:%g %Y', '/tmp', '/home', '/home/u', '/opaque', '/nowhere'],
      '/tmp 1777 0:0 1600000000\n/home 711 0:0 1600000000\n/home/u 700 1000:1000 1600000000\n/opaque 750 5:5 1600000000\n/nowhere 755 0:0 0\n',
    ],
    [
      'and an opaque one of them hides the files below',
      ['implied:1', '/bin/busybox', 'ls', '/opaque', '/home/u'],
      '/home/u:\nf\n\n/opaque:\nnew\n',
    ],
  ];
  for (const [title, args, stdout] of runs)
    test(title, (t) => void t.deepEqual(pick(run(...args)), { status: 0, stdout, stderr: '' }));

  test('a null label is an empty one, as in Docker', (t) => {
    t.is(husk('image', 'inspect', '-f', '{{json .Config.Labels}}', 'nulllabel:1').stdout, '{"a":"","b":"c"}\n');
    t.is(husk('images', '-q', '--filter', 'label=a=').stdout.split('\n').length, 2);
  });

  const files: [image: string, path: string, tar: RegExp, exported: RegExp][] = [
    ['dup:1', '/one', /^one\n$/, /^one$/m],
    ['nolayers:1', '/etc/', /^etc\/\n/, /^etc\/$/m],
    ['implied:1', '/home/u', /^u\/\nu\/f\n$/, /^home\/u\/f$/m],
  ];
  for (const [image, path, tar, exported] of files) {
    test(`diff, cp, commit and export of a container of ${image}`, (t) => {
      const name = image.split(':')[0]!;
      t.is(husk('create', '--network', 'none', '--name', name, image, '/x').status, 0);
      t.deepEqual(pick(husk('diff', name)), { status: 0, stdout: '', stderr: '' });
      t.regex(user.run(['sh', '-c', `${ROOT}/bin/husk cp ${name}:${path} - | tar t`]).stdout, tar);
      const { status, stderr } = husk('commit', name, `${name}:made`);
      t.is(status, 0, stderr);
      t.regex(user.run(['sh', '-c', `${ROOT}/bin/husk export ${name} | tar t`]).stdout, exported);
      t.is(husk('rm', name).status, 0);
    });
  }

  test('what implied folders need is checked and mended, goes with its image, and leaves no link', (t) => {
    t.is(run('implied:1', '/bin/busybox', 'true').status, 0);
    const [made] = user
      .run(['sh', '-c', 'find data/husk/layers -name "parents-v1-*" -type d'])
      .stdout.trim()
      .split('\n');
    t.is(user.run(['chmod', '755', `${made}/tmp`]).status, 0);
    const checked = husk('system', 'check', '--repair');
    t.regex(checked.stdout, /parents-v1-\S+: "\/tmp" has mode 755, not 1777/, checked.stderr);
    t.is(run('implied:1', '/bin/busybox', 'stat', '-c', '%a', '/tmp').stdout, '1777\n', 'made anew');
    t.is(husk('rmi', '-f', 'implied:1', 'implied:made').status, 0);
    const { stdout } = husk('system', 'check');
    t.notRegex(stdout, /^link/m);
  });
}

const pick = ({ status, stdout, stderr }: { status: number | null; stdout: string; stderr: string }) => ({
  status,
  stdout,
  stderr,
});
