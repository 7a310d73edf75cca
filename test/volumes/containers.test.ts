/**
 * Storage as a person at a terminal sees it: bin/husk as an ordinary user, in user namespaces. Beside Podman:
 * test/peer/storage.test.ts; in VMs: test/vmm/storage.test.ts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';

const built = existsSync(join(ROOT, 'dist/husk.cjs'));
const serial = built ? test.serial : test.serial.skip;
let user: TestUser;

test.before(() => {
  if (!built) return;
  user = ordinaryUser();
  // an image with links that lead to and fro, a folder of somebody, and a file
  user.run(
    [
      'sh',
      '-c',
      `mkdir -p t/data t/deep t/home/bo; tar -C t -xf - && ln -s /etc t/link && ln -s ../../../../.. t/up && ln -s data t/rel && echo of the image >t/data/f && echo file >t/deep/file && tar -C t -cf i.tar --owner=0 --group=0 . && rm -rf t`,
    ],
    { input: readFileSync(busyboxTar()) },
  );
  user.husk('import', '--change', 'CMD sh', 'i.tar', 'box');
  user.run(['sh', '-c', 'mkdir -p shared/sub; echo host >shared/f; echo one >one; chmod 600 one']);
});
test.after.always(() => user?.[Symbol.dispose]());

const run = (flags: string[], script: string) =>
  user.husk('run', '--rm', '--isolation=userns', '--network', 'none', ...flags, 'box', 'sh', '-c', script);

/** flags → what the script prints (both streams), and its exit status */
const cases: [title: string, flags: string[], script: string, printed: string | RegExp, status?: number][] = [
  [
    'a named volume is made, and starts with what the image has there',
    ['-v', 'v1:/data'],
    'cat /data/f; echo more >/data/g',
    'of the image\n',
  ],
  ['the next container has what the last one wrote', ['-v', 'v1:/x'], 'cat /x/g', 'more\n'],
  [':ro', ['-v', 'v1:/x:ro'], 'cat /x/g; echo >/x/h', "more\nsh: can't create /x/h: Read-only file system\n", 1],
  [
    '--mount readonly=false',
    ['--mount', 'type=volume,source=v1,destination=/x,readonly=false'],
    'touch /x/h && echo ok',
    'ok\n',
  ],
  [
    '--mount ro=true',
    ['--mount', 'type=volume,source=v1,destination=/x,ro=true'],
    'touch /x/h',
    /Read-only file system/,
    1,
  ],
  ['--mount without a type is a volume', ['--mount', 'src=v1,dst=/x'], 'cat /x/g', 'more\n'],
  ['--mount volume-nocopy', ['--mount', 'type=volume,src=v2,target=/data,volume-nocopy'], 'ls -A /data', ''],
  [':nocopy', ['-v', 'v3:/data:nocopy'], 'ls -A /data', ''],
  [
    '--mount with volume-label and volume-opt',
    ['--mount', 'type=volume,src=v4,dst=/x,volume-label=a=b,volume-label=c=d'],
    'echo ok',
    'ok\n',
  ],
  [
    '--mount consistency is ignored',
    ['--mount', 'type=bind,src=SHARED,dst=/x,consistency=delegated'],
    'cat /x/f',
    'host\n',
  ],
  ['a bind by a relative path', ['-v', './shared:/x'], 'cat /x/f', 'host\n'],
  ['--mount by a relative path', ['--mount', 'type=bind,src=./shared,dst=/x'], 'cat /x/f', 'host\n'],
  ['a file over a file', ['-v', 'HOME/one:/deep/file'], 'cat /deep/file', 'one\n'],
  ['a file where there is nothing', ['-v', 'HOME/one:/new/place/file'], 'cat /new/place/file', 'one\n'],
  ['a folder over a file is refused', ['-v', 'SHARED:/deep/file'], 'true', /not a directory/, 125],
  ['a file over a folder is refused', ['-v', 'HOME/one:/data'], 'true', /not a directory/, 125],
  [
    'over a symbolic link of the image: what it leads to in the image',
    ['-v', 'SHARED:/link/here'],
    'cat /etc/here/f; readlink /link',
    'host\n/etc\n',
  ],
  ['over one that leads up and out: it stays inside', ['-v', 'SHARED:/up/top'], 'cat /top/f', 'host\n'],
  ['over a relative one', ['-v', 'SHARED:/rel/sub'], 'cat /data/sub/f', 'host\n'],
  [
    'nested, given inside first',
    ['-v', 'v5:/m/sub/deep', '--tmpfs', '/m', '-v', 'SHARED:/m/sub'],
    'cat /m/sub/f; grep -c " /m" /proc/mounts; touch /m/sub/deep/x && echo ok',
    'host\n3\nok\n',
  ],
  [
    '--read-only leaves volumes and tmpfs writable',
    ['--read-only', '-v', 'v5:/v', '--tmpfs', '/t'],
    'touch /v/x /t/x && echo ok; touch /x',
    /^ok\ntouch: \/x: Read-only file system\n$/,
    1,
  ],
  [
    '--tmpfs with size and mode',
    ['--tmpfs', '/t:size=64k,mode=1770'],
    'stat -c %a /t; dd if=/dev/zero of=/t/x bs=1k count=100 2>/dev/null; stat -c %s /t/x',
    '1770\n65536\n',
  ],
  [
    '--tmpfs is noexec, nosuid, nodev',
    ['--tmpfs', '/t'],
    'cp /bin/busybox /t/sh; /t/sh true',
    /Permission denied/,
    126,
  ],
  ['--tmpfs exec', ['--tmpfs', '/t:exec'], 'cp /bin/busybox /t/true; /t/true && echo ran', 'ran\n'],
  [
    '--mount tmpfs-size',
    ['--mount', 'type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=700'],
    'stat -c %a /t; dd if=/dev/zero of=/t/x bs=1k count=100 2>/dev/null; stat -c %s /t/x',
    '700\n65536\n',
  ],
  ['--mount tmpfs readonly', ['--mount', 'type=tmpfs,dst=/t,readonly'], 'touch /t/x', /Read-only file system/, 1],
  [
    '--shm-size',
    ['--shm-size', '128k'],
    'dd if=/dev/zero of=/dev/shm/x bs=1k count=200 2>/dev/null; stat -c %s /dev/shm/x',
    '131072\n',
  ],
  ['/dev/shm is 64 MiB', [], 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2', '65536\n'],
  [
    '--device gives a node that is not there otherwise',
    ['--device', '/dev/zero:/dev/nought'],
    'head -c 3 /dev/nought | wc -c; ls /dev | grep -c kmsg',
    '3\n0\n',
    1,
  ],
  [
    'a device that the host has not',
    ['--device', '/dev/no-such'],
    'true',
    /error gathering device information while adding custom device "\/dev\/no-such": no such file or directory/,
    125,
  ],
  [
    ':U gives a volume to the user of the container',
    ['-u', 'nobody', '-v', 'v6:/v:U'],
    'touch /v/x && stat -c %U /v',
    'nobody\n',
  ],
  ["without U it is root's", ['-u', 'nobody', '-v', 'v7:/v'], 'touch /v/x', /Permission denied/, 1],
  [':z and :Z are taken', ['-v', 'v1:/x:ro,z', '-v', 'v7:/y:Z'], 'echo ok', 'ok\n'],
  ['volume-subpath', ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=a/b'], 'ls /x', 'in-b\n'],
  [
    'volume-subpath of a file',
    ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=a/b/in-b'],
    'test -f /x && echo file',
    'file\n',
  ],
  [
    'volume-subpath by a link that stays inside',
    ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=in'],
    'ls /x',
    'in-b\n',
  ],
  [
    'volume-subpath by an absolute link',
    ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=absolute'],
    'true',
    /cannot mount subpath absolute of .*: it leads out of the volume/,
    125,
  ],
  [
    'volume-subpath by a link up and out',
    ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=up'],
    'true',
    /it leads out of the volume/,
    125,
  ],
  [
    'volume-subpath by a magic link',
    ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=magic/etc'],
    'true',
    /it leads out of the volume/,
    125,
  ],
  [
    'a new subpath of a volume starts with what the image has there',
    ['--mount', 'type=volume,src=v8,dst=/data,volume-subpath=empty'],
    'cat /data/f; ls -A /data/..',
    /^of the image\n/,
  ],
  ['one that has something does not', ['--mount', 'type=volume,src=v8,dst=/data,volume-subpath=a'], 'ls /data', 'b\n'],
  ['a folder that only a user of containers may enter', ['-v', 'HOME/p/d/sub:/m'], 'test -d /m && ls /m', 'in-sub\n'],
  ['a file in it', ['-v', 'HOME/p/d/f:/m'], 'cat /m', 'hi\n'],
  ['the same by --mount', ['--mount', 'type=bind,src=HOME/p/d/f,dst=/m'], 'cat /m', 'hi\n'],
  [
    'what is not there in it is not made',
    ['-v', 'HOME/p/d/none:/m'],
    'true',
    /invalid mount config for type "bind": bind source path does not exist: .*\/p\/d\/none/,
    125,
  ],
  [
    'a subpath that is a file, in a volume that only a user of containers may enter',
    ['--mount', 'type=volume,src=v9,dst=/m,volume-subpath=f'],
    'cat /m',
    'hi\n',
  ],
  ['a volume that is a bind of a folder', ['-v', 'vbind:/x'], 'cat /x/f; touch /x/by-vbind && echo ok', 'host\nok\n'],
  [
    'a volume that is a read-only bind',
    ['-v', 'vro:/x'],
    'cat /x/f; touch /x/g',
    'host\ntouch: /x/g: Read-only file system\n',
    1,
  ],
  ['one with flags of a mount', ['-v', 'vflags:/x'], 'grep -c " /x .*nosuid,nodev,noexec" /proc/mounts', '1\n'],
  [
    'volume-subpath that is not there',
    ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=nosuch'],
    'true',
    /cannot mount subpath nosuch of .*: no such file or directory/,
    125,
  ],
  [
    'volume-subpath with dots',
    ['--mount', 'type=volume,src=v8,dst=/x,volume-subpath=../v1'],
    'true',
    /subpath must be a relative path within the volume/,
    125,
  ],
  ['a source that is not there is made by -v', ['-v', 'HOME/made/by/husk:/x'], 'touch /x/ok && echo ok', 'ok\n'],
  [
    'and refused by --mount',
    ['--mount', 'type=bind,src=HOME/nosuch,dst=/x'],
    'true',
    /invalid mount config for type "bind": bind source path does not exist: .*nosuch/,
    125,
  ],
  [
    'a folder by a bare name is a volume name',
    ['-v', 'a/b:/x'],
    'true',
    /includes invalid characters for a local volume name.*If you intended to pass a host directory, use absolute path/,
    125,
  ],
  ['the same place twice', ['-v', 'v1:/x', '-v', 'v2:/x/'], 'true', /Duplicate mount point: \/x/, 125],
  [
    'rprivate',
    ['-v', 'SHARED:/x:rprivate'],
    'grep " /x " /proc/self/mountinfo | grep -c "shared:\\|master:"',
    '0\n',
    1,
  ],
  ['rslave', ['-v', 'SHARED:/x:rslave'], 'grep " /x " /proc/self/mountinfo | grep -c "shared:"', '0\n', 1],
  [
    'rshared: a line says what it cannot be',
    ['-v', 'SHARED:/x:rshared'],
    'grep " /x " /proc/self/mountinfo | grep -c "shared:"',
    /^1\nWARNING: .*mounts that the container makes at \/x are not seen on the host/,
  ],
];
serial('set up a volume with links', (t) => {
  const { status, stderr } = run(
    ['-v', 'v8:/v'],
    'mkdir -p /v/a/b; touch /v/a/b/in-b; ln -s a/b /v/in; ln -s /etc /v/absolute; ln -s ../../../../../../../../etc /v/up; ln -s /proc/self/root /v/magic; mkdir /v/empty',
  );
  t.is(status, 0, stderr);
  user.run(['mkdir', 'p']);
  for (const where of [`${user.home}/p:/p`, 'v9:/p/d'])
    t.is(
      run(
        ['-v', where],
        'mkdir -p /p/d/sub; touch /p/d/sub/in-sub; echo hi >/p/d/f; chown -R 33:33 /p/d; chmod 700 /p/d',
      ).status,
      0,
    );
  for (const [name, ...options] of [
    ['vbind', 'type=bind', 'o=bind,rw,rprivate'],
    ['vro', 'type=none', 'o=bind,ro'],
    ['vflags', 'o=rbind,nosuid,nodev,noexec'],
  ])
    t.is(
      user.husk(
        'volume',
        'create',
        ...[...options, `device=${user.home}/shared`].flatMap((option) => ['-o', option]),
        name!,
      ).status,
      0,
      name,
    );
  t.regex(
    user.husk('volume', 'create', '-o', 'type=nfs', '-o', 'o=addr=1.2.3.4', '-o', 'device=:/x').stderr,
    /would be mounted by host root/,
  );
  t.regex(
    user.husk('volume', 'create', '-o', 'type=none', '-o', 'o=bind,uid=5', '-o', 'device=/x').stderr,
    /would be mounted by host root/,
  );
});
for (const [title, flags, script, printed, status = 0] of cases)
  serial(title, (t) => {
    const filled = flags.map((flag) => flag.replace('SHARED', join(user.home, 'shared')).replace('HOME', user.home));
    const result = run(filled, script);
    const text = result.stdout + result.stderr.replace(/^Error: /m, '');
    if (typeof printed === 'string') t.is(text, printed);
    else t.regex(text, printed);
    t.is(result.status, status, text);
  });

serial("the caller's umask changes nothing in a container", (t) => {
  const script = 'umask 077; exec "$@"';
  const masked = (...args: string[]) =>
    user.run(['sh', '-c', script, 'sh', HUSK, 'run', '--rm', '--isolation=userns', '--network', 'none', ...args]);
  const { stdout, stderr } = masked(
    '-u',
    '1000',
    '-v',
    'um:/v',
    '-v',
    `${user.home}/made/um:/m`,
    '-w',
    '/w',
    '--tmpfs',
    '/t',
    '--ipc',
    'shareable',
    'box',
    'sh',
    '-c',
    'cat /etc/hosts /etc/resolv.conf /etc/hostname >/dev/null && stat -c "%n %a" /etc/hosts /etc/resolv.conf /etc/hostname / /v /m /w /t /dev/shm; touch /dev/shm/x && echo ok',
  );
  t.is(stderr, '');
  t.is(
    stdout,
    '/etc/hosts 644\n/etc/resolv.conf 644\n/etc/hostname 644\n/ 755\n/v 755\n/m 755\n/w 755\n/t 1777\n/dev/shm 1777\nok\n',
  );
});

serial('--volumes-from, also read-only, and by a container that has ended', (t) => {
  user.husk(
    'create',
    '--name',
    'has',
    '--isolation=userns',
    '--network',
    'none',
    '-v',
    'v1:/d',
    '-v',
    '/anon',
    '--tmpfs',
    '/t',
    '-v',
    `${user.home}/shared:/b:ro`,
    'box',
  );
  t.is(
    run(
      ['--volumes-from', 'has'],
      'cat /d/g /b/f; touch /anon/x /d/w && echo ok; touch /b/x; grep -c " /t " /proc/mounts',
    ).stdout,
    'more\nhost\nok\n0\n',
  );
  t.regex(run(['--volumes-from', 'has:ro'], 'ls /anon; touch /anon/y').stderr, /Read-only file system/);
  t.is(run(['--volumes-from', 'has', '-v', 'v2:/d'], 'ls /d').stdout, '');
});

serial("several running containers see each other's writing at once, and so does the host", (t) => {
  const start = (name: string) =>
    t.is(
      user.husk(
        'run',
        '-d',
        '--name',
        name,
        '--isolation=userns',
        '--network',
        'none',
        '-v',
        'live:/v',
        'box',
        'sleep',
        '1000',
      ).status,
      0,
    );
  start('live1');
  start('live2');
  const inside = (name: string, script: string) => user.husk('exec', name, 'sh', '-c', script).stdout;
  inside('live1', 'echo a >/v/a; mkdir /v/sub; chown 5:6 /v/a');
  t.is(inside('live2', 'cat /v/a; stat -c "%u %g" /v/a; echo b >>/v/a; mv /v/a /v/sub/'), 'a\n5 6\n');
  t.is(inside('live1', 'cat /v/sub/a'), 'a\nb\n');
  t.is(readFileSync(join(user.home, 'data/husk/volumes/live/_data/sub/a'), 'utf8'), 'a\nb\n');
  user.husk('rm', '-f', 'live1', 'live2');
});

serial('volume rm refuses what is in use; rm -v takes the anonymous ones', (t) => {
  const id = user
    .husk('run', '-d', '--isolation=userns', '--network', 'none', '-v', 'busy:/v', '-v', '/anon', 'box', 'true')
    .stdout.trim();
  user.husk('wait', id);
  t.regex(user.husk('volume', 'rm', 'busy').stderr, new RegExp(`remove busy: volume is in use - \\[${id}\\]`));
  const anonymous = user
    .husk('inspect', '-f', '{{range .Mounts}}{{if ne .Name "busy"}}{{.Name}}{{end}}{{end}}', id)
    .stdout.trim();
  t.regex(anonymous, /^[0-9a-f]{64}$/);
  user.husk('rm', '-v', id);
  const left = user.husk('volume', 'ls', '-q').stdout.split('\n');
  t.deepEqual([left.includes('busy'), left.includes(anonymous)], [true, false]);
});

serial('backup and restore by tar in a second container', (t) => {
  run(
    ['-v', 'gold:/v'],
    'mkdir -p /v/d; echo nugget >/v/d/f; chown -R 33:44 /v/d; chmod 2750 /v/d; ln -s d/f /v/l; ln /v/d/f /v/h',
  );
  mkdirSync(join(user.home, 'backup'), { mode: 0o777 });
  spawnSync('chown', [`${user.uid}:${user.gid}`, join(user.home, 'backup')]);
  const look = 'cd /v; cat l; stat -c "%n %u %g %a %h" d d/f h; readlink l';
  const before = run(['-v', 'gold:/v'], look).stdout;
  t.is(run(['-v', 'gold:/v:ro', '-v', `${user.home}/backup:/backup`], 'tar -C /v -cf /backup/gold.tar .').status, 0);
  t.is(run(['-v', 'gold2:/v', '-v', `${user.home}/backup:/backup:ro`], 'tar -C /v -xpf /backup/gold.tar').status, 0);
  t.is(run(['-v', 'gold2:/v'], look).stdout, before);
  t.regex(before, /^nugget\nd 33 44 2750 2\nd\/f 33 44 644 2\nh 33 44 644 2\nd\/f\n$/);
});

serial('default ulimits of the config are felt, --ulimit wins', (t) => {
  mkdirSync(join(user.home, 'config/husk'), { recursive: true });
  writeFileSync(
    join(user.home, 'config/husk/config.json'),
    JSON.stringify({ 'default-ulimits': { fsize: { Name: 'fsize', Soft: 4096, Hard: 4096 } } }),
  );
  const size = 'dd if=/dev/zero of=/big bs=1k count=64 2>/dev/null; stat -c %s /big';
  t.is(run([], size).stdout, '4096\n');
  t.is(run(['--ulimit', 'fsize=8192'], size).stdout, '8192\n');
  t.is(run(['--ulimit', 'cpu=1:1'], '(while :; do :; done); echo $?').stdout, '137\n');
  t.is(
    run(['--ulimit', 'nofile=8'], 'exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null; cat /dev/null')
      .status,
    1,
  );
});
