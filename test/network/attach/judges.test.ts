/**
 * Real programs on networks of one's own, in containers of an ordinary user: dig, nginx, Redis, iperf3, netcat and
 * PostgreSQL say whether names, addresses, published ports and bytes are what their users expect. The programs are
 * Debian's (test/fixtures/workload-image.ts).
 */
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../../fixtures/user.ts';
import { missingWorkloadTools, PGBIN, PGDATA, workloadTar } from '../../fixtures/workload-image.ts';

/** ms; a machine with much to do is slow */
const PATIENCE = 240_000;
/** MiB that go through a published port each way */
const AMOUNT = 128;

const missing = existsSync(join(ROOT, 'dist/husk.cjs')) ? missingWorkloadTools() : 'make build';
const person: TestUser | undefined = missing === undefined ? ordinaryUser() : undefined;
test.after.always(() => {
  person?.run(['sh', '-c', `ids=$(${HUSK} ps -aq); [ -z "$ids" ] || ${HUSK} rm -f $ids`]);
  person?.[Symbol.dispose]();
});

/** @returns what it printed, of a command that must succeed */
function says(t: ExecutionContext, ...args: string[]): string {
  const { status, stdout, stderr } = person!.husk(...args);
  t.is(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

/** @returns what a script printed in a running container, whatever it ended with */
const inside = (container: string, script: string): string =>
  person!.husk('exec', container, 'sh', '-c', script).stdout.trim();

/** Asks again until it is so: programs take a moment to listen. @returns what was said at the end */
async function until(ask: () => string | Promise<string>, expected: string): Promise<string> {
  for (const start = Date.now(); ; await sleep(50)) {
    const said = await ask();
    if (said === expected || Date.now() - start > PATIENCE) return said;
  }
}

const addressOf = (t: ExecutionContext, container: string, network: string, field = 'IPAddress'): string =>
  says(t, 'inspect', '-f', `{{(index .NetworkSettings.Networks "${network}").${field}}}`, container);
const portOf = (t: ExecutionContext, container: string, port: string): string =>
  says(t, 'port', container, port).split('\n')[0]!.split(':').at(-1)!;
const run = (t: ExecutionContext, name: string, flags: string, ...command: string[]): string =>
  says(t, 'run', '-d', '--name', name, ...flags.split(' '), 'tools', ...command);
const sh = (script: string): string[] => ['sh', '-c', script];
/** as a program of the host's would ask, whatever is installed on it */
const outside = (script: string, ...flags: string[]): string =>
  person!.husk('run', '--rm', '--network=host', ...flags, 'tools', 'sh', '-c', script).stdout.trim();

/** nginx, which writes the client's address and what it asked for to its standard output */
const nginx = (http: string): string[] =>
  sh(`mkdir /tmp/n; cat >/tmp/n/conf <<'END'
daemon off; pid /tmp/n/pid; user root; events {}
http {
  log_format plain '$remote_addr $request_uri'; access_log /dev/stdout plain;
  client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  ${http}
}
END
exec nginx -e stderr -p /tmp/n -c /tmp/n/conf`);

/** @returns what a server says to a program of the host's; nothing of one that does not answer */
const get = async (url: string): Promise<string> => {
  try {
    return (await (await fetch(url, { signal: AbortSignal.timeout(60_000) })).text()).trim();
  } catch {
    return '';
  }
};

/** of this host, beyond its loopback */
const own = Object.values(networkInterfaces())
  .flatMap((infos) => infos ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

const judge = (title: string, implementation: (t: ExecutionContext) => Promise<void> | void): void =>
  missing === undefined
    ? test.serial(title, implementation)
    : test.serial.skip(`${title}: needs ${missing}`, implementation);

test.before(() => {
  const made = person?.husk('import', workloadTar(), 'tools');
  if (made && made.status !== 0) throw new Error(made.stderr);
});

judge('dig: addresses of both families, back, by TCP, in any case, with the network, in random order', (t) => {
  says(t, 'network', 'create', '--ipv6', 'net');
  says(t, 'network', 'create', '--internal', 'closed');
  for (const name of ['one', 'two']) run(t, name, '--network=net --network-alias=both', 'sleep', '1000');
  run(t, 'asker', '--network=net', 'sleep', '1000');
  const [first, second] = [addressOf(t, 'one', 'net'), addressOf(t, 'two', 'net')];
  const sixth = addressOf(t, 'one', 'net', 'GlobalIPv6Address');
  t.regex(sixth, /^fd[0-9a-f:]+$/);
  const dig = (words: string) => inside('asker', `dig +tries=1 +timeout=20 ${words}`);
  for (const asked of ['one', 'ONE', 'oNe', 'one.net', 'One.Net', '+tcp one', '+noedns one', '+bufsize=4096 one'])
    t.is(dig(`+short ${asked}`), first, asked);
  t.is(dig('+short one AAAA'), sixth);
  t.is(dig('+short +tcp one AAAA'), sixth);
  t.is(dig(`+short -x ${first}`), 'one.net.');
  t.is(dig(`+short -x ${sixth}`), 'one.net.');
  // mail goes to the address: no error, and no answer
  t.regex(dig('one MX'), /status: NOERROR[^]*ANSWER: 0,/);
  t.regex(dig('one'), /^;one\.\s+IN\s+A$/m);
  t.regex(dig('+qr oNe'), /^oNe\.\s+\d+\s+IN\s+A\s+/m, 'the question comes back as it was asked');
  const orders = inside('asker', 'for i in $(seq 40); do dig +short both | tr "\\n" " "; echo; done').split('\n');
  t.deepEqual(
    [...new Set(orders.map((line) => line.trim()))].sort(),
    [`${first} ${second}`, `${second} ${first}`].sort(),
  );
  // without a way out nobody else is asked, as with Docker
  t.regex(says(t, 'run', '--rm', '--network=closed', 'tools', 'dig', 'one'), /status: SERVFAIL/);
  says(t, 'rm', '-f', 'two');
  t.is(dig('+short both'), first);
});

judge(
  "nginx: an upstream by alias through 127.0.0.11, found again elsewhere; clients' addresses in its log",
  async (t) => {
    const answer = (text: string) => nginx(`server { listen 8080; return 200 '${text} $remote_addr\\n'; }`);
    run(t, 'app1', '--network=net --network-alias=app', ...answer('first'));
    run(
      t,
      'front',
      '--network=net -p 80',
      ...nginx(`server {
    listen 80; resolver 127.0.0.11 valid=1s ipv6=off; set $upstream app;
    location / { proxy_pass http://$upstream:8080; proxy_connect_timeout 20s; }
  }`),
    );
    const [port, front] = [portOf(t, 'front', '80'), addressOf(t, 'front', 'net')];
    const at = (host: string, path = '/') => get(`http://${host}:${port}${path}`);
    t.is(await until(() => at('127.0.0.1', '/loopback'), `first ${front}`), `first ${front}`);
    if (own !== undefined) t.is(await at(own, '/own'), `first ${front}`);
    const log = says(t, 'logs', 'front').split('\n');
    t.true(log.includes(`${addressOf(t, 'front', 'net', 'Gateway')} /loopback`), log.join());
    if (own !== undefined) t.true(log.includes(`${own} /own`), log.join());
    // another container takes the name over, at another address
    run(t, 'app2', '--network=net --network-alias=app', ...answer('second'));
    says(t, 'rm', '-f', 'app1');
    t.is(await until(() => at('127.0.0.1'), `second ${front}`), `second ${front}`);
    says(t, 'rm', '-f', 'app2', 'front');
  },
);

judge('Redis: by name, by alias, by link on both kinds of networks', async (t) => {
  const redis = sh(
    'ln -s /usr/bin/redis-check-rdb /tmp/redis-server; exec /tmp/redis-server --protected-mode no --save ""',
  );
  run(t, 'cache', '--network=net --network-alias=store', ...redis);
  run(t, 'plain', '--expose=6379', ...redis);
  const ask = (host: string) => inside('asker', `redis-cli -h ${host} ping`);
  for (const name of ['cache', 'store', 'cache.net']) t.is(await until(() => ask(name), 'PONG'), 'PONG', name);
  const linked = (network: string, link: string) =>
    person!.husk('run', '--rm', network, link, 'tools', 'redis-cli', '-h', 'db', 'incr', 'n').stdout.trim();
  t.is(linked('--network=net', '--link=cache:db'), '1');
  t.is(await until(() => linked('--network=bridge', '--link=plain:db'), '1'), '1');
  const script = 'redis-cli -u "redis://${DB_PORT#tcp://}" incr n';
  t.is(says(t, 'run', '--rm', '--link=plain:db', 'tools', 'sh', '-c', script), '2');
  says(t, 'rm', '-f', 'cache', 'plain');
});

judge('iperf3: both ways, between neighbours by TCP and UDP, through a published port by TCP', async (t) => {
  run(t, 'meter', '--network=net -p 5201', 'iperf3', '-s');
  const came = (report: string, way: string) => {
    const { end, error } = JSON.parse(report) as { end: Record<string, { bytes: number } | undefined>; error?: string };
    const bytes = (end['sum_received'] ?? end['sum'])?.bytes ?? 0;
    // what is still under way at the end is not counted
    t.true(error === undefined && bytes >= 1 << 20, `${way}: ${error ?? bytes}`);
  };
  await until(() => inside('asker', 'iperf3 -c meter -n 1K >/dev/null && echo yes'), 'yes');
  for (const way of ['-n 8M', '-n 8M -R', '-n 8M -u -b 20M', '-n 8M -u -b 20M -R', '-n 8M -6', '-n 256M -P 4'])
    came(inside('asker', `iperf3 -J -c meter ${way}`), way);
  const tcp = portOf(t, 'meter', '5201');
  for (const way of ['', '-R']) came(outside(`iperf3 -J -c 127.0.0.1 -p ${tcp} -n 8M ${way}`), way);
  says(t, 'rm', '-f', 'meter');
});

judge('netcat: one side closed, the other answers; and every byte both ways through a published port', async (t) => {
  const servers = [
    'nc -ll -p 9 -e wc -c &',
    'nc -ll -p 10 -e sha256sum &',
    'nc -ll -p 11 -e cat /tmp/blob &',
    'exec sleep 1000',
  ];
  run(
    t,
    'bytes',
    '--network=net -p 9 -p 10 -p 11',
    ...sh(`head -c ${AMOUNT}M /dev/urandom >/tmp/blob; ${servers.join('\n')}`),
  );
  const count = 'head -c 1000000 /dev/zero | nc.openbsd -N';
  t.is(await until(() => inside('asker', `${count} bytes 9`), '1000000'), '1000000');
  const at = (port: string) => `127.0.0.1 ${portOf(t, 'bytes', port)}`;
  t.is(outside(`${count} ${at('9')}`), '1000000');
  const digest = inside('bytes', 'sha256sum </tmp/blob');
  t.regex(digest, /^[0-9a-f]{64} {2}-$/);
  t.is(outside(`nc.openbsd -d ${at('11')} | sha256sum`), digest, 'down');
  const up = `nc.openbsd -d ${at('11')} >/tmp/blob; nc.openbsd -N ${at('10')} </tmp/blob`;
  t.is(outside(up), digest, 'down and up again');
  t.is(inside('asker', 'nc.openbsd -d bytes 11 >/tmp/blob; nc.openbsd -N bytes 10 </tmp/blob'), digest, 'neighbours');
  says(t, 'rm', '-f', 'bytes');
});

judge('a server on 0.0.0.0:53 in a container, which resolves names by 127.0.0.11 itself', async (t) => {
  const servers = ['nc -ll -p 53 -e echo tcp &', 'while :; do echo udp | nc.openbsd -u -l -W 1 0.0.0.0 53; done'];
  run(t, 'ns', '--network=net', ...sh(servers.join('\n')));
  t.is(await until(() => inside('asker', 'nc.openbsd -d ns 53'), 'tcp'), 'tcp');
  t.is(await until(() => inside('asker', 'echo x | nc.openbsd -4 -u -W 1 -w 5 ns 53'), 'udp'), 'udp');
  t.is(inside('ns', 'dig +short one'), addressOf(t, 'one', 'net'));
  t.is(inside('ns', 'dig +short +tcp one'), addressOf(t, 'one', 'net'));
  says(t, 'rm', '-f', 'ns');
});

judge('a shop as a compose file has it: PostgreSQL behind an internal network, nginx in front', async (t) => {
  says(t, 'network', 'create', 'frontend');
  says(t, 'network', 'create', '--internal', '--subnet=10.78.0.0/24', 'backend');
  const psql = (host: string) => `${PGBIN}/psql -h ${host} -U postgres -qAtc`;
  run(
    t,
    'shop-db-1',
    '--network=backend --network-alias=db --ip=10.78.0.10 -u postgres',
    ...sh(`[ -e ${PGDATA}/PG_VERSION ] || ${PGBIN}/initdb -D ${PGDATA} -A trust >/dev/null && echo 'host all all 10.78.0.0/24 trust' >>${PGDATA}/pg_hba.conf &&
exec ${PGBIN}/postgres -D ${PGDATA} -k /tmp -c listen_addresses='*' -c fsync=off`),
  );
  const script = `cat >/tmp/answer <<'END'
#!/bin/sh
while read -r line && [ "\${#line}" -gt 1 ]; do :; done
body=$(${psql('db')} 'select 6 * 7' 2>&1)
printf 'HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' "\${#body}" "$body"
END
chmod +x /tmp/answer; exec nc -ll -p 8000 -e /tmp/answer`;
  run(t, 'shop-app-1', '--network=name=frontend,alias=app --network=name=backend,alias=app', ...sh(script));
  const proxy =
    'server { listen 80; resolver 127.0.0.11 valid=1s ipv6=off; set $a app; location / { proxy_pass http://$a:8000; } }';
  run(t, 'shop-web-1', '--network=frontend --network-alias=web -p 80', ...nginx(proxy));
  const url = `http://127.0.0.1:${portOf(t, 'shop-web-1', '80')}/`;
  const page = () => get(url);
  t.is(await until(page, '42'), '42');
  t.is(addressOf(t, 'shop-db-1', 'backend'), '10.78.0.10');
  // who is in front does not see the database, by name or by address
  t.is(inside('shop-web-1', 'dig +short db'), '');
  t.is(inside('shop-web-1', 'ping -c1 -W1 10.78.0.10 >/dev/null 2>&1 || echo no'), 'no');
  // health is asked over the network
  const probe = ['--health-interval=1s', '--health-timeout=60s', `--health-cmd=${psql('db')} 'select 1'`];
  says(t, 'run', '-d', '--name=shop-probe-1', '--network=backend', ...probe, 'tools', 'sleep', '1000');
  const health = () => says(t, 'inspect', '-f', '{{.State.Health.Status}}', 'shop-probe-1');
  t.is(await until(health, 'healthy'), 'healthy');
  says(t, 'network', 'disconnect', 'backend', 'shop-app-1');
  const lost = async () => (/could not translate host name/.test(await page()) ? 'lost' : 'there');
  t.is(await until(lost, 'lost'), 'lost');
  says(t, 'network', 'connect', '--alias=app', 'backend', 'shop-app-1');
  t.is(await until(page, '42'), '42');
  // the database starts again, at the same address, and is found
  says(t, 'restart', '-t', '1', 'shop-db-1');
  t.is(await until(page, '42'), '42');
});
