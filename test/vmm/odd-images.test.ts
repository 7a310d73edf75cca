/**
 * Images that are right and odd in machines: what test/images/odd-images.test.ts asks in user namespaces, few boots.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { oddImages } from '../fixtures/odd-images.ts';
import { Home } from './home.ts';
import { missingParts, notByItself, onKvmHost } from './kvm-host.ts';

const missing = missingParts() ?? notByItself();
if (missing) test.skip(missing, () => {});
// six machines, one after another
else await onKvmHost(import.meta.url, register, { seconds: 900 });

function register(): void {
  const home = new Home();
  const run = (...args: string[]) => home.husk('run', '--rm', '--network', 'none', '--isolation=vm', ...args);
  test.before('loaded', (t) => {
    const program = readFileSync('/bin/busybox');
    for (const [name, archive] of Object.entries(oddImages(program))) {
      const file = join(home.folder, `${name}.tar`);
      writeFileSync(file, archive);
      t.is(home.husk('load', '-q', '-i', file).status, 0, name);
    }
    // shared with the machine that has no layers: a file of /bin may be root's alone to share
    writeFileSync(join(home.folder, 'program'), program, { mode: 0o755 });
  });
  test.after.always('away', () => home[Symbol.dispose]());

  const stat = ['/bin/busybox', 'stat', '-c', '%n %a %u:%g %Y', '/tmp', '/home', '/home/u', '/opaque'];
  const cases: [title: string, args: string[], stdout: string][] = [
    ['a layer twice, deleted in between', ['dup:1', '/bin/busybox', 'cat', '/one'], '1'],
    [
      'folders that a layer implies keep what the layer below gave them',
      ['implied:1', ...stat],
      '/tmp 1777 0:0 1600000000\n/home 711 0:0 1600000000\n/home/u 700 1000:1000 1600000000\n/opaque 750 5:5 1600000000\n',
    ],
    [
      'no layers: what is mounted is all there is',
      ['-v', `${join(home.folder, 'program')}:/busybox`, 'nolayers:1', '/busybox', 'cat', '/proc/self/comm'],
      'busybox\n',
    ],
  ];
  for (const [title, args, stdout] of cases) {
    test.serial(title, (t) => {
      const ended = run(...args);
      t.deepEqual({ status: ended.status, stdout: ended.stdout }, { status: 0, stdout }, ended.stderr);
    });
  }

  test.serial('diff, export and commit of a container without layers', (t) => {
    t.is(home.husk('create', '--network', 'none', '--isolation=vm', '--name', 'none', 'nolayers:1', '/x').status, 0);
    for (const args of [
      ['diff', 'none'],
      ['export', '-o', join(home.folder, 'out.tar'), 'none'],
      ['commit', 'none', 'made'],
    ]) {
      const ended = home.husk(...args);
      t.is(ended.status, 0, `${args[0]}: ${ended.stderr}`);
      if (args[0] === 'diff') t.is(ended.stdout, '');
    }
    t.is(home.husk('rm', 'none').status, 0);
  });
}
