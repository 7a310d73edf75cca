/** Volumes, bind mounts, tmpfs and the read-only root under husk and under Podman. One case a line. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { compare, IMAGE, peers, runCases, type Peers } from './peers.ts';

let both: Peers | string = 'not set up';
test.before(async () => {
  both = await peers('debian');
  if (typeof both === 'string') return;
  const { user } = both;
  user.run(['mkdir', '-p', 'data/shared/sub']);
  for (const file of ['data/shared/f', 'data/one']) user.run(['sh', '-c', 'echo host > "$0"', file]);
  mkdirSync(join(user.home, 'roots'));
  writeFileSync(join(user.home, 'roots/f'), 'not yours\n', { mode: 0o600 });
});
test.after.always(() => {
  if (typeof both !== 'string') both[Symbol.dispose]();
});
const same = runCases(test, () => both);
const sh = (script: string) => ['bash', '-c', script];
const LIST = ['ls', '-lAn', '--time-style=+'];
// every mount of the container, less the uid and gid of its root
const OPTIONS = "grep ' /m ' /proc/mounts | cut -d' ' -f4 | sed 's/,uid=[0-9]*,gid=[0-9]*//'";

// bind mounts; a relative source is from the working folder, which is the user's home
same(
  ['-v', './data/shared:/m'],
  sh('ls -lAn --time-style=+ /m; cat /m/f; echo new > /m/made; chown 1:1 /m/made; rm /m/made'),
);
same(['-v', './data/shared:/m:ro'], sh(`touch /m/z; ${OPTIONS}`));
same(['-v', './data/shared:/m:rslave'], sh(OPTIONS));
same(['-v', './data/one:/etc/one'], ['cat', '/etc/one']);
same(['-v', './data/one:/etc/one:ro'], sh('echo 2 > /etc/one'));
same(['-v', './data/one:/etc/hostname'], ['cat', '/etc/hostname']);
same(['-v', './roots:/m'], sh('cat /m/f; stat -c %u /m'));
same(['-v', './data/made:/m'], LIST.concat('/m'));
same(['-u', '1000', '-v', './data/shared:/m'], ['touch', '/m/x']);
same(['-v', './data/shared:/m/a', '-v', './data/one:/m/a/sub/one'], sh('cat /m/a/sub/one; rm -f /m/a/sub/one'));
same(['--mount', 'type=bind,source=./data/shared,target=/m,readonly'], ['touch', '/m/x']);
same(['--mount', 'type=bind,source=/no/such,target=/m'], ['true'], {
  says: /bind source path does not exist: \/no\/such/,
});
for (const [spec, says] of [
  ['/a:/b:bogus', /invalid mode: bogus/],
  ['a:b:c:d', /invalid volume specification: 'a:b:c:d'/],
  ['x!:/b', /"x!" includes invalid characters for a local volume name/],
  ['/a:rel', /mount path must be absolute/],
] as const)
  same(['-v', spec], ['true'], { says });
same(['-v', './data/shared:/'], ['true'], { podmanStatus: 126, says: /destination can't be '\/'/ });

// volumes keep what is written, and start with what the image has
same(
  ['-v', 'docs:/usr/share/doc'],
  sh('ls /usr/share/doc | wc -l; stat -c "%a %u:%g" /usr/share/doc; echo kept > /usr/share/doc/x'),
);
same(['-v', 'docs:/m'], sh('ls /m | wc -l; cat /m/x'));
same(['-v', 'docs:/m:ro'], sh('cat /m/x; touch /m/y'));
same(['-v', 'fresh:/m'], sh('stat -c "%a %u:%g" /m; ls -A /m'));
same(['-v', 'plain:/usr/share/doc:nocopy'], sh('ls -A /usr/share/doc'));
same(['-v', '/usr/share/doc'], sh('ls /usr/share/doc | wc -l; touch /usr/share/doc/x'));
same(['--mount', 'type=volume,source=docs,target=/m,ro'], sh('cat /m/x; touch /m/y'));
same(['-v', 'owned:/var/mail'], sh('stat -c "%a %u:%g" /var/mail'));

test.serial('--volumes-from', (t) => {
  compare(t, both, [
    'create',
    '--network=none',
    '--name',
    'has',
    '-v',
    'docs:/d',
    '-v',
    '/anon',
    '-v',
    './data/shared:/b:ro',
    IMAGE,
    'true',
  ]);
  for (const how of ['has', 'has:ro'])
    compare(t, both, [
      'run',
      '--rm',
      '--network=none',
      '--volumes-from',
      how,
      IMAGE,
      ...sh('cat /d/x /b/f; stat -c "%n %a" /anon; touch /b/z /anon/z'),
    ]);
  compare(t, both, ['run', '--rm', '--volumes-from', 'nosuch', IMAGE, 'true'], { says: /No such container: nosuch/ });
});

// tmpfs; Podman does not mind executables in it
same(['--tmpfs', '/m'], sh(`stat -c %a /m; touch /m/x; ${OPTIONS}`), { view: (text) => text.replace('noexec,', '') });
same(['--tmpfs', '/m:size=64k,mode=1770,exec'], sh(`stat -c %a /m; ${OPTIONS}`));
// over a folder of the image Docker's takes the folder's mode, Podman's is 1777
same(['--tmpfs', '/tmp'], sh('stat -c %a /tmp'));
same(['-u', '1000', '--tmpfs', '/m'], ['touch', '/m/x']);
same(['--mount', 'type=tmpfs,target=/m,tmpfs-size=1m'], sh('df --output=size /m; stat -c %a /m'));

// the read-only root; Podman puts a tmpfs over /tmp, /run and /var/tmp
same(['--read-only'], sh('touch /x /etc/x /usr/x; touch /dev/x /dev/shm/x && echo written'));
same(['--read-only', '--tmpfs', '/m', '-v', 'fresh:/v'], sh('touch /m/x /v/x && rm /v/x && echo written'));
same(['--read-only'], sh('echo x >> /etc/hosts'));
