/**
 * kill -9 at random, under traffic, of whatever keeps networks: keeper, pin, pasta, forwarder, supervisor, commands.
 * What was killed comes back or is told of, the next command finds the truth, and after the last container nothing is
 * left. HUSK_FAULT_SEED repeats a run, HUSK_FAULT_ROUNDS makes it longer.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { isAlive, type ProcessIdentity } from '../../../src/state/process-identity.ts';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { random } from '../../fixtures/random.ts';
import { HUSK, ROOT } from '../../fixtures/user.ts';
import { people, type Person } from './people.ts';

const SEED = Number(process.env['HUSK_FAULT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env['HUSK_FAULT_ROUNDS'] ?? 0);
/** ms; a machine with much to do is slow */
const PATIENCE = 120_000;
/** ms: most commands have done their work by then */
const LATEST_KILL = 400;
const AT_ONCE = 20;
/** connects to a port of the loopback for ever */
const OUTSIDE = `
import socket, sys
while True:
    try:
        with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5) as s: s.recv(100)
    except OSError: pass
`;

const ready = existsSync(join(ROOT, 'dist/husk.cjs')) && missingImageTools() === undefined;
const everybody = ready ? people() : [];
const started: ChildProcess[] = [];
test.after.always(() => {
  started.forEach((child) => void child.kill('SIGKILL'));
  for (const person of everybody) {
    const left = person.husk('ps', '-aq').stdout.split('\n').filter(Boolean);
    if (left.length > 0) person.husk('rm', '-f', ...left);
    person[Symbol.dispose]();
  }
});

async function until(holds: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const start = Date.now(); Date.now() - start < PATIENCE; await sleep(50)) if (await holds()) return true;
  return false;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

const commandLine = (pid: number): string[] => textOf(`/proc/${pid}/cmdline`).split('\0');
const childrenOf = (pid: number): number[] =>
  textOf(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
const parentOf = (pid: number): number => Number(/^PPid:\t(\d+)/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0);

/** Processes that are in a network namespace or hold a descriptor of it, of those that may be looked at. */
function holdersOf(inode: number): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== String(process.pid)))
    try {
      const fds = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
      if (statSync(`/proc/${pid}/ns/net`).ino === inode || fds.includes(`net:[${inode}]`))
        found.push(`${pid} ${commandLine(Number(pid)).join(' ')}`);
    } catch {
      // it has ended, or is somebody else's
    }
  return found;
}

function kill(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}

function labOf(t: ExecutionContext, person: Person) {
  const says = (...args: string[]): string => {
    const { status, stdout, stderr } = person.husk(...args);
    t.is(status, 0, `${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  const rows = (sql: string) => {
    using database = new DatabaseSync(join(person.dataRoot, 'husk.db'), { readOnly: true });
    return database.prepare(sql).all() as Record<string, string | number>[];
  };
  const runtime = (network: string) => {
    const [row] = rows(
      `SELECT keeper, inode FROM network_runtime JOIN networks ON id = network_id WHERE name = '${network}'`,
    );
    return row && { keeper: JSON.parse(String(row['keeper'])) as ProcessIdentity, inode: Number(row['inode']) };
  };
  const keeper = (network: string) => {
    const found = runtime(network)?.keeper;
    return found && isAlive(found) ? found.pid : undefined;
  };
  const supervisor = (name: string): number | undefined => {
    for (let at = Number(person.husk('inspect', '-f', '{{.State.Pid}}', name).stdout); at > 1; at = parentOf(at))
      if (textOf(`/proc/${at}/comm`).trim() === 'husk-supervisor') return at;
    return undefined;
  };
  /** a connection by the published port, from the host: what the server says */
  const byPort = (port: number): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      const socket = connect({ host: '127.0.0.1', port, timeout: 5000 });
      const end = () => (socket.destroy(), resolve(text));
      socket
        .on('data', (part) => (text += part))
        .on('close', end)
        .on('error', end)
        .on('timeout', end);
    });
  return { says, rows, runtime, keeper, supervisor, byPort };
}

/** After the last container: no row, no process, no namespace, no port. */
async function nothingIsLeft(t: ExecutionContext, person: Person, inodes: readonly number[], port?: number) {
  const { rows } = labOf(t, person);
  for (const table of ['leases', 'published_ports']) t.deepEqual(rows(`SELECT * FROM ${table}`), [], table);
  // The kernel gives a number that went to the next namespace, which may be another test's: looked at once each.
  for (const inode of inodes)
    t.true(await until(() => holdersOf(inode).length === 0), `${inode}: ${holdersOf(inode).join('; ')}`);
  if (port === undefined) return;
  const server = spawn('python3', ['-c', `import socket; socket.create_server(('127.0.0.1', ${port})).close()`]);
  t.deepEqual(await once(server, 'close'), [0, null], `port ${port} can be had again`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Commands that run side by side. @returns the exit code and standard error of each, in the order of `lines` */
const together = (person: Person, lines: readonly string[][]) =>
  Promise.all(
    lines.map(async (line) => {
      const child = person.start([HUSK, ...line]);
      const closed = once(child, 'close');
      started.push(child);
      const [status] = (await closed) as [number];
      return status;
    }),
  );

for (const person of everybody) {
  const of = (title: string) => `${title} (${person.name})`;

  test.serial(of(`whatever is killed, what it kept is there again (HUSK_FAULT_SEED=${SEED})`), async (t) => {
    t.timeout(30 * 60_000);
    const dice = random(SEED);
    const lab = labOf(t, person);
    const { says, keeper, supervisor, byPort } = lab;
    t.is(person.run(['sh', '-c', 'cat >i.tar'], { input: readFileSync(busyboxTar()) }).status, 0);
    says('import', 'i.tar', 'box');
    for (const network of ['main', 'other']) says('network', 'create', network);
    const port = await freePort();
    const server = ['--name=server', '--network=main', '--network-alias=www', '-p', `127.0.0.1:${port}:80`];
    says('run', '-d', ...server, 'box', 'nc', '-ll', '-p', '80', '-e', 'hostname');
    const traffic = 'while :; do nc -w 5 www 80 </dev/null; done';
    says('run', '-d', '--name=client', '--network=main', 'box', 'sh', '-c', traffic);
    const hostname = says('exec', 'server', 'hostname');
    t.true(await until(async () => (await byPort(port)) === `${hostname}\n`));
    const inodes = [lab.runtime('main')!.inode];
    // traffic from outside, as long as this goes on
    const outside = person.start(['python3', '-c', OUTSIDE, String(port)]);
    started.push(outside);
    // husk-net keep LINGER FD FD FD FD PIN: guest/net/keep.c
    const pin = () => Number(commandLine(keeper('main') ?? 0)[7]) || undefined;
    const pasta = () => childrenOf(keeper('main') ?? 0).find((pid) => /pasta/.test(commandLine(pid)[0] ?? ''));
    const forwarder = () => childrenOf(supervisor('server') ?? 0).find((pid) => commandLine(pid).includes('forward'));
    const commands: string[][] = [
      ['network', 'connect', 'other', 'client'],
      ['network', 'disconnect', 'other', 'client'],
      ['run', '--rm', '--network=main', '--network-alias=www2', 'box', 'true'],
      ['run', '-d', '--name=extra', '--network=other', '-p', '127.0.0.1::81', 'box', 'sleep', '1000'],
      ['rm', '-f', 'extra'],
      ['network', 'create', 'third'],
      ['network', 'rm', 'third'],
      ['network', 'inspect', 'main'],
      ['restart', '-t', '0', 'client'],
    ];
    const command = async () => {
      const line = commands[Math.floor(dice() * commands.length)]!;
      const moment = dice() * LATEST_KILL;
      const child = person.start([HUSK, ...line]);
      started.push(child);
      const ended = once(child, 'close');
      await Promise.race([ended, sleep(moment)]);
      child.kill('SIGKILL');
      await ended;
      return `command ${line.join(' ')}`;
    };
    const killed = (what: string, pid: number | undefined) => (kill(pid) ? what : `no ${what}`);
    const harms: (() => string | Promise<string>)[] = [
      () => killed('keeper', keeper('main')),
      () => killed('pin', pin()),
      () => killed('pasta', pasta()),
      () => killed('forwarder', forwarder()),
      () => killed('supervisor of server', supervisor('server')),
      () => killed('supervisor of client', supervisor('client')),
      command,
      command,
    ];
    // each harm once, and then at random
    for (let round = 0; round < Math.max(ROUNDS, harms.length); round++) {
      const what = await (harms[round] ?? harms[Math.floor(dice() * harms.length)]!)();
      t.log(what);
      if (/supervisor/.test(what)) {
        const name = what.split(' ').at(-1)!;
        t.true(await until(() => says('inspect', '-f', '{{.State.Status}}', name) === 'exited'), what);
        const leases = lab
          .rows('SELECT name FROM leases JOIN containers ON id = container_id')
          .map((row) => row['name']);
        t.false(leases.includes(name), what);
      }
      for (const name of ['server', 'client'])
        if (says('inspect', '-f', '{{.State.Running}}', name) !== 'true') says('start', name);
      t.true(await until(async () => (await byPort(port)) === `${hostname}\n`), `${what}: the published port answers`);
      const asked = () => person.husk('exec', 'client', 'nc', '-w', '5', 'www.main', '80').stdout;
      t.true(await until(() => asked() === `${hostname}\n`), `${what}: a neighbour answers by name`);
      t.true(await until(() => keeper('main') !== undefined), `${what}: there is a keeper`);
      // once somebody has asked again, the kernel's side and the rows' say the same of who is where
      if (/connect/.test(what)) person.husk('network', 'connect', 'other', 'client');
      const there = says('exec', 'client', 'sh', '-c', 'ls /sys/class/net | grep -c eth');
      const listed = says('inspect', '-f', '{{len .NetworkSettings.Networks}}', 'client');
      t.is(there, listed, what);
      inodes.push(lab.runtime('main')!.inode, ...(lab.runtime('other') ? [lab.runtime('other')!.inode] : []));
    }
    outside.kill('SIGKILL');
    person.husk('rm', '-f', 'extra');
    says('rm', '-f', 'server', 'client');
    await nothingIsLeft(t, person, [...new Set(inodes)], port);
    const left = says('network', 'ls', '-q', '--filter', 'type=custom').split('\n');
    says('network', 'rm', ...left);
  });

  test.serial(
    of('one network made by several commands at once, and many containers started at once on it'),
    async (t) => {
      const { says, runtime, rows } = labOf(t, person);
      const made = await together(
        person,
        Array.from({ length: 5 }, () => ['network', 'create', 'crowd']),
      );
      t.deepEqual(made.sort(), [0, 1, 1, 1, 1]);
      const names = Array.from({ length: AT_ONCE }, (_, index) => `c${index}`);
      const lines = names.map((name) => [
        'run',
        '-d',
        '--name',
        name,
        '--network=crowd',
        '-p',
        '80',
        'box',
        'sleep',
        '1000',
      ]);
      t.deepEqual(
        await together(person, lines),
        names.map(() => 0),
      );
      const addresses = says('inspect', '-f', '{{.NetworkSettings.Networks.crowd.IPAddress}}', ...names).split('\n');
      t.is(new Set(addresses).size, AT_ONCE);
      // one namespace: each has its neighbours
      const { inode, keeper } = runtime('crowd')!;
      t.is(
        says('exec', 'c0', 'sh', '-c', names.map((name) => `ping -c1 -W20 ${name}`).join(';')).match(/ 0% /g)?.length,
        AT_ONCE,
      );
      t.true(isAlive(keeper));
      t.is(rows('SELECT DISTINCT host_port FROM published_ports').length, AT_ONCE);
      t.deepEqual(
        await together(
          person,
          names.map((name) => ['rm', '-f', name]),
        ),
        names.map(() => 0),
      );
      await nothingIsLeft(t, person, [inode]);
    },
  );

  test.serial(of('rows of another boot, which name processes of this one'), async (t) => {
    const { says, runtime, supervisor, rows } = labOf(t, person);
    const line = ['--name=before', '--network=crowd', '-p', `127.0.0.1:${await freePort()}:80`, '--restart=no', 'box'];
    says('run', '-d', ...line, 'nc', '-ll', '-p', '80', '-e', 'echo', 'here');
    const [{ inode, keeper }, port] = [runtime('crowd')!, Number(says('port', 'before', '80').split(':').at(-1))];
    kill(supervisor('before'));
    kill(keeper.pid);
    t.true(await until(() => holdersOf(inode).length === 0));
    // as after a power cut: what the rows say was true then, and their pids are somebody's now
    {
      using database = new DatabaseSync(join(person.dataRoot, 'husk.db'));
      const other = '00000000-0000-4000-8000-000000000000';
      const claim = JSON.stringify({ pid: process.pid, startTime: '1', bootId: other });
      database.prepare('UPDATE network_runtime SET boot_id = ?, keeper = ?').run(other, claim);
      const { id } = database.prepare("SELECT id FROM containers WHERE name = 'before'").get() as { id: string };
      const { network } = database.prepare("SELECT id AS network FROM networks WHERE name = 'crowd'").get() as {
        network: string;
      };
      database
        .prepare(
          'INSERT OR REPLACE INTO leases (network_id, address, container_id, endpoint_id, mac, interface, claim) VALUES (?, ?, ?, ?, ?, ?, ?)',
        )
        .run(network, '172.31.255.254', id, 'e'.repeat(64), '02:42:00:00:00:01', 'eth0', claim);
      database
        .prepare(
          'INSERT OR REPLACE INTO published_ports (protocol, host_ip, host_port, container_id, container_port, claim) VALUES (?, ?, ?, ?, ?, ?)',
        )
        .run('tcp', '127.0.0.1', port, 'f'.repeat(64), 80, claim);
    }
    t.is(says('network', 'inspect', '-f', '{{len .Containers}}', 'crowd'), '0');
    t.is(says('inspect', '-f', '{{.State.Status}}', 'before'), 'exited');
    says('start', 'before');
    const { byPort } = labOf(t, person);
    t.true(await until(async () => (await byPort(port)) === 'here\n'));
    t.true(isAlive(runtime('crowd')!.keeper));
    t.deepEqual(rows('SELECT DISTINCT container_id FROM leases').length, 1);
    const last = runtime('crowd')!.inode;
    says('rm', '-f', 'before');
    await nothingIsLeft(t, person, [last], port);
    says('network', 'rm', 'crowd');
  });
}
