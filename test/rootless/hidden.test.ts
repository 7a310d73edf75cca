/**
 * Whoever has CAP_SYS_PTRACE in a user namespace reads the files of its processes by /proc/PID/root. husk's own, which
 * have the host's root, are never to be read so by a container that sees them (`--pid host`, `--pid container:X`): they
 * hide as they come in, or work in a namespace of their own.
 */
import test from 'ava';
import { asUser } from './containers.ts';

test("a container with --pid host and SYS_PTRACE finds no process of husk's with the host's root", (t) => {
  const { stdout, stderr } = asUser(`
    fs.writeFileSync('secret', 'of the host', { mode: 0o600 });
    const capabilities = processCapabilities(tweakCapabilities({ add: ['SYS_PTRACE'], drop: [], privileged: false }), { nonRoot: false });
    const change = (spec) => ({ ...spec, process: { ...spec.process, capabilities }, linux: { ...spec.linux, namespaces: spec.linux.namespaces.filter(({ type }) => type !== 'pid') } });
    // /control is in its own root: it is found by the same way, which is therefore open
    const look = 'echo yes > /control; n=0; while :; do for p in /proc/[0-9]*; do read x < $p/root' + resolve('secret') + ' && echo "$p $x" >> /found; done; read x < /proc/$$/root/control && n=$((n + 1)) && echo $n > /rounds.new && mv /rounds.new /rounds; done 2>/dev/null';
    const sandbox = makeSandbox(['sh', '-c', look], { change });
    await sandbox.prepare(NOTHING); await sandbox.start();
    const rounds = () => { try { return Number(fs.readFileSync('c1/upper/rounds', 'latin1')); } catch { return 0; } };
    const seen = async (n) => { const from = rounds(); await within(() => rounds() >= from + n); };
    await seen(1);
    for (let i = 0; i < 5; i++) {
      await text(sandbox.files({ op: 'stat', path: '/' }));
      const running = await sandbox.exec({ ...makeSpec(['true']).process, capabilities }, NOTHING); await running.exited;
    }
    await seen(1);
    console.log(rounds() > 1, fs.existsSync('c1/upper/found') ? fs.readFileSync('c1/upper/found', 'utf8') : 'nothing');
    await sandbox.destroy();
  `);
  t.is(stderr, '');
  t.is(stdout, 'true nothing\n');
});

test('an executor hides before it comes into a user namespace, and hands its network namespace over', (t) => {
  const { stdout, stderr } = asUser(`
    const { launch } = await load('launch/executor.ts'); const { INIT_PROGRAM } = await load('program.ts');
    const holder = runInUserNamespace({ program: ['/bin/busybox', 'sleep', '1000'] }); await holder.started; const pid = await holder.pid;
    const CLONE_NEWUSER = 0x10000000, CLONE_NEWNET = 0x40000000;
    for (const join of [{ op: 'setns', path: '/proc/' + pid + '/ns/user', type: CLONE_NEWUSER }, { op: 'setnsPid', pid, types: CLONE_NEWUSER }]) {
      const steps = [join, { op: 'setuid', uid: 0 }, { op: 'unshare', flags: CLONE_NEWNET }, { op: 'fork' }, { op: 'await', tag: 'network' }, { op: 'exec', args: ['/bin/true'] }];
      const launched = launch(steps, { init: INIT_PROGRAM, stdin: 'null', stdout: 'null', stderr: 2, onAwait: (tag, at, namespace) => {
        try { console.log('its root is ' + fs.readlinkSync('/proc/' + at + '/root')); } catch (error) { console.log(error.code); }
        console.log(tag, /^net:/.test(fs.readlinkSync('/proc/self/fd/' + namespace.number)), fs.readlinkSync('/proc/self/fd/' + namespace.number) !== fs.readlinkSync('/proc/self/ns/net'));
      } });
      await launched.started; await launched.exited;
    }
    holder.signal(9); await holder.exited;
  `);
  t.is(stderr, '');
  t.is(stdout, 'EACCES\nnetwork true true\n'.repeat(2));
});
