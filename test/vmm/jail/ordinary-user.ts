/** Who the jail is tested as: ourselves when we are an ordinary user, husk-test when we are root. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface TestUser {
  /** argv before a command that runs as the user */
  prefix: string[];
  home: string;
  /** undefined: ourselves */
  uid?: number;
  /** why it cannot be tested */
  missing?: string;
}

export function ordinaryUser(): TestUser {
  if (process.getuid!() !== 0) return { prefix: [], home: process.env['HOME'] ?? '/' };
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((one) => one.startsWith('husk-test:'));
  if (line === undefined) return { prefix: [], home: '/', missing: 'root, and no user husk-test' };
  const [, , uid, , , home] = line.split(':');
  execFileSync('setpriv', ['--version']);
  return {
    prefix: [
      'setpriv',
      '--reuid',
      'husk-test',
      '--regid',
      'husk-test',
      '--init-groups',
      'env',
      '-i',
      `HOME=${home}`,
      `PATH=${process.env['PATH']}`,
    ],
    home: home!,
    uid: Number(uid),
  };
}
