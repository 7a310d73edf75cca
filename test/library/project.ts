/**
 * A project of an ordinary user that has the library as a package, installed outside of the checkout: nothing may be
 * found by accident. And an image.
 */
import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { busyboxTar } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, type Result, type TestUser } from '../fixtures/user.ts';

export interface Project extends Disposable {
  readonly user: TestUser;
  readonly folder: string;
  /** runs a module of the project to its end */
  run(name: string, code: string): Result;
}

export function libraryProject(): Project {
  const user = ordinaryUser();
  const folder = join(user.home, 'project');
  execFileSync('sh', [join(ROOT, 'setup/install'), user.home], { stdio: 'ignore' });
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  symlinkSync(join(user.home, 'lib/husk'), join(folder, 'node_modules/husk'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  chownSync(folder, user.uid, user.gid);
  const { status, stderr } = user.run([
    'sh',
    '-c',
    '"$0" import --change "CMD [\\"sh\\"]" - busybox <"$1"',
    HUSK,
    busyboxTar(),
  ]);
  if (status !== 0) throw new Error(stderr);
  return {
    user,
    folder,
    run(name, code) {
      const file = join(folder, name);
      writeFileSync(file, code);
      return user.run([process.execPath, '--disable-warning=ExperimentalWarning', file]);
    },
    [Symbol.dispose]() {
      user.husk(
        'rm',
        '-f',
        ...user
          .husk('ps', '-aq')
          .stdout.split('\n')
          .filter((id) => id !== ''),
      );
      user[Symbol.dispose]();
    },
  };
}
