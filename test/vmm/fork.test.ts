/**
 * Copies of running containers, as a person makes them: they go on from one moment, each as a container of its own; and
 * what a fork leaves that was ended on the way.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Home, TIMEOUT } from './home.ts';
import { missingParts, notByItself, onKvmHost } from './kvm-host.ts';
import { Repl } from './repl.ts';

const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 1800 });

const RANDOM = 'head -c 16 /dev/urandom | od -An -tx1';

function register(): void {
  const home = new Home();
  const saved = () => (existsSync(home.path('data/husk/saved')) ? readdirSync(home.path('data/husk/saved')) : []);
  const ownSaved = (id: string) => existsSync(home.path('data/husk/containers', id, 'saved'));
  const shell = (name: string, ...flags: string[]) =>
    home.must('run', '-d', '-i', '--isolation=vm', '-m', '64m', '--name', name, ...flags, 'husk/base', 'sh');
  const field = (container: string, format: string) => home.must('inspect', '--format', format, container);

  test.after.always('nothing is left running', async (t) => {
    t.deepEqual(await home.end(), []);
  });

  test.serial('two shells of one answer differently from then on', async (t) => {
    t.timeout(4 * TIMEOUT);
    const id = shell('one', '--network', 'none', '--label', 'of=mine');
    using one = new Repl(home.env, 'one');
    t.is(await one.ask('x=1; echo before > /f; echo $x'), '1');
    const began = Date.now();
    const copy = home.must('fork', '--name', 'two', 'one');
    t.log(`fork took ${Date.now() - began} ms`);
    t.regex(copy, /^[0-9a-f]{64}$/);
    using two = new Repl(home.env, 'two');
    t.is(await two.ask('echo $x'), '1');
    await two.ask('x=2; echo two > /f');
    await one.ask('x=3');
    t.deepEqual([await one.ask('echo $x; cat /f'), await two.ask('echo $x; cat /f')], ['3\nbefore', '2\ntwo']);

    t.deepEqual([await one.ask('hostname'), await two.ask('hostname')], [id.slice(0, 12), copy.slice(0, 12)]);
    t.deepEqual(
      [await one.ask('cat /etc/hostname'), await two.ask('cat /etc/hostname')],
      [id.slice(0, 12), copy.slice(0, 12)],
    );
    t.not(await one.ask(RANDOM), await two.ask(RANDOM));
    const asked = Date.now();
    const clock = Number(await two.ask('date +%s')) * 1000;
    t.true(clock > asked - 1000 && clock <= Date.now(), `${asked} ${clock} ${Date.now()}`);

    t.is(field('two', '{{.ForkedFrom}} {{.State.Status}} {{.Config.Labels.of}}'), `${id} running mine`);
    t.false(home.must('logs', 'two').includes('before'.repeat(2)));
    const told = home.must('events', '--since', '1h', '--until', '0s', '--filter', 'event=fork');
    t.regex(told, new RegExp(`fork ${id} .*copy=${copy}`));
    t.log(`standstill: ${/standstill=(\d+)/.exec(told)?.[1]} ms`);
    t.is(home.must('exec', 'two', 'cat', '/f'), 'two');
    t.deepEqual([saved(), ownSaved(id)], [[], false]);
  });

  test.serial('copies of a copy, several at once; one that has ended begins anew with its own disk', async (t) => {
    t.timeout(4 * TIMEOUT);
    const ids = home.must('fork', '-n', '2', '--name', 'three', 'two').split('\n');
    t.is(ids.length, 2);
    using first = new Repl(home.env, 'three-1');
    using second = new Repl(home.env, 'three-2');
    await first.ask('x=10; echo 10 > /f');
    t.deepEqual([await first.ask('echo $x; cat /f'), await second.ask('echo $x; cat /f')], ['10\n10', '2\ntwo']);
    home.must('rm', '-f', 'one', 'two', 'three-2');
    home.must('stop', '-t', '0', 'three-1');
    home.must('start', 'three-1');
    using again = new Repl(home.env, 'three-1');
    t.is(await again.ask('echo "[$x]"; cat /f'), '[]\n10');
    home.must('rm', '-f', 'three-1');
    t.deepEqual(saved(), []);
  });

  test.serial('a container that ended with a checkpoint goes on from it', async (t) => {
    t.timeout(4 * TIMEOUT);
    const id = shell('kept', '--network', 'none');
    {
      using before = new Repl(home.env, 'kept');
      t.is(await before.ask('x=7; echo before > /f; echo $x'), '7');
    }
    t.is(home.must('checkpoint', 'create', 'kept', 'first'), 'first');
    t.is(field('kept', '{{.State.Status}}'), 'exited');
    t.regex(home.must('checkpoint', 'ls', 'kept'), /^CHECKPOINT NAME\s+first$/);
    for (const round of ['one', 'two']) {
      home.must('start', '--checkpoint', 'first', 'kept');
      using again = new Repl(home.env, 'kept');
      t.is(await again.ask('echo $x; cat /f; hostname'), `7\nbefore\n${id.slice(0, 12)}`);
      t.true(Math.abs(Number(await again.ask('date +%s')) - Date.now() / 1000) < 60);
      await again.ask(`x=8; echo ${round} > /f`);
      home.must('stop', '-t', '0', 'kept');
    }
    home.must('checkpoint', 'rm', 'kept', 'first');
    home.must('rm', 'kept');
    t.deepEqual(saved(), []);
  });

  test.serial('a copy has addresses of its own, and no connection of the other', async (t) => {
    t.timeout(4 * TIMEOUT);
    home.must('network', 'create', 'net');
    const listen = ['husk/base', 'nc', '-ll', '-p', '7', '-e', 'cat'];
    home.must('run', '-d', '--isolation=vm', '-m', '64m', '--network', 'net', '--name', 'server', ...listen);
    const ip = field('server', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}');
    shell('client', '--network', 'net');
    using client = new Repl(home.env, 'client');
    // the shell of the fifo keeps nc's stdin open
    await client.ask(`mkfifo /in; (nc ${ip} 7 < /in > /out; echo over > /end) & exec 9> /in`);
    await client.ask('echo one >&9; while [ "$(cat /out)" != one ]; do :; done');
    home.must('fork', '--name', 'copy', 'client');
    using copy = new Repl(home.env, 'copy');
    const address = "ip -o -4 addr show eth0 | awk '{ print $4 }'; cat /sys/class/net/eth0/address";
    const [old, own] = [await client.ask(address), await copy.ask(address)];
    t.not(old.split('\n')[0], own.split('\n')[0]);
    t.not(old.split('\n')[1], own.split('\n')[1]);
    t.is(own.split('\n')[0]!.split('/')[0], field('copy', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'));
    t.is(await copy.ask('while ! [ -e /end ]; do :; done; cat /end'), 'over');
    t.is(await client.ask('echo two >&9; while ! grep -q two /out; do :; done; ls /end 2>/dev/null'), '');
    t.is(await copy.ask(`echo new | nc -w 60 ${ip} 7`), 'new');
    home.must('rm', '-f', 'client', 'copy', 'server');
  });

  test.serial('volumes and bind mounts are shared; what was open there goes on', async (t) => {
    t.timeout(4 * TIMEOUT);
    const bind = home.path('bind');
    mkdirSync(join(bind, 'dir'), { recursive: true });
    writeFileSync(join(bind, 'text'), 'one\ntwo\n');
    shell('open', '--network', 'none', '-v', 'data:/data', '-v', `${bind}:/bind`, '-v', `${bind}:/ro:ro`);
    using one = new Repl(home.env, 'open');
    await one.ask('exec 8>>/data/log 7</bind/text 6>/bind/nameless; rm /bind/nameless; cd /bind/dir');
    t.is(await one.ask('echo one >&8; read -r line <&7; echo $line'), 'one');
    home.must('fork', '--name', 'sharing', 'open');
    using two = new Repl(home.env, 'sharing');
    t.is(await two.ask('echo two >&8; read -r line <&7; echo $line; pwd'), 'two\n/bind/dir');
    t.is(await one.ask('echo one >&8; read -r line <&7; echo $line; cat /data/log'), 'two\none\ntwo\none');
    await two.ask('echo two > made');
    t.deepEqual([await one.ask('cat made'), readFileSync(join(bind, 'dir/made'), 'utf8')], ['two', 'two\n']);
    writeFileSync(join(bind, 'dir/made'), 'host\n');
    t.deepEqual([await one.ask('cat made'), await two.ask('cat made')], ['host', 'host']);
    t.regex(await two.ask('touch /ro/x 2>&1'), /Read-only file system/);
    // a file without a name is the first one's alone
    t.is(await one.ask('echo x >&6 && echo written'), 'written');
    t.regex(await two.ask('echo x >&6 && echo written'), /Stale file handle|error/);
    home.must('rm', '-f', 'open', 'sharing');
    home.must('volume', 'rm', 'data');
  });

  test.serial('a parked machine takes hardly any memory, and goes on as it was', async (t) => {
    t.timeout(4 * TIMEOUT);
    const id = shell('parked', '--network', 'none', '--tmpfs', '/t');
    using one = new Repl(home.env, 'parked');
    const sum = await one.ask('x=7; head -c 24000000 /dev/urandom > /t/f; md5sum /t/f');
    const own = () => {
      const pid = field('parked', '{{.State.Pid}}');
      return Number(/^Pss_Anon: +(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]) / 1024;
    };
    const before = own();
    home.must('pause', '--swap-out', 'parked');
    const parked = own();
    t.log(`anonymous memory: ${before.toFixed(1)} MiB before, ${parked.toFixed(1)} parked`);
    t.true(before > 60 && parked < before - 40, `${before} ${parked}`);
    t.is(field('parked', '{{.State.Status}}'), 'paused');
    t.false(existsSync(home.path('data/husk/containers', id, 'swapped')));
    home.must('unpause', 'parked');
    t.is(await one.ask('echo $x; md5sum /t/f'), `7\n${sum}`);
    // and again, from what it has by then
    await one.ask('x=8; echo more >> /t/f; sync');
    home.must('pause', '--swap-out', 'parked');
    home.must('unpause', 'parked');
    t.is(await one.ask('echo $x; tail -c 5 /t/f; wc -c < /t/f'), '8\nmore\n24000005');
    t.is(home.must('exec', 'parked', 'echo', 'hello'), 'hello');
    home.must('rm', '-f', 'parked');
  });

  test.serial('what cannot be copied is said in one line', (t) => {
    t.timeout(2 * TIMEOUT);
    const refused = (...args: string[]) => {
      const { status, stderr } = home.husk('fork', ...args);
      t.is(status, 1);
      return stderr;
    };
    home.must('create', '--isolation=vm', '--name', 'stopped', 'husk/base');
    t.regex(refused('stopped'), /container [0-9a-f]{64} is not running/);
    shell('paused', '--network', 'none');
    home.must('pause', 'paused');
    t.regex(refused('paused'), /cannot fork container paused: it is paused/);
    home.must('rm', '-f', 'stopped', 'paused');
  });
}
