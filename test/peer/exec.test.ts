/** `exec` under husk and under Podman, in a container each that runs all the while. One case a line. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { compare, environment, IMAGE, peers, type Case, type Peers } from './peers.ts';

let both: Peers | string = 'not set up';
test.before(async () => {
  both = await peers('debian');
  if (typeof both === 'string') return;
  writeFileSync(join(both.user.home, 'env'), 'X=1 2\n');
  for (const run of [both.husk, both.podman]) {
    const { status, stderr } = run([
      'run',
      '-d',
      '--name',
      'main',
      '--network=none',
      '-e',
      'A=1',
      '--cap-drop',
      'NET_RAW',
      '--ulimit',
      'nofile=300:400',
      IMAGE,
      'sleep',
      '600',
    ]);
    if (status !== 0) throw new Error(stderr);
    run(['create', '--name', 'stopped', IMAGE, 'true']);
  }
});
test.after.always(() => {
  if (typeof both !== 'string') both[Symbol.dispose]();
});
const same = (args: string[], how: Case = {}) =>
  test.serial(`exec ${args.join(' ')}`, (t) => compare(t, both, ['exec', ...args], how));

// Podman's exec has no HOSTNAME
const variables = (text: string) => environment(text).replace(/^HOSTNAME=ID\n/m, '');
same(['main', 'env'], { view: variables });
same(['-e', 'B=2', '-e', 'A=3', '-e', 'USER', '--env-file', 'env', 'main', 'env'], { view: variables });
for (const flags of [[], ['-u', 'daemon'], ['-u', '1000:5'], ['-u', 'daemon:mail'], ['-u', ':5']])
  same([...flags, 'main', 'id'], { view: (text) => text.replace('=1000(1000)', '=1000') });
for (const flags of [[], ['--privileged'], ['-u', '1000'], ['-u', '1000', '--privileged']])
  same([...flags, 'main', 'grep', '-E', '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid)', '/proc/self/status']);
same(['main', 'bash', '-c', 'ulimit -n; ulimit -Hn; umask; pwd; hostname | wc -c']);
same(['-w', '/tmp', 'main', 'pwd']);
same(['-w', '/nosuch', 'main', 'pwd'], {
  says: /chdir to cwd \("\/nosuch"\) set in config.json failed: no such file or directory/,
});
same(['main', 'sh', '-c', 'readlink /proc/self/ns/pid /proc/1/ns/pid | uniq | wc -l']);
same(['main', 'sh', '-c', 'echo out; echo err >&2; exit 42']);
same(['main', 'sh', '-c', 'kill -9 $$']);
same(['main', 'cat'], { input: 'not passed on' });
same(['-i', 'main', 'cat'], { input: 'x'.repeat(200_000) });
same(['-i', 'main', 'sh', '-c', 'head -c 3; echo; echo done'], { input: 'abcdef' });
same(['-t', 'main', 'sh', '-c', 'tty; echo err >&2']);
same(['main', 'nosuch'], {
  says: /^Error: OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in \$PATH: unknown\n$/,
});
same(['main', '/etc/passwd'], { says: /exec: "\/etc\/passwd": permission denied: unknown\n$/ });
same(['-u', 'nosuch', 'main', 'id'], {
  podmanStatus: 255,
  says: /^Error: unable to find user nosuch: no matching entries in passwd file\n$/,
});
same(['nosuch', 'id'], { podmanStatus: 125, says: /^Error: No such container: nosuch\n$/ });
same(['stopped', 'id'], { podmanStatus: 255, says: /^Error: [Cc]ontainer \S+ is not running\n$/ });
same(['--bogus', 'main', 'id'], { says: /^unknown flag: --bogus\n/ });

test.serial('--init: exec, top, and another container in its namespaces', (t) => {
  if (typeof both === 'string') return t.pass();
  const { husk } = both;
  t.is(
    husk(['run', '-d', '--init', '--name', 'with-init', '--network=none', '-h', 'inside', IMAGE, 'sleep', '600'])
      .status,
    0,
  );
  t.is(husk(['exec', 'with-init', 'cat', '/proc/1/comm']).stdout, 'husk-init\n');
  t.is(husk(['exec', 'with-init', 'sh', '-c', 'tr "\\0" . </proc/1/cmdline | tr -s .']).stdout, 'husk-init.');
  t.regex(husk(['top', 'with-init']).stdout, /husk-init\n.*sleep 600\n/);
  const joined = husk([
    'run',
    '--rm',
    '--network=container:with-init',
    '--pid=container:with-init',
    IMAGE,
    'cat',
    '/proc/1/comm',
  ]);
  t.is(joined.stdout, 'husk-init\n', joined.stderr);
});

test.serial('exec -d', async (t) => {
  compare(t, both, ['exec', '-d', 'main', 'touch', '/tmp/made'], { view: () => '' });
  compare(t, both, [
    'exec',
    'main',
    'sh',
    '-c',
    'for i in $(seq 300); do [ -e /tmp/made ] && break; sleep 0.1; done; ls /tmp/made',
  ]);
});
