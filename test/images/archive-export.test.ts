/**
 * `export` by an ordinary user: what was imported comes out again, with every attribute; a running container cannot
 * lead it astray.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scanTar } from '../../src/tar/scan.ts';
import type { TarEntry } from '../../src/tar/entry.ts';
import { pax, type RawMember, tarball } from '../fixtures/tar.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';

const BUILT = ['husk.cjs', 'husk-init', 'husk-launch'].every((name) => existsSync(join(ROOT, 'dist', name)));
const built: typeof test = BUILT ? test : (test.skip as typeof test);

const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
const MEMBERS: (RawMember | Buffer)[] = [
  { name: 'closed/', type: '5', mode: 0, uid: 5, gid: 6, mtime: 1_500_000_000 },
  { name: 'closed/inside', mode: 0, body: 'secret' },
  { name: 'dir/', type: '5', mode: 0o2770, uid: 1000, gid: 50, mtime: 1_400_000_000 },
  { name: 'dir/setuid', mode: 0o6755, uid: 33, gid: 33, mtime: 1_300_000_000, body: 'suid' },
  { name: 'fifo', type: '6', mode: 0o622, uid: 3, gid: 4 },
  { name: 'hard', type: '1', link: 'dir/setuid', mode: 0o6755, uid: 33, gid: 33, mtime: 1_300_000_000 },
  { name: 'latin\xe9', body: 'e' },
  { name: 'link', type: '2', link: '/etc/passwd', mode: 0o777, uid: 7, gid: 8 },
  pax([['path', `long/${'n'.repeat(200)}`]]),
  { name: 'n', body: 'long' },
  pax([
    ['mtime', '1234567890.987654321'],
    ['SCHILY.xattr.user.test', 'a\0b'],
  ]),
  { name: 'precise', body: 'x'.repeat(3_000_000) },
  pax([['SCHILY.xattr.security.capability', capability]]),
  { name: 'capable', mode: 0o755, body: 'c' },
];

/** one line a member: everything that must survive */
function describe(file: string): string[] {
  const bytes = readFileSync(file);
  const line = (entry: TarEntry) => {
    const { type, path, linkname, mode, uid, gid, size, mtime, mtimeNanoseconds } = entry;
    const contents = createHash('sha256')
      .update(bytes.subarray(entry.dataOffset, entry.dataOffset + entry.dataSize))
      .digest('hex');
    const xattrs = [...(entry.xattrs ?? [])].map(([name, value]) => `${name}=${value.toString('hex')}`);
    return [
      path,
      type,
      linkname,
      mode.toString(8),
      `${uid}:${gid}`,
      size,
      `${mtime}.${mtimeNanoseconds}`,
      contents.slice(0, 12),
      ...xattrs,
    ].join('|');
  };
  const lines: string[] = [];
  scanTar(file, (entry) => lines.push(line(entry)));
  return lines;
}

function ok(
  t: { is: (actual: unknown, expected: unknown, message?: string) => unknown },
  user: TestUser,
  args: string[],
  input?: Buffer,
): string {
  const { status, stdout, stderr } = user.run([HUSK, ...args], { input });
  t.is(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

built('a stopped container: everything that was imported, in order, and the same bytes every time', (t) => {
  using user = ordinaryUser();
  const tar = tarball(...MEMBERS);
  const source = join(user.home, 'tmp/in.tar');
  const [first, second] = [join(user.home, 'tmp/1.tar'), join(user.home, 'tmp/2.tar')];
  user.run(['tee', source], { input: tar });
  ok(t, user, ['import', source, 'many']);
  ok(t, user, ['create', '--name', 'cc', 'many', '/x']);
  ok(t, user, ['export', '-o', first, 'cc']);
  ok(t, user, ['export', '-o', second, 'cc']);
  t.true(readFileSync(first).equals(readFileSync(second)));
  const exported = describe(first).filter((line) => !line.startsWith('long|directory'));
  const sorted = describe(source).sort();
  t.deepEqual(exported.toSorted(), sorted);
  const names = exported.map((line) => line.split('|')[0]!);
  t.deepEqual(names, names.toSorted());
});

test('an export leaves sockets out and ends when nobody reads', (t) => {
  using user = ordinaryUser();
  const tree = join(user.home, 'tmp/tree');
  user.run(['mkdir', '-p', `${tree}/d`]);
  user.run(['sh', '-c', `head -c 5000000 /dev/zero > ${tree}/zeros`]);
  const { status, stderr } = user.run([
    process.execPath,
    '-e',
    `require('net').createServer().listen('${tree}/d/socket', () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  t.deepEqual([status, stderr], [null, '']);
  t.true(existsSync(join(tree, 'd/socket')));
  const program = (whole: string) =>
    `unshare -r ${process.execPath} --disable-warning=ExperimentalWarning ${join(ROOT, 'src/main.ts')} --internal files '${JSON.stringify({ request: { op: 'export' }, places: { whole } })}'`;
  const listed = user.run(['sh', '-c', `${program(tree)} | tail -n +2 | tar t`]);
  if (listed.stderr.includes('unshare')) return t.pass('no user namespaces here');
  t.deepEqual([listed.stdout, listed.stderr], ['d/\nzeros\n', '']);
  t.is(user.run(['sh', '-c', `${program(tree)} | head -c 1000 | wc -c`]).stdout.trim(), '1000');
  t.regex(user.run(['sh', '-c', program(`${tree}/none`)]).stderr, /open .*none: no such file or directory/);
});

const busybox = () => execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });

built('a running container: its changes, and nothing of the host by swapped folders', (t) => {
  using user = ordinaryUser();
  ok(t, user, ['import', '-', 'base'], busybox());
  const swap =
    'mkdir -p /t/a/ssl /t/gone; touch /t/made /t/gone/x; ln -s /etc /t/l; rm /etc/group; while :; do mv /t/a /t/b; mv /t/l /t/a; mv /t/a /t/l; mv /t/b /t/a; rm -rf /t/gone; mkdir /t/gone; touch /t/gone/x; done';
  ok(t, user, ['run', '-d', '--name', 'cc', '--network', 'none', 'base', 'sh', '-c', swap]);
  const target = join(user.home, 'tmp/out.tar');
  for (let round = 0; round < 5; round++) {
    ok(t, user, ['export', '-o', target, 'cc']);
    const names = describe(target).map((line) => line.split('|')[0]!);
    t.true(names.includes('bin/busybox'));
    t.false(names.includes('etc/group'));
    t.true(names.includes('t/made') || round === 0);
    t.deepEqual(
      names.filter((name) => /^t\/[abl]\//.test(name) && !name.endsWith('/ssl')),
      [],
    );
    t.false(names.includes('etc/shadow'), "the host's /etc");
  }
  ok(t, user, ['rm', '-f', 'cc']);
});
