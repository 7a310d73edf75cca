/**
 * The way out: an interface with addresses and a route, the host's loopback out of reach, and nothing of it left
 * behind.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { wayOutProblem } from '../../src/network/way-out.ts';
import { findProgram } from '../../src/rootless/programs.ts';
import { AS_ROOT, asRoot, asUser, asUserWithDevices } from '../rootless/containers.ts';

const real = AS_ROOT && findProgram('pasta', '/usr/bin') ? test : test.skip;

/** ms */
const PATIENCE = 60_000;

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

const CODE = `
  const { connectPasta } = await load('network/pasta.ts');
  const pastas = () => fs.readdirSync('/proc').filter((pid) => { try { return /^\\d+$/.test(pid) && fs.readlinkSync('/proc/' + pid + '/exe').includes('pas') && fs.readFileSync('/proc/' + pid + '/status', 'utf8').includes('PPid:\\t' + monitor); } catch { return false; } }).length;
  let monitor = 0, closed = 0;
  const connect = async (pid) => { const pasta = await connectPasta(pid); return { close: async () => { await pasta.close(); closed++; } }; };
  // a server on the host's loopback, and one on every address of the host
  const { createServer } = await import('node:net');
  const serve = (host) => new Promise((done) => { const server = createServer((socket) => socket.end('reached')).listen(0, host, () => done(server)); });
  const loopback = await serve('127.0.0.1'), all = await serve('0.0.0.0');
  const { out } = await sh('ip -o link show eth0 | wc -l; ip -o -4 addr show eth0 | wc -l; ip route | grep -c default; gateway=$(ip route | sed -n "s/default via \\\\([^ ]*\\\\).*/\\\\1/p"); for at in 127.0.0.1 $gateway; do for port in ' + loopback.address().port + ' ' + all.address().port + '; do nc -w 1 $at $port </dev/null 2>/dev/null | grep reached; done; done; echo end', { options: { connect } });
  loopback.close(); all.close();
  console.log(out.trim().split('\\n').join(' '), closed);
`;

for (const [who, run] of [
  ['user', asUserWithDevices],
  ['root', asRoot],
] as const)
  real(`out, and never in or to the host (${who})`, (t) => {
    const { stdout, stderr } = run(CODE);
    t.is(stderr, '');
    t.is(stdout, '1 1 1 end 1\n');
  });

const JOINED = `
  const { connectPasta } = await load('network/pasta.ts');
  const other = makeSandbox(['sleep', '1000']); const { pid } = await other.prepare(NOTHING); await other.start();
  const change = (spec) => ({ ...spec, linux: { ...spec.linux, namespaces: [...spec.linux.namespaces.filter(({ type }) => type !== 'user' && type !== 'ipc'), ...['user', 'ipc'].map((type) => ({ type, path: '/proc/' + pid + '/ns/' + type }))] }, process: { ...spec.process, oomScoreAdj: 500 } });
  const { out } = await sh('ip -o link show eth0 | wc -l; ip -o -4 addr show eth0 | wc -l; cat /proc/self/oom_score_adj', { change, options: { connect: (pid, namespace) => connectPasta(pid, { namespace }) } });
  await other.destroy();
  console.log(out.trim().split('\\n').join(' '));
`;
for (const [who, run] of [
  ['user', asUserWithDevices],
  ['root', asRoot],
] as const)
  real(`a container that joined another's user namespace, and so is hidden, has its own network (${who})`, (t) => {
    const { stdout, stderr } = run(JOINED);
    t.is(stderr, '');
    t.is(stdout, '1 1 500\n');
  });

real('it ends with the process that started it, even by SIGKILL', async (t) => {
  // its own: other tests' come and go at the same time
  const { stdout } = asRoot(`
    const read = (pid, file) => { try { return fs.readFileSync('/proc/' + pid + '/' + file, 'latin1'); } catch { return ''; } };
    const parentOf = (pid) => Number(/^PPid:\\t(\\d+)/m.exec(read(pid, 'status'))?.[1] ?? 0);
    const isOurs = (pid) => pid > 1 && (pid === process.pid || isOurs(parentOf(pid)));
    const pastas = () => fs.readdirSync('/proc').filter((pid) => /^\\d+$/.test(pid) && read(pid, 'cmdline').includes('--config-net') && isOurs(Number(pid)));
    const sandbox = makeSandbox(['sleep', '100'], { options: { connect: async (pid) => { const { connectPasta } = await load('network/pasta.ts'); const pasta = await connectPasta(pid); await new Promise((done) => process.stdout.write(pastas().join(' ') + '\\n', done)); process.kill(process.pid, 'SIGKILL'); return pasta; } } });
    await sandbox.prepare(NOTHING);
  `);
  t.regex(stdout, /^\d+( \d+)*\n$/);
  const left = () =>
    stdout
      .trim()
      .split(' ')
      .filter((pid) => commandLine(pid).includes('--config-net'));
  // the kernel needs a moment
  for (const start = Date.now(); left().length > 0 && Date.now() - start < PATIENCE;) await sleep(20);
  t.deepEqual(left(), []);
});

test('pasta absent, or failing: one line with the fix', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-pasta-'));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'pasta'), '#!/bin/sh\necho "Failed to open tun socket in namespace" >&2; exit 1\n', {
    mode: 0o755,
  });
  const { stdout } = asUser(`
    const { connectPasta } = await load('network/pasta.ts');
    for (const program of ['/no/pasta', ${JSON.stringify(join(folder, 'pasta'))}]) await sh('true', { options: { connect: (pid) => connectPasta(pid, { program }) } }).catch((error) => console.log(error.exitCode, error.message.replace(/\\d+/, 'N'), '|', error.fix));
  `);
  t.is(
    stdout,
    '125 cannot connect the container to the network: pasta is not installed | apt install passt (or use --network none or host)\n' +
      '125 cannot connect the container to the network: pasta for process N: Failed to open tun socket in namespace | sudo chmod 0666 /dev/net/tun\n',
  );
  rmSync(folder, { recursive: true });
});

test('what is missing is told without trying', (t) => {
  if (findProgram('pasta', '/usr/bin:/bin'))
    t.is(wayOutProblem('userns', '')?.message.includes('not installed') ?? false, false);
  else t.is(wayOutProblem('userns', '')?.fix, 'apt install passt (or use --network none or host)');
});
