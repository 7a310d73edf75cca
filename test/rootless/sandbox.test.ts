/** The user-namespace sandbox, with real containers: as an ordinary user, and as root where the tests run as root. */
import test from 'ava';
import { AS_ROOT, asRoot, asUser } from './containers.ts';

/** one case: code that prints, and what it must print, under each kind of caller */
function both(title: string, code: string, expected: string | RegExp): void {
  for (const [who, run] of [
    ['user', asUser],
    ['root', asRoot],
  ] as const) {
    (who === 'root' && !AS_ROOT ? test.skip : test)(`${title} (${who})`, (t) => {
      const { stdout, stderr, status } = run(code);
      t.is(stderr, '');
      if (typeof expected === 'string') t.is(stdout, expected);
      else t.regex(stdout, expected);
      t.is(status, 0);
    });
  }
}

both(
  "stdout, stderr and exit code are the command's",
  `
  const { out, err, exit } = await sh('echo out; echo err >&2; echo $$ $(id -u) $(hostname); exit 7');
  console.log(JSON.stringify([out, err, exit]));
`,
  '["out\\n1 0 box\\n","err\\n",{"code":7}]\n',
);

both(
  "stdin is closed, or the caller's",
  `
  console.log((await sh('cat; echo end')).out.trim());
  console.log((await sh('cat', { stdio: { stdin: true, terminal: false }, input: 'x'.repeat(200000) })).out.length);
`,
  'end\n200000\n',
);

both(
  'a signal that ends it',
  `
  console.log(JSON.stringify((await sh('kill -9 $$; sh -c "kill -TERM \\\\$\\\\$"; echo $?')).out));
  const sandbox = makeSandbox(['sleep', '100']); await sandbox.prepare(NOTHING); const child = await sandbox.start();
  sandbox.signal(9); console.log(JSON.stringify(await child.exited)); await sandbox.destroy(); await sandbox.destroy();
`,
  '"143\\n"\n{"code":137,"signal":9}\n',
);

both(
  'a command that is not there, or not executable',
  `
  for (const args of [['nope'], ['/etc'], ['/etc/passwd'], ['./nope']]) await run(args).then(() => console.log('started?'), (error) => console.log(error.exitCode, error.message));
`,
  `127 failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process: exec: "nope": executable file not found in $PATH: unknown
126 failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process: exec: "/etc": is a directory: unknown
126 failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process: exec: "/etc/passwd": permission denied: unknown
127 failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process: exec: "./nope": stat ./nope: no such file or directory: unknown
`,
);

both(
  'nothing is executed before start',
  `
  const sandbox = makeSandbox(['sh', '-c', 'touch /ran']); const { pid } = await sandbox.prepare(NOTHING);
  await sleep(100); console.log(pid > 1, fs.existsSync('c1/upper/ran'), fs.existsSync('/proc/' + pid));
  const child = await sandbox.start(); await child.exited; await sandbox.destroy(); console.log(fs.existsSync('c1/upper/ran'));
`,
  'true false true\ntrue\n',
);

both(
  'destroyed between prepare and start',
  `
  const sandbox = makeSandbox(['true']); const { pid } = await sandbox.prepare(NOTHING); await sandbox.destroy(); console.log(fs.existsSync('/proc/' + pid));
  await makeSandbox(['true']).destroy();
`,
  'false\n',
);

both(
  'exec into what has ended',
  `
  const sandbox = makeSandbox(['true']); await sandbox.prepare(NOTHING); await (await sandbox.start()).exited;
  await sandbox.exec({ ...makeSpec(['true']).process }, NOTHING).catch((error) => console.log(error.kind, error.message)); await sandbox.destroy();
`,
  `conflict container ${'1'.padStart(64, '0')} is not running\n`,
);

both(
  'exec joins it, and has exit codes of its own',
  `
  const sandbox = makeSandbox(['sleep', '100']); await sandbox.prepare(NOTHING); const first = await sandbox.start();
  const exec = async (args, stdio = NOTHING) => { const child = await sandbox.exec({ ...makeSpec(args).process }, stdio); const [out, exit] = await Promise.all([text(child.stdout), child.exited]); return out.trim() + ' ' + exit.code; };
  console.log(await exec(['sh', '-c', 'hostname; readlink /proc/self/ns/pid | wc -l; ps | grep -c "[s]leep 100"; exit 3']));
  await exec(['nope']).catch((error) => console.log(error.exitCode, error.message));
  // the one that failed has told so, and needs a moment to be gone
  await within(async () => (await sandbox.processes()).length === 1);
  console.log((await sandbox.processes()).length, await sandbox.stats().then(({ pids, memoryBytes }) => pids + ' ' + (memoryBytes > 4096)));
  const second = await sandbox.exec({ ...makeSpec(['sleep', '100']).process }, NOTHING);
  console.log((await sandbox.processes()).length);
  await sandbox.destroy();
  console.log(JSON.stringify([await first.exited, await second.exited]));
`,
  /^box\n1\n1 3\n127 OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": executable file not found in \$PATH: unknown\n1 1 true\n2\n\[{"code":137,"signal":9},{"code":137,"signal":9}\]\n$/,
);

both(
  'a terminal: size, resize, every byte, end-of-file',
  `
  const stdio = { stdin: true, terminal: true, columns: 100, rows: 30 };
  const sandbox = makeSandbox(['sh', '-c', 'stty size; read line; stty size; tty; seq 1 20000; exit 4']); await sandbox.prepare(stdio);
  const child = await sandbox.start(); let all = ''; child.stdout.setEncoding('utf8').on('data', (data) => (all += data));
  const ended = new Promise((done) => child.stdout.on('end', done));
  while (!all.includes('\\n')) await sleep(5);
  child.resize(77, 22); child.stdin.write('go\\n');
  console.log(JSON.stringify(await child.exited)); await ended; await sandbox.destroy(); child.resize(1, 1);
  const lines = all.trim().split('\\r\\n'); console.log(lines.slice(0, 4).join('|'), lines.length, lines.at(-1));
`,
  '{"code":4}\n30 100|go|22 77|/dev/pts/0 20004 20000\n',
);

both(
  '--init reaps and forwards signals',
  `
  const sandbox = makeSandbox(['sh', '-c', 'trap "echo caught; exit 9" TERM; (sleep 0.1 &); echo $$; while :; do sleep 0.05; done'], { init: true }); await sandbox.prepare(NOTHING); const child = await sandbox.start();
  let out = ''; child.stdout.setEncoding('utf8').on('data', (data) => (out += data)); while (!out) await sleep(5);
  sandbox.signal(15); console.log((await child.exited).code, JSON.stringify(out.replace(/^\\d+/, (n) => String(Number(n) > 1)))); await sandbox.destroy();
`,
  /^9 "true\\n/,
);

both(
  '120 layers',
  `
  const lower = [busybox('lower')]; fs.mkdirSync('l');
  for (let i = 0; i < 120; i++) { fs.mkdirSync('layers/' + i, { recursive: true }); fs.writeFileSync('layers/' + i + '/f' + i, String(i)); fs.writeFileSync('layers/' + i + '/top', String(i)); }
  chown('layers'); fs.renameSync('lower', 'layers/base');
  const names = ['base', ...Array.from({ length: 120 }, (_, i) => String(i))].map((name, i) => { const link = String(i).padStart(12, 'a'); fs.symlinkSync('../layers/' + name, 'l/' + link); return resolve('l/' + link); });
  console.log((await sh('ls / | grep -c "^f"; cat /top', { lower: names.reverse() })).out.trim());
`,
  '120\n119\n',
);

both(
  'namespaces of another container',
  `
  const one = makeSandbox(['sleep', '100'], { change: (spec) => ({ ...spec, hostname: 'one' }) }); const { pid } = await one.prepare(NOTHING); await one.start();
  const sharing = (spec) => ({ ...spec, linux: { ...spec.linux, namespaces: [...['mount', 'cgroup', 'uts'].map((type) => ({ type })), ...[['network', 'net'], ['pid', 'pid'], ['ipc', 'ipc'], ['user', 'user']].map(([type, file]) => ({ type, path: '/proc/' + pid + '/ns/' + file }))] } });
  const { out } = await sh('for n in net ipc pid; do readlink /proc/self/ns/$n; done; ps | grep -c "[s]leep 100"', { change: sharing });
  console.log(out.trim().split('\\n').slice(0, 3).join() === ['net', 'ipc', 'pid'].map((file) => fs.readlinkSync('/proc/' + pid + '/ns/' + file)).join(), out.trim().split('\\n').at(-1));
  const two = makeSandbox(['sh', '-c', 'sleep 200 & sleep 300 & exec sleep 400'], { change: sharing }); await two.prepare(NOTHING); await two.start();
  await within(async () => (await two.processes()).length === 3);
  console.log((await two.processes()).length); await two.destroy();
  console.log((await one.processes()).length); await one.destroy();
`,
  'true 1\n3\n1\n',
);

both(
  'pause and update say what is missing',
  `
  const sandbox = makeSandbox(['sleep', '100']); await sandbox.prepare(NOTHING); await sandbox.start();
  await sandbox.pause().catch((error) => console.log(error.kind)); await sandbox.update({}).catch((error) => console.log(error.kind)); await sandbox.destroy();
`,
  'unsupported\nunsupported\n',
);

both(
  'bind mounts, also from a folder closed to others',
  `
  fs.mkdirSync('closed/data', { recursive: true }); fs.writeFileSync('closed/data/f', 'inside\\n'); fs.writeFileSync('closed/file', 'a file\\n'); fs.chmodSync('closed', 0o700); fs.chmodSync('closed/data', 0o755);
  const mounts = [{ destination: '/data', type: 'bind', source: resolve('closed/data'), options: ['rbind', 'rprivate'] }, { destination: '/etc/file', type: 'bind', source: resolve('closed/file'), options: ['rbind', 'ro', 'rprivate'] }];
  const { out, err } = await sh('cat /data/f /etc/file; echo x 2>/dev/null > /etc/file || echo read-only', { change: (spec) => ({ ...spec, mounts: [...spec.mounts, ...mounts] }) });
  console.log(out.trim()); console.log(fs.existsSync('c1/binds'));
`,
  'inside\na file\nread-only\nfalse\n',
);

both(
  'fifty containers leave no process, mount, descriptor or folder',
  `
  const mine = () => fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name) && (() => { try { return fs.readFileSync('/proc/' + name + '/status', 'utf8').match(/PPid:\\t(\\d+)/)[1] === String(process.pid); } catch { return false; } })()).length;
  const state = () => [mine(), fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').length, fs.readdirSync('/proc/self/fd').length].join(' ');
  await run(['true']); await run(['true'], { stdio: { stdin: true, terminal: true } }); // what is loaded once
  // what closes behind them is closed: half a second without a change
  for (let was = '', same = 0; same < 10; await sleep(50)) { const is = state(); same = is === was ? same + 1 : 0; was = is; }
  const before = state();
  const one = async (i) => {
    const sandbox = makeSandbox(i % 3 ? ['sh', '-c', 'sleep 100 & sleep 100'] : ['true']); const stdio = i % 2 ? NOTHING : { stdin: true, terminal: true };
    await sandbox.prepare(stdio); if (i % 5 === 4) return sandbox.destroy();
    const child = await sandbox.start(); child.stdout.resume(); child.stderr?.resume(); if (i % 7 === 1 && i % 3) (await sandbox.exec({ ...makeSpec(['sleep', '50']).process }, { stdin: false, terminal: i % 2 === 0 })).stdout.resume();
    await sandbox.destroy(); await child.exited;
  };
  for (let i = 0; i < 50; i += 5) await Promise.all([0, 1, 2, 3, 4].map((j) => one(i + j)));
  await within(() => before === state());
  console.log(before === state() ? 'same' : before + ' | ' + state(), fs.readdirSync('c7').sort().join());
  for (let i = 1; i <= count; i++) await removeTree('c' + i);
  console.log(fs.readdirSync('.').filter((name) => name.startsWith('c') && name !== 'config').length);
`,
  'same merged,upper,work\n0\n',
);
