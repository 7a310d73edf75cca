/**
 * The user namespace around all containers of a user: found, made, held; and what a container that is below it can do
 * to its siblings and to it, which must be nothing.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../fixtures/user.ts';
import { AS_ROOT, asRoot, asUser } from './containers.ts';

const made = mkdtempSync('/var/tmp/husk-attacker-');
chmodSync(made, 0o755);
const ATTACKER = join(made, 'attacker');
execFileSync('gcc', ['-std=gnu11', '-static', '-o', ATTACKER, join(ROOT, 'test/rootless/attacker.c')]);
test.after.always(() => rmSync(made, { recursive: true, force: true }));

/** `each(title, code, expected)`: as an ordinary user, and as root where the tests run as root */
function each(
  title: string,
  code: string,
  expected: string | RegExp,
  whose: readonly ('user' | 'root')[] = ['user', 'root'],
) {
  for (const who of whose)
    (who === 'root' && !AS_ROOT ? test.skip : test)(
      `${title} (${who}${AS_ROOT || who === 'user' ? '' : ': needs root'})`,
      (t) => {
        const { stdout, stderr } = (who === 'root' ? asRoot : asUser)(TOOLS + code);
        t.is(stderr, '');
        if (typeof expected === 'string') t.is(stdout, expected);
        else t.regex(stdout, expected);
      },
    );
}

/** `another(code)`: a process of the same user that holds a namespace until it is told to go */
const TOOLS = `
  const { claimUsersNamespace, holdUsersNamespace, newUserNamespace } = await load('rootless/users-namespace.ts');
  const { namespaceName, parentNamespace } = await load('host/kernel/namespace.ts');
  const { open } = await load('host/fd.ts'); const { launch } = await load('launch/executor.ts'); const { INIT_PROGRAM } = await load('program.ts');
  const { idMaps, writeIdMaps } = await load('rootless/idmap.ts'); const { keepIdMaps } = await load('rootless/keep-id.ts');
  const { spawn } = await import('node:child_process'); const { createInterface } = await import('node:readline');
  const ATTACKER = ${JSON.stringify(ATTACKER)};
  const hold = async () => namespaceName((await holdUsersNamespace('.')).fd.number);
  /** the name of the namespace around that of a process */
  const around = (pid) => { const fd = open('/proc/' + pid + '/ns/user', 0); const parent = parentNamespace(fd.number); const name = namespaceName(parent.number); fd.close(); parent.close(); return name; };
  const another = async (env = {}, before = [], code = "const { holdUsersNamespace } = await import(from + '/src/rootless/users-namespace.ts'); const { namespaceName } = await import(from + '/src/host/kernel/namespace.ts'); const users = await holdUsersNamespace('.').catch((error) => console.log(error.message)); if (users) console.log(namespaceName(users.fd.number)); process.stdin.resume(); process.stdin.on('end', () => process.exit());") => {
    code = 'const from = ' + JSON.stringify(${JSON.stringify(ROOT)}) + '; ' + code;
    const [program, ...args] = [...before, process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', code];
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    const { value } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
    const gone = new Promise((done) => child.once('close', done));
    return { name: value, pid: child.pid, end: async (signal) => { if (signal) child.kill(signal); else child.stdin.end(); await gone; } };
  };
  /** newuidmap and newgidmap of this process and its children do this before their work */
  const useMappers = (before) => {
    fs.mkdirSync('bin', { recursive: true });
    for (const [name, script] of Object.entries(before)) fs.writeFileSync('bin/' + name, ['#!/bin/sh', 'PATH=/usr/bin:/bin', 'echo ' + name + ' >> called', script, 'exec /usr/bin/' + name + ' "$@"', ''].join('\\n'), { mode: 0o755 });
    if (!process.env.PATH.startsWith(resolve('bin'))) process.env.PATH = resolve('bin') + ':' + process.env.PATH;
  };
  const called = () => fs.readFileSync('called', 'utf8').split('\\n').sort().join(' ').trim();
  const NEWNS = 0x20000;
  /** a program in a user namespace as a container has one, but with the host's files and processes */
  const inContainer = async (args, { maps = idMaps(), stdin = 'null', become = 0, users } = {}) => {
    const launched = launch([...newUserNamespace(maps, users), { op: 'setgroups', gids: [] }, { op: 'setgid', gid: become }, { op: 'setuid', uid: become }, { op: 'unshare', flags: 0x40000000 }, { op: 'environment', env: ['PATH=/bin'] }, ...(become ? [{ op: 'capabilities', bounding: 2n ** 41n - 1n, effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n }] : []), { op: 'exec', args }], { init: INIT_PROGRAM, stdin, stdout: 'pipe', stderr: 2, onAwait: (_tag, pid) => writeIdMaps(pid, maps) });
    launched.started.catch(() => {});
    const said = text(launched.stdout);
    await launched.started;
    return { launched, pid: await launched.pid, said };
  };
`;

each(
  'a container is in a child of the namespace that this user holds, with the ids it always had',
  `
  const sandbox = makeSandbox(['sleep', '1000']); const { pid } = await sandbox.prepare(NOTHING); await sandbox.start();
  const { fd } = await holdUsersNamespace('.');
  console.log(around(pid) === namespaceName(fd.number));
  const map = fs.readFileSync('/proc/' + pid + '/uid_map', 'latin1').trim().split('\\n').map((line) => line.trim().split(/ +/).map(Number));
  console.log(JSON.stringify(map) === JSON.stringify(idMaps().uid.map(({ containerID, hostID, size }) => [containerID, hostID, size])));
  // who has no container's rights enters it as ever, by its pid
  console.log(execFileSync('nsenter', ['-t', String(pid), '-U', '-m', '--setuid', '0', '--setgid', '0', '/bin/id', '-u'], { encoding: 'utf8' }).trim());
  await sandbox.destroy();
`,
  'true\ntrue\n0\n',
);

each(
  'it is found as long as somebody holds it, and made anew when nobody does',
  `
  const first = await another(); const second = await another(); console.log(first.name === second.name, /^user:/.test(first.name));
  await first.end(); const third = await another(); console.log(third.name === second.name);
  await second.end('SIGKILL'); const fourth = await another(); console.log(fourth.name === third.name);
  await third.end(); await fourth.end('SIGKILL');
  // nobody; and the kernel may give the same number again, so its holder is asked
  const fifth = await another(); const lines = fs.readFileSync('users-namespace', 'utf8').trim().split('\\n').map((line) => JSON.parse(line).pid);
  console.log(JSON.stringify(lines) === JSON.stringify([fifth.pid]));
  await fifth.end();
`,
  'true true\ntrue\ntrue\ntrue\n',
  ['user'],
);

each(
  'many at once have one, and newuidmap runs once',
  `
  useMappers({ newuidmap: '', newgidmap: '' });
  const all = await Promise.all(Array.from({ length: 8 }, () => another()));
  console.log(new Set(all.map(({ name }) => name)).size, called());
  await Promise.all(all.map((one) => one.end()));
`,
  '1 newgidmap newuidmap\n',
  ['user'],
);

each(
  'many containers at once have one around them, and newuidmap runs once',
  `
  useMappers({ newuidmap: '', newgidmap: '' });
  const all = Array.from({ length: 8 }, () => makeSandbox(['sleep', '1000']));
  const pids = (await Promise.all(all.map((sandbox) => sandbox.prepare(NOTHING)))).map(({ pid }) => pid);
  console.log(new Set(pids.map(around)).size, new Set(pids.map((pid) => fs.readlinkSync('/proc/' + pid + '/ns/user'))).size, called());
  await Promise.all(all.map((sandbox) => sandbox.destroy()));
`,
  '1 8 newgidmap newuidmap\n',
  ['user'],
);

each(
  'a container waits for the one that this process makes already',
  `
  useMappers({ newuidmap: '', newgidmap: '' });
  const making = holdUsersNamespace('.'); const sandbox = makeSandbox(['sleep', '1000']); const { pid } = await sandbox.prepare(NOTHING);
  console.log(around(pid) === namespaceName((await making).fd.number), called()); await sandbox.destroy();
`,
  'true newgidmap newuidmap\n',
  ['user'],
);

each(
  'a container is the same whether its own plan makes the namespace around it or finds it',
  `
  // limits that are their own highest are no test of what is put back
  for (const limit of ['nproc=3000:4000', 'memlock=65536:131072', 'sigpending=2000:3000', 'msgqueue=400000:500000']) execFileSync('prlimit', ['--pid', String(process.pid), '--' + limit]);
  const script = 'cat /proc/self/uid_map /proc/self/gid_map; grep -E "processes|locked|pending|msgqueue" /proc/self/limits; grep -E "Uid|Gid|Groups|Cap" /proc/self/status; stat -c "%u %g %a" / /proc /etc /tmp /dev/pts';
  const same = async (maps) => {
    fs.rmSync('users-namespace', { force: true });
    const [made, found, alone] = [await sh(script, { options: { maps } }), await sh(script, { options: { maps } }), await sh(script, { options: { maps, users: undefined } })].map(({ out, err, exit }) => out + err + exit.code);
    return [made === found, made === alone, /processes +3000 +4000 /.test(made), made.trim().split('\\n').length].join(' ');
  };
  console.log(await same(idMaps()));
  if (process.getuid() > 0) console.log(await same(keepIdMaps(idMaps(), { uid: 1000, gid: 1000 })));
`,
  /^(true true true \d\d\n){1,2}$/,
);

each(
  'the limits of its maker are as high as they may be while the plan makes it, and as they were afterwards',
  `
  execFileSync('prlimit', ['--pid', String(process.pid), '--sigpending=2000:3000']);
  const claim = await claimUsersNamespace('.', idMaps());
  const steps = newUserNamespace(idMaps(), claim); claim[Symbol.dispose]();
  console.log(steps.filter(({ op, resource }) => op !== 'rlimit' || resource === 11).map(({ op, soft, hard }) => soft === undefined ? op : soft + ':' + hard).join(' '));
`,
  /^3000:3000 unshare sockets await 2000:3000 (setgroups setgid setuid )?mapUsers\n$/,
);

each(
  'who fails or dies as it is made keeps nobody from making it',
  `
  // a newuidmap that waits
  useMappers({ newuidmap: 'mkfifo go.' + '$' + '1; touch waits.' + '$' + '1; read line < go.' + '$' + '1' });
  const waiting = async () => { let pid; await within(() => (pid = fs.readdirSync('.').find((name) => name.startsWith('waits.'))?.slice(6))); fs.rmSync('waits.' + pid); return pid; };
  const free = (pid) => fs.writeFileSync('go.' + pid, 'go\\n');
  const why = (error) => error.message.replaceAll(resolve('bin'), 'bin');

  // husk-init is killed
  const first = makeSandbox(['true']); const failed = first.prepare(NOTHING).then(() => 'started', why);
  const init = await waiting(); process.kill(Number(init), 'SIGKILL'); console.log(await failed); free(init); await first.destroy();

  // husk itself is, while another waits for what it makes
  const maker = await another({}, [], "const { claimUsersNamespace, newUserNamespace } = await import(from + '/src/rootless/users-namespace.ts'); const { idMaps } = await import(from + '/src/rootless/idmap.ts'); const { launch } = await import(from + '/src/launch/executor.ts'); const { INIT_PROGRAM } = await import(from + '/src/program.ts'); const claim = await claimUsersNamespace('.', idMaps()); console.log('claimed'); await launch([...newUserNamespace(idMaps(), claim), { op: 'exit' }], { init: INIT_PROGRAM, stdin: 'null', stdout: 'null', stderr: 'null', onSockets: (sockets) => void claim.take(sockets), onAwait: (_tag, pid) => claim.fulfil(pid) }).started;");
  const orphan = await waiting(); const second = makeSandbox(['true']); const other = second.prepare(NOTHING).then(() => 'started', why);
  await maker.end('SIGKILL'); const next = await waiting(); free(next); console.log(maker.name, await other); free(orphan); await second.destroy();
`,
  'husk-init was killed before it could execute the command\nclaimed started\n',
  ['user'],
);

each(
  'newuidmap that fails is told as ever, and the next one makes it',
  `
  useMappers({ newuidmap: 'echo newuidmap: no such luck >&2; exit 1' });
  const sandbox = makeSandbox(['true']);
  console.log(await sandbox.prepare(NOTHING).then(() => 'started', ({ message, kind, fix }) => [message.replace(resolve('bin'), 'bin').replace(/[0-9]+-[0-9]+/, 'N-N'), kind, fix].join('|')));
  console.log(fs.readFileSync('users-namespace', 'utf8') === '');
  await sandbox.destroy(); useMappers({ newuidmap: '' });
  console.log((await sh('echo started')).out.trim(), fs.readFileSync('users-namespace', 'utf8').trim().split('\\n').length);
`,
  'cannot map uid range N-N: bin/newuidmap: no such luck|unsupported|see /etc/subuid\ntrue\nstarted 1\n',
  ['user'],
);

each(
  'a maker with lower limits bounds nobody who has higher ones',
  `
  const low = await another({}, ['prlimit', '--nproc=4000:4000']); const lower = await another({}, ['prlimit', '--nproc=3000:3000']); const usual = await another();
  console.log(low.name === lower.name, low.name === usual.name);
  for (const one of [low, lower, usual]) await one.end();
`,
  'true false\n',
  ['user'],
);

each(
  'what the file says is not believed',
  `
  // those of a container: its own namespace, held by a process in it; and one of this process that is no namespace
  // around containers
  const alone = await inContainer(['/bin/busybox', 'sleep', '1000'], { users: null });
  const own = open('/proc/' + alone.pid + '/ns/user', 0);
  const standing = (pid) => fs.readFileSync('/proc/' + pid + '/stat', 'latin1').split(') ')[1].split(' ')[19];
  const shifted = (lines) => lines.map((line) => ({ ...line, containerID: line.containerID + 1 }));
  const honest = { maps: JSON.stringify([shifted(idMaps().uid), shifted(idMaps().gid)]), limits: { 'Max processes': null, 'Max locked memory': null, 'Max pending signals': null, 'Max msgqueue size': null } };
  const file = open('/dev/null', 0), selfUser = open('/proc/self/ns/user', 0);
  const sandbox = makeSandbox(['sleep', '1000'], { options: { users: undefined } }); const inside = await sandbox.prepare(NOTHING); await sandbox.start();
  const nested = open('/proc/' + inside.pid + '/ns/net', 0);
  const claim = (pid, fd, name) => JSON.stringify({ pid, startTime: standing(pid), fd, name, ...honest });
  const here = (fd) => claim(process.pid, fd.number, namespaceName(fd.number));
  const lies = ['', 'x', '[]', '{}', 'null', '{"pid":1}', claim(alone.pid, 0, namespaceName(own.number)), here(file), here(selfUser), here(nested), claim(process.pid, 9999, 'user:[1]'), claim(process.pid, selfUser.number, 'user:[1]'), JSON.stringify({ pid: process.pid, startTime: '1', fd: own.number, name: namespaceName(own.number), ...honest })];
  fs.writeFileSync('users-namespace', lies.join('\\n') + '\\n');
  const name = await hold(); console.log([own, selfUser].some((fd) => namespaceName(fd.number) === name), /^user:/.test(name));
  await sandbox.destroy(); alone.launched.signal(9); await alone.launched.exited;
`,
  'false true\n',
  ['user'],
);

each(
  'a full disk stops nobody',
  `
  fs.symlinkSync('/dev/full', 'users-namespace'); console.log(/^user:/.test(await hold()));
`,
  'true\n',
  ['user'],
);

each(
  'a container with every capability and all pids in sight reaches neither its sibling nor the namespace around them',
  `
  const users = await holdUsersNamespace('.');
  const sibling = await inContainer(['/bin/busybox', 'sleep', '1000']);
  const { said } = await inContainer([ATTACKER, 'siblings', String(sibling.pid), String(process.pid), String(users.fd.number)]);
  console.log(await said);
  // and not when it has got its descriptor from somebody
  console.log(await (await inContainer([ATTACKER, 'inherited'], { stdin: users.fd.number })).said);
  sibling.launched.signal(9); await sibling.launched.exited;
`,
  /^parent of its own: EPERM\nthe holder's descriptor: EACCES\nthe holder's descriptor by pidfd: EPERM\nthe sibling's namespace: EACCES\nthe sibling's root: EACCES\nthe sibling's memory: EACCES\n(the sibling's map opened: done\nthe sibling's map written: EPERM|the sibling's map opened: E\w+)\nsetns of the sibling's user namespace: EPERM\nsetns of the sibling's network: EPERM\nprocess_vm_readv: EPERM\nptrace: EPERM\n\nparent of what was inherited: EPERM\nsetns of what was inherited: EPERM\n\n$/,
);

each(
  "a file's capabilities that a container's user has set in a namespace of its own count in no container",
  `
  const users = await holdUsersNamespace('.');
  fs.chmodSync('.', 0o755);
  // as with --userns keep-id: the caller's own id is 1000 of the container, without a capability
  const maps = keepIdMaps(idMaps(), { uid: 1000, gid: 1000 });
  const attempt = async (users) => {
    fs.copyFileSync(ATTACKER, 'tool'); fs.chmodSync('tool', 0o755);
    const given = await (await inContainer([ATTACKER, 'give', resolve('tool')], { maps, become: 1000, users })).said;
    const had = await (await inContainer([resolve('tool'), 'capabilities'], { maps, become: 1000, users })).said;
    fs.rmSync('tool'); return (given + had).trim().replace('\\n', ', ');
  };
  console.log(await attempt(users));
  console.log(await attempt(null));
  // the way is open where the namespace around it has a root, which is the caller: this is why ours has none
  const rooted = await (async () => { let fd; const launched = launch([{ op: 'unshare', flags: 0x10000000 }, { op: 'await', tag: 'idmap' }, { op: 'sockets', make: ['user-namespace'] }, { op: 'exit' }], { init: INIT_PROGRAM, stdin: 'null', stdout: 'null', stderr: 2, onAwait: (_tag, pid) => writeIdMaps(pid, idMaps()), onSockets: (made) => { fd = made['user-namespace']; } }); await launched.started; return { fd, maps: idMaps() }; })();
  console.log(await attempt(rooted));
`,
  'given: done, capabilities: none\ngiven: done, capabilities: none\ngiven: done, capabilities: some\n',
  ['user'],
);

each(
  'what a container does to the limits of its namespace stops no other',
  `
  // without the masks and the read-only paths: as with --privileged
  const capabilities = processCapabilities(tweakCapabilities({ add: ['ALL'], drop: [], privileged: false }), { nonRoot: false });
  const change = (spec) => ({ ...spec, process: { ...spec.process, capabilities }, linux: { ...spec.linux, maskedPaths: [], readonlyPaths: [] } });
  const script = 'for name in user mnt pid net ipc uts cgroup; do echo 0 > /proc/sys/user/max_' + '$' + '{name}_namespaces && echo ' + '$' + 'name; done; echo 0 > /proc/sys/user/max_inotify_instances && echo inotify; sleep 1000';
  const hostile = makeSandbox(['sh', '-c', script], { change }); await hostile.prepare(NOTHING); const child = await hostile.start();
  let said = ''; child.stdout.setEncoding('utf8').on('data', (data) => (said += data)); await within(() => said.includes('inotify'));
  console.log(said.trim().split('\\n').join(' '));
  const other = await sh('echo started; unshare -U true && echo nested'); console.log(other.out.trim());
  const free = await sh('unshare -U true && echo nested', { change: (spec) => ({ ...spec, linux: { ...spec.linux, seccomp: undefined } }) }); console.log(free.out.trim());
  await hostile.destroy();
`,
  'user mnt pid net ipc uts cgroup inotify\nstarted\nnested\n',
);

each(
  "the processes of all of root's containers together are not bounded by root's limit",
  `
  execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=60:4000']);
  const many = async () => {
    const sandbox = makeSandbox(['sh', '-c', 'n=0; while test $n -lt 40; do sleep 1000 & n=$((n + 1)); done; echo forty; ulimit -u; wait']);
    await sandbox.prepare(NOTHING); const child = await sandbox.start();
    const said = text(child.stdout); let seen = ''; child.stdout.on('data', (data) => (seen += data)); void child.exited.then(() => (seen += 'ended'));
    await within(() => /\\n\\d+\\n|ended/.test(seen)); return { sandbox, seen };
  };
  const both = [await many(), await many()]; console.log(both.map(({ seen }) => seen.trim().replace('\\n', ' ')).join(', '));
  for (const { sandbox } of both) await sandbox.destroy();
`,
  'forty 60, forty 60\n',
  ['root'],
);

test("a container with --pid host and SYS_PTRACE reads no host's root of its siblings as they start", (t) => {
  const { stdout, stderr } = asUser(`
    fs.writeFileSync('secret', 'of the host', { mode: 0o600 });
    const capabilities = processCapabilities(tweakCapabilities({ add: ['ALL'], drop: [], privileged: false }), { nonRoot: false });
    const change = (spec) => ({ ...spec, process: { ...spec.process, capabilities }, linux: { ...spec.linux, seccomp: undefined, namespaces: spec.linux.namespaces.filter(({ type }) => type !== 'pid') } });
    // /control is in its own root: it is found by the same way, which is therefore open
    const look = 'echo yes > /control; n=0; while :; do for p in /proc/[0-9]*; do read x < $p/root' + resolve('secret') + ' && echo "$p $x" >> /found; done; read x < /proc/$$/root/control && n=$((n + 1)) && echo $n > /rounds.new && mv /rounds.new /rounds; done 2>/dev/null';
    const sandbox = makeSandbox(['sh', '-c', look], { change });
    await sandbox.prepare(NOTHING); await sandbox.start();
    const rounds = () => { try { return Number(fs.readFileSync('c1/upper/rounds', 'latin1')); } catch { return 0; } };
    const seen = async (n) => { const from = rounds(); await within(() => rounds() >= from + n); };
    await seen(1);
    for (let i = 0; i < 10; i++) await sh('true');
    await seen(1);
    console.log(rounds() > 1, fs.existsSync('c1/upper/found') ? fs.readFileSync('c1/upper/found', 'utf8') : 'nothing');
    await sandbox.destroy();
  `);
  t.is(stderr, '');
  t.is(stdout, 'true nothing\n');
});
