/**
 * A container's name server as the guest's agent has it: in a network namespace of this machine, with the host's end.
 */
import { spawnSync } from 'node:child_process';
import test from 'ava';

const AGENT = new URL('../../src/guest-agent/names.ts', import.meta.url).href;
const HOST = new URL('../network/names/relay.ts', import.meta.url).href;
const able = spawnSync('unshare', ['-n', 'ip', 'link', 'set', 'lo', 'up']).status === 0;
const real = able ? test : test.skip;
const title = able ? '' : ' (needs root, ip(8) and unshare(1) to make network namespaces)';

/**
 * @param commands what is asked for; `dig` prints answers alone
 * @param before what runs in the container meanwhile: a shell's command in the background, which says when it is up
 */
function ask(commands: readonly string[], before = 'echo up;'): string[] {
  const program = `
    import { spawn, execFile } from 'node:child_process';
    import { duplexPair } from 'node:stream';
    import { promisify } from 'node:util';
    const { serveNames } = await import(${JSON.stringify(AGENT)});
    const { hostEnd } = await import(${JSON.stringify(HOST)});
    const script = ${JSON.stringify(`ip link set lo up; ${before} exec sleep 100`)};
    const container = spawn('unshare', ['-n', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    await new Promise((up) => container.stdout.once('data', up));
    try {
      const [guest, host] = duplexPair();
      const dns = (askGuest) => [{
        from: 'container',
        ask: (query, protocol, call) => askGuest('127.0.0.1', query, protocol, call),
        close: () => {},
      }];
      const end = hostEnd(host, { resolvers: dns });
      serveNames(container.pid, guest);
      for (const command of ${JSON.stringify(commands)}) {
        const args = ['-t', String(container.pid), '-n', 'sh', '-c', command];
        const { stdout } = await promisify(execFile)('nsenter', args).catch((error) => error);
        console.log(stdout.trim().replaceAll('\\n', ' '));
      }
      for (const problem of end.problems) console.log('problem:', problem);
    } finally {
      process.kill(-container.pid, 'SIGKILL');
    }
    process.exit(0);
  `;
  const args = ['-n', process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program];
  const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 120_000 });
  if (stderr !== '') throw new Error(stderr);
  return stdout.trimEnd().split('\n');
}

const DIG = 'dig +short +time=20 +tries=1 @127.0.0.11';

real(`port 53 of 127.0.0.11 answers in the container’s namespace, by UDP and TCP${title}`, (t) => {
  t.deepEqual(ask([`${DIG} web`, `${DIG} +tcp web`, `${DIG} -x 172.18.0.2`, `${DIG} many | wc -l`]), [
    '172.18.0.2',
    '172.18.0.2',
    'web.front.',
    '100',
  ]);
});

const SERVER = `
  const { createSocket } = require('node:dgram');
  createSocket('udp4', function (query, from) {
    const answer = Buffer.concat([query.subarray(0, 12), query.subarray(12, query.indexOf(0, 12) + 5)]);
    answer.writeUInt16BE(0x8183, 2);
    answer.fill(0, 6, 12);
    this.send(answer, from.port, from.address);
  }).bind(53, '0.0.0.0', () => console.log('up'));
`;

real(
  `a server of the container’s own at port 53 of all addresses, which is asked as a resolver of --dns${title}`,
  (t) => {
    const before = `${process.execPath} -e "$SERVER" &`.replace('$SERVER', SERVER.replaceAll('\n', ' '));
    const status = `dig +time=20 +tries=1 @127.0.0.11`;
    t.deepEqual(
      ask([`${DIG} web`, `${status} x.example | grep -o 'status: [A-Z]*'`, `ss -Huln 'sport = :53' | wc -l`], before),
      ['172.18.0.2', 'status: NXDOMAIN', '1'],
    );
  },
);
