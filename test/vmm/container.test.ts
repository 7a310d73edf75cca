/** Containers in machines of ours, as a person runs them: bin/husk with --isolation=vm, on a real KVM. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Home } from './home.ts';
import { missingParts, onKvmHost } from './kvm-host.ts';

const missing = missingParts();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register);

function register(): void {
  const home = new Home();
  const husk = (...args: string[]) => home.husk(...args);
  const run = (...args: string[]) => home.run(...args);
  test.after.always('nothing is left running', (t) => t.deepEqual(home.end(), []));

  test.serial('output apart, exit code, hostname, our own kernel', (t) => {
    const { status, stdout, stderr } = run('--rm', '-h', 'inside', 'husk/base', 'sh', '-c', 'echo out; echo err >&2; uname -n; uname -r; ls /sys/class/net; exit 9');
    t.is(status, 9, stderr);
    t.regex(stdout, /^out\ninside\n6\.\d+\.\d+-husk\nlo\n$/);
    t.is(stderr, 'err\n');
    t.is(husk('ps', '-aq').stdout, '');
  });

  test.serial('a shared folder, exec, logs, stop; the record says vm', (t) => {
    const shared = join(home.folder, 'shared');
    mkdirSync(shared);
    writeFileSync(join(shared, 'from-host'), 'host\n');
    const [conf, fixed] = [join(home.folder, 'x.conf'), join(home.folder, 'fixed.conf')];
    for (const file of [conf, fixed]) writeFileSync(file, 'first\n');
    const many = Array.from({ length: 12 }, (_, i) => join(home.folder, `many${i}`));
    for (const [i, folder] of many.entries()) {
      mkdirSync(folder);
      writeFileSync(join(folder, 'number'), `${i}\n`);
    }
    const single = ['-v', `${conf}:/etc/x.conf`, '-v', `${fixed}:/etc/fixed.conf:ro`, '-v', '/dev/null:/etc/nothing', ...many.flatMap((folder, i) => ['-v', `${folder}:/many/${i}${i === 0 ? ':ro' : ''}`])];
    const started = run('-d', '--name', 'live', '-v', `${shared}:/mnt`, ...single, 'husk/base', 'sh', '-c', 'cat /mnt/from-host; echo guest >/mnt/from-guest; trap "echo bye; exit 5" TERM; while :; do sleep 0.2; done');
    t.is(started.status, 0, started.stderr);
    const inside = husk('exec', '-e', 'A=b', 'live', 'sh', '-c', 'echo $A; cat /mnt/from-guest; exit 4');
    t.is(inside.status, 4, inside.stderr);
    t.is(inside.stdout, 'b\nguest\n');
    t.is(readFileSync(join(shared, 'from-guest'), 'utf8'), 'guest\n');
    writeFileSync(join(shared, 'later'), 'seen live\n');
    t.is(husk('exec', 'live', 'cat', '/mnt/later').stdout, 'seen live\n');
    const inGuest = (script: string) => {
      const { stdout, stderr } = husk('exec', 'live', 'sh', '-c', script);
      return stdout + stderr;
    };
    // a file of its own, live both ways; a new file under the old name is not followed, as in Docker
    t.is(inGuest('cat /etc/x.conf; echo second >/etc/x.conf; rm /etc/x.conf; mv /etc/x.conf /etc/y.conf'), "first\nrm: can't remove '/etc/x.conf': Resource busy\nmv: can't rename '/etc/x.conf': Resource busy\n");
    t.is(readFileSync(conf, 'utf8'), 'second\n');
    writeFileSync(conf, 'third\n');
    t.is(inGuest('cat /etc/x.conf'), 'third\n');
    writeFileSync(`${conf}.new`, 'fourth\n');
    renameSync(`${conf}.new`, conf);
    t.is(inGuest('cat /etc/x.conf'), 'third\n');
    t.is(inGuest('cat /etc/fixed.conf; echo x >/etc/fixed.conf; chmod 777 /etc/fixed.conf'), "first\nsh: can't create /etc/fixed.conf: Read-only file system\nchmod: /etc/fixed.conf: Read-only file system\n");
    t.is(inGuest('cat /etc/nothing; echo x >/etc/nothing; ls -l /etc/nothing | cut -c1'), 'c\n');
    // more folders than a machine has devices, each a file system of its own
    t.is(inGuest('cat /many/*/number | wc -l; stat -c %d /many/0 /many/1 /mnt | sort -u | wc -l'), '12\n3\n');
    t.regex(inGuest('touch /many/0/x'), /Read-only file system/);
    t.is(husk('inspect', '-f', '{{.Isolation}} {{.State.Status}}', 'live').stdout, 'vm running\n');
    t.is(husk('stop', 'live').status, 0);
    t.is(husk('logs', 'live').stdout, 'host\nbye\n');
    t.is(husk('inspect', '-f', '{{.State.ExitCode}} {{.State.OOMKilled}}', 'live').stdout, '5 false\n');
  });

  test.serial('a memory limit kills inside the guest only; what was written is there at the next start', (t) => {
    const eater = run('--name', 'eater', '-m', '32m', 'husk/base', 'sh', '-c', 'test -e /first && exit 3; echo x >/first; sync; exec tail -c 90000000 /dev/zero');
    t.is(eater.status, 137, eater.stderr + eater.stdout);
    t.is(husk('inspect', '-f', '{{.State.ExitCode}} {{.State.OOMKilled}}', 'eater').stdout, '137 true\n');
    t.is(husk('start', '-a', 'eater').status, 3);
  });
}
