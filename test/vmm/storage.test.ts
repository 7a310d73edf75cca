/**
 * Storage of VM containers, in the test host: volumes that a VM and a user-namespace container have at the same time,
 * owners as both see them, what the guest's own kernel keeps a container from, and databases whose VMM is killed with
 * -9 under load. In user namespaces: test/volumes/.
 */
import { existsSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { HUSK_INSIDE, measureInTestHost, missingTestHost } from '../fixtures/test-host.ts';
import { ROOT } from '../fixtures/user.ts';
import { missingWorkloadTools, PGBIN, PGDATA, workloadTar } from '../fixtures/workload-image.ts';
import type { Result } from '../volumes/durability.ts';

/** HUSK_DURABILITY_KILLS=10: the long run whose result is in docs/promises.md */
const KILLS = {
  sqlite: Number(process.env['HUSK_DURABILITY_KILLS'] ?? 3),
  postgres: Number(process.env['HUSK_DURABILITY_KILLS'] ?? 1),
};

/** HUSK_STORAGE_PARTS=live,sqlite,postgres,fork: what is run; eight boots of a VM in all */
const PARTS = (process.env['HUSK_STORAGE_PARTS'] ?? '').split(',').filter(Boolean);

const PROGRAM = `
const { spawnSync, spawn } = await import('node:child_process');
const fs = await import('node:fs');
const { forkUnderLoad, killUnderLoad, OWN_POSTGRES, SQLITE, POSTGRES } = await import('${ROOT}/test/volumes/durability.ts');
const env = { ...process.env, XDG_DATA_HOME: process.cwd() + '/data', XDG_CONFIG_HOME: process.cwd() + '/config' };
const HUSK = '${HUSK_INSIDE}/bin/husk';
const husk = (...args) => { const { status, stdout, stderr } = spawnSync(HUSK, args, { env, encoding: 'utf8' }); return { status, stdout, stderr }; };
const done = (...args) => { const { status, stdout, stderr } = husk(...args); if (status !== 0) throw new Error(args.join(' ') + ': ' + stderr + stdout); return stdout.trim(); };
const both = (...args) => { const { stdout, stderr } = husk(...args); return (stdout + stderr).trim(); };
const began = Date.now();
const note = (what) => console.log(Math.round((Date.now() - began) / 1000) + ' s: ' + what);
const only = ${JSON.stringify(PARTS)};
done('import', 'WORKLOAD', 'work');
note('imported');
const inside = (name, script, ...more) => both('exec', ...more, name, 'sh', '-c', script);
const OWNED = 'owned:${PGDATA}';

if (only.includes('live')) {
  const flags = (isolation) => ['run', '-d', '--name', isolation, '--isolation=' + isolation, '--network', 'none', '-v', 'live:/v', '-v', OWNED, '--tmpfs', '/t:size=64k', '--shm-size', '128k', '--read-only', '-v', 'live:/ro:ro', 'work', 'sleep', '1000000'];
  done(...flags('userns'));
  note('a userns container runs');
  done(...flags('vm'));
  note('a VM container runs');
  inside('userns', 'echo of userns >/v/f; mkdir /v/d; chown 5:6 /v/f; chmod 640 /v/f; chown -h 70:70 /v/d; touch /v/old');
  report('seen in the VM', inside('vm', 'cat /v/f; stat -c "%u %g %a" /v/f /v/d; echo of vm >>/v/f; touch /v/made; chown 7:8 /v/made; mv /v/f /v/d/g; rm /v/old; stat -c "%u %g %a" ${PGDATA}'));
  report('seen in userns', inside('userns', 'cat /v/d/g; stat -c "%u %g %a" /v/d/g /v/made ${PGDATA}; ls /v'));
  report('written by a user of the image', [['userns', 'a'], ['vm', 'b']].map(([name, file]) => inside(name, 'echo x >${PGDATA}/' + file + ' && stat -c "%u %g" ${PGDATA}/*', '-u', 'postgres')));
  report('seen on the host', fs.readdirSync('data/husk/volumes/live/_data/d').join());
  note('owners');
  const loop = (name) => 'for i in $(seq 40); do echo ' + name + ' $i >>/v/together; echo $i >>/v/own-' + name + '; done';
  await Promise.all(['userns', 'vm'].map((name) => new Promise((ended) => spawn(HUSK, ['exec', name, 'sh', '-c', loop(name)], { env, stdio: 'ignore' }).on('close', ended))));
  report('at the same time', ['userns', 'vm'].map((name) => inside(name, 'wc -l </v/together; sort -u /v/together | wc -l; wc -l </v/own-vm; wc -l </v/own-userns')));
  note('at the same time');
  const holder = spawn(HUSK, ['exec', 'userns', 'flock', '/v/lock', 'sh', '-c', 'echo held; sleep 1000'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((held) => holder.stdout.once('data', held));
  report('locks', [['userns', 'lock'], ['vm', 'lock']].map(([name, file]) => spawnSync(HUSK, ['exec', name, 'flock', '-n', '/v/' + file, 'true'], { env }).status));
  holder.kill();
  report('limits of tmpfs', ['userns', 'vm'].map((name) => inside(name, 'dd if=/dev/zero of=/t/x bs=1k count=100 2>/dev/null; stat -c %s /t/x; dd if=/dev/zero of=/dev/shm/x bs=1k count=200 2>/dev/null; stat -c %s /dev/shm/x; touch /x; touch /ro/x')));
  report('device nodes', inside('vm', 'for n in "vda b 254 0" "vdc b 254 32" "mem c 1 1" "kmsg c 1 11"; do set -- $n; mknod /dev/my-$1 $2 $3 $4; head -c 1 /dev/my-$1 >/dev/null; done 2>&1; head -c 1 /dev/zero | wc -c'));
  done('rm', '-f', 'userns', 'vm');
  note('removed');
}
const shell = { husk, start: (...args) => spawn(HUSK, args, { env, stdio: 'pipe' }) };
if (only.includes('sqlite')) {
  report('SQLite', await killUnderLoad(shell, SQLITE, { name: 'db', isolation: ['--isolation=vm'], kills: ${KILLS.sqlite} }));
  note('SQLite');
  report('SQLite, by the other isolation', both('run', '--rm', '--isolation=userns', '--network', 'none', '-v', 'sqlite:/data', 'work', 'sqlite3', '/data/wal.db', 'PRAGMA integrity_check'));
}
if (only.includes('postgres') || only.includes('fork')) {
  done('run', '--rm', '--isolation=userns', '--network', 'none', '-u', 'postgres', '-v', 'postgres:${PGDATA}', 'work', '${PGBIN}/initdb', '-D', '${PGDATA}', '--locale=C', '-E', 'UTF8', '-A', 'trust', '--no-sync');
  note('initdb');
}
if (only.includes('postgres')) {
  report('PostgreSQL', await killUnderLoad(shell, POSTGRES, { name: 'db', isolation: ['--isolation=vm'], kills: ${KILLS.postgres} }));
  note('PostgreSQL');
}
if (only.includes('fork')) {
  report('PostgreSQL, forked', await forkUnderLoad(shell, OWN_POSTGRES, { name: 'db', isolation: ['--isolation=vm'] }));
  note('PostgreSQL, forked');
  const repl = (name) => spawn(HUSK, ['attach', name], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  const ask = (at, line) => new Promise((answered) => {
    at.stdout.once('data', (text) => answered(String(text).trim()));
    at.stdin.write(line + '\\n');
  });
  const python = ['python3.11', '-I', '-S', '-u', '-q', '-i'];
  done('run', '-d', '-i', '--name', 'one', '--isolation=vm', '--network', 'none', 'work', ...python);
  const one = repl('one');
  await ask(one, 'x = [1]; print(x)');
  done('fork', '--name', 'two', 'one');
  const two = repl('two');
  await ask(one, 'x.append("one"); print(x)');
  await ask(two, 'x.append("two"); print(x)');
  report('Python', [await ask(one, 'print(x)'), await ask(two, 'print(x)')]);
  for (const at of [one, two]) at.kill('SIGKILL');
  done('rm', '-f', 'one', 'two');
  note('Python');
}
`;

const missing = ['vmlinux', 'agent.erofs', 'writable.disk', 'husk.cjs'].filter(
  (part) => !existsSync(`${ROOT}/dist/${part}`),
);
const reason =
  missingTestHost() ??
  missingWorkloadTools() ??
  (missing.length === 0 ? undefined : `dist/ has no ${missing.join(', ')} (make vm)`);
const found: Record<string, unknown> = {};
const row = (part: string, title: string, body: (t: ExecutionContext) => void): void => {
  if (reason === undefined && PARTS.includes(part)) test(title, body);
  else
    test.skip(`${title} — ${reason === undefined ? `HUSK_STORAGE_PARTS=${part} runs it` : `needs ${reason}`}`, () => {});
};
if (reason === undefined && PARTS.length > 0)
  test.before(async (t) => {
    // two machines at once, and three databases that recover
    const seconds = PARTS.includes('fork') ? 1400 : 900 * Math.max(1, KILLS.sqlite / 3);
    t.timeout((seconds + 100) * 1000);
    // one CPU: several threads of TCG once ended a program with a fault of their own
    Object.assign(
      found,
      await measureInTestHost(PROGRAM.replace('WORKLOAD', workloadTar()), { seconds, memory: 4096, cpus: 1 }),
    );
  });

for (const [title, name, expected] of [
  [
    'a VM sees what a userns container wrote at once, owners and modes and all',
    'seen in the VM',
    'of userns\n5 6 640\n70 70 755\n70 70 700',
  ],
  [
    'and the other way round: writes, owners, renames, removals',
    'seen in userns',
    'of userns\nof vm\n5 6 640\n7 8 644\n70 70 700\nd\nmade',
  ],
  [
    "a user of the image writes to a volume that began as that user's folder, in both",
    'written by a user of the image',
    ['70 70', '70 70\n70 70'],
  ],
  ['the host sees it too', 'seen on the host', 'g'],
  [
    'both write to one volume and append to one file at the same time; nothing is lost',
    'at the same time',
    ['80\n80\n40\n40', '80\n80\n40\n40'],
  ],
  ["a lock is one within the host's kernel, and not seen by a VM", 'locks', [1, 0]],
] as const)
  row('live', title, (t) => t.deepEqual(found[name], expected as unknown));
row('sqlite', 'SQLite: what a VM wrote is whole to the other isolation', (t) =>
  t.is(found['SQLite, by the other isolation'], 'ok'),
);

row('live', 'tmpfs, /dev/shm, the read-only root and a read-only volume are the same in both', (t) => {
  const [userns, vm] = found['limits of tmpfs'] as [string, string];
  t.is(vm, userns);
  t.regex(vm, /^65536\n131072\ntouch: \/x: Read-only file system\ntouch: \/ro\/x: Read-only file system$/);
});
row('live', 'the disks, memory and log of the machine are closed to a container that makes nodes of them', (t) => {
  const lines = (found['device nodes'] as string).split('\n');
  t.is(lines.pop(), '1');
  t.is(lines.length, 4);
  for (const line of lines) t.regex(line, /Operation not permitted/);
});
for (const [part, name] of [
  ['sqlite', 'SQLite'],
  ['postgres', 'PostgreSQL'],
] as const)
  row(part, `${name} loses no acknowledged commit when its VMM is killed -9`, (t) => {
    const { lost, damage, acknowledged, kills } = found[name] as Result;
    t.log(`${kills} kills, ${acknowledged} commits acknowledged`);
    t.deepEqual({ lost, damage }, { lost: [], damage: [] });
    t.true(acknowledged > kills * 20);
  });
row('fork', 'PostgreSQL under load is forked: the copy has what was acknowledged, goes on and recovers', (t) => {
  const { lost, damage, acknowledged } = found['PostgreSQL, forked'] as Result;
  t.log(`${acknowledged} commits acknowledged`);
  t.deepEqual({ lost, damage }, { lost: [], damage: [] });
  t.true(acknowledged > 40);
});
row('fork', 'a Python REPL and its copy answer differently from the fork on', (t) =>
  t.deepEqual(found['Python'], ["[1, 'one']", "[1, 'two']"]),
);
