/** A container's users and groups by its own files, which are as hostile as all of it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { userOf } from '../../../src/container/files/user.ts';
import { closeFd, openFolder } from '../../../src/host/files/lookup.ts';

const PASSWD =
  'root:x:0:0::/:/bin/sh\nann:x:1000:100::/:\nbad:x:-1:5::/:\nhuge:x:99999999999:5::/:\nshort\n42:x:7:8::/:\n';
const GROUP = 'root:x:0:\nstaff:x:50:ann\n';

function lookUp(
  user: string,
  prepare = (etc: string) => {
    writeFileSync(join(etc, 'passwd'), PASSWD);
    writeFileSync(join(etc, 'group'), GROUP);
  },
): { uid: number; gid: number } | string {
  const folder = mkdtempSync(join(tmpdir(), 'husk-users-'));
  mkdirSync(join(folder, 'etc'));
  prepare(join(folder, 'etc'));
  const root = openFolder(folder);
  try {
    return userOf(root, user);
  } catch (error) {
    return (error as Error).message;
  } finally {
    closeFd(root);
    rmSync(folder, { recursive: true });
  }
}

for (const [user, expected] of [
  ['0', { uid: 0, gid: 0 }],
  ['ann', { uid: 1000, gid: 100 }],
  ['ann:staff', { uid: 1000, gid: 50 }],
  ['ann:7', { uid: 1000, gid: 7 }],
  ['1000', { uid: 1000, gid: 100 }],
  ['42', { uid: 7, gid: 8 }],
  ['4242', { uid: 4242, gid: 0 }],
  ['bad', 'unable to find user bad: no matching entries in passwd file'],
  ['huge', 'unable to find user huge: no matching entries in passwd file'],
  ['short', 'unable to find user short: no matching entries in passwd file'],
  ['2147483648', 'unable to find user 2147483648: no matching entries in passwd file'],
  ['ann:nosuch', 'unable to find group nosuch: no matching entries in group file'],
] as const)
  test(`the user "${user}"`, (t) => t.deepEqual(lookUp(user), expected));

const HOSTILE: Record<string, (etc: string) => void> = {
  'a link out of the root': (etc) => symlinkSync('/etc/passwd', join(etc, 'passwd')),
  'a FIFO': (etc) => void execFileSync('mkfifo', [join(etc, 'passwd')]),
  'a folder': (etc) => mkdirSync(join(etc, 'passwd')),
  'over 1 MiB': (etc) => writeFileSync(join(etc, 'passwd'), `daemon:x:1:1::/:\n${'#'.repeat(1 << 20)}`),
};
for (const [what, prepare] of Object.entries(HOSTILE))
  test(`passwd is ${what}`, (t) => t.regex(lookUp('daemon', prepare) as string, /unable to find user daemon/));
