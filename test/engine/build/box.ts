/** The image `box` that the corpus builds on (test/images/build/corpus/INDEX.md), in a data root of a test's own. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import type { Image } from '../../../src/images/store/contract.ts';
import { huskIn } from './golden-case.ts';

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @param work a folder of the test's own @param root the data root */
export async function makeBox(work: string, root: string): Promise<Image> {
  const tree = join(work, 'box');
  for (const folder of ['bin', 'dev', 'etc', 'home/ann', 'proc', 'root', 'sys', 'tmp', 'usr', 'var'])
    mkdirSync(join(tree, folder), { recursive: true });
  cpSync('/bin/busybox', join(tree, 'bin/busybox'));
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n'))
    if (applet !== '' && applet !== 'busybox') linkSync(join(tree, 'bin/busybox'), join(tree, 'bin', applet));
  writeFileSync(
    join(tree, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/bin/false\nann:x:1000:1000:ann:/home/ann:/bin/sh\n',
  );
  writeFileSync(join(tree, 'etc/group'), 'root:x:0:\nbin:x:1:\nann:x:1000:\nextra:x:2000:ann\n');
  chmodSync(join(tree, 'tmp'), 0o1777);
  const tar = join(work, 'box.tar');
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name', '--mtime=@1700000000'];
  const from = ['--directory', tree];
  execFileSync('tar', ['-cf', tar, ...from, ...owner, '--exclude=./home/ann', '.']);
  execFileSync('tar', ['-rf', tar, ...from, '--owner=1000', '--group=1000', '--numeric-owner', './home/ann']);
  rmSync(tree, { recursive: true });
  const made = await huskIn(work, ['--data-root', root, 'import', '-c', `ENV ${PATH}`, '-c', 'CMD ["sh"]', tar, 'box']);
  if (made.code !== 0) throw new Error(made.stderr);
  using engine = await openEngine({ dataRoot: root });
  return engine.images.get('box');
}
