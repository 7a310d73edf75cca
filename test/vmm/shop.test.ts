/**
 * A shop on a network of its own, in both isolations at once: PostgreSQL and nginx in user namespaces, between them an
 * application in a virtual machine, each found by its name. nginx is published, opened from another machine's address,
 * and has that address in its log. The application reaches the database, one name of DNS, and nothing else (--egress).
 * Then what keeps the network is killed, and the page is there all the same; and what keeps the application's rules.
 */
import test, { type ExecutionContext } from 'ava';
import { hostPatience, HUSK_INSIDE, measureInTestHost, missingTestHost } from '../fixtures/test-host.ts';
import { missingWorkloadTools, PGBIN, PGDATA, workloadTar } from '../fixtures/workload-image.ts';
import { missingParts, notByItself } from './parts.ts';

/** the test host's own address, and one of the world's (test/vm-host/README.md) */
const HOST = '192.0.2.2';
const WORLD = '198.51.100.1';
/**
 * that the test host's resolver is asked at, which is this test; and an address of the Internet, which nobody has
 * there
 */
const RESOLVER = '198.51.100.53';
const PUBLIC = '93.184.216.34';
/** seconds: a virtual machine boots, and PostgreSQL makes its files */
const SECONDS = 2400;

const DATABASE = `${PGBIN}/initdb -D ${PGDATA} -A trust --no-sync >/dev/null &&
  echo 'host all all all trust' >>${PGDATA}/pg_hba.conf &&
  exec ${PGBIN}/postgres -D ${PGDATA} -k /tmp -c listen_addresses='*' -c fsync=off`;
const APPLICATION = `cat >/tmp/answer <<'END'
#!/bin/sh
while read -r line && [ "\${#line}" -gt 1 ]; do :; done
body=$(${PGBIN}/psql -h db -U postgres -qAtc 'select 6 * 7' 2>&1)
printf 'HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' "\${#body}" "$body"
END
chmod +x /tmp/answer; exec nc -ll -p 8000 -e /tmp/answer`;
const PROXY = `mkdir /tmp/n; cat >/tmp/n/conf <<'END'
daemon off; pid /tmp/n/pid; user root; events {}
http {
  log_format plain '$remote_addr $status'; access_log /dev/stdout plain;
  client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  server {
    listen 80; resolver 127.0.0.11 valid=1s ipv6=off; set $a app;
    location / { proxy_pass http://$a:8000; proxy_read_timeout 120s; }
  }
}
END
exec nginx -e stderr -p /tmp/n -c /tmp/n/conf`;

/** What the application tries, a line for each: what is refused at once, what has no answer, what no name is. */
const TRIES = `name() { nslookup -type=a "$1" 2>&1 | sed -n 's/^Address: //p;s/.*NXDOMAIN.*/nobody/p' | head -n 1; }
tcp() { nc -w "$3" "$1" "$2" </dev/null >/dev/null 2>/tmp/e && echo open || { grep -q refused /tmp/e && echo refused || echo silence; }; }
tcp ${PUBLIC} 443 20; tcp ${WORLD} 9000 20; tcp "$WEB" 80 3; tcp "$DB" 5432 20
name web; name evil.example; name shop.example; tcp ${PUBLIC} 443 3; tcp ${PUBLIC} 80 20; true`;
/** A connection to the database that stays open, and says what it is told by a file. */
const HELD = `touch /tmp/questions; tail -f /tmp/questions | ${PGBIN}/psql -h db -U postgres -qAt >/tmp/answers 2>&1`;

/** `report` is the test host's; prints how far it has come, for a run that fails. */
const PROGRAM = `
const { execFile, spawnSync } = await import('node:child_process');
const fs = await import('node:fs');
const { connect, createServer } = await import('node:net');
const { createSocket } = await import('node:dgram');
const env = { ...process.env, XDG_DATA_HOME: process.cwd() + '/data', XDG_CONFIG_HOME: process.cwd() + '/config' };
const husk = (...args) => {
  const { status, stdout, stderr } = spawnSync('${HUSK_INSIDE}/bin/husk', args, { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(args.join(' ') + ': ' + stderr + stdout);
  return stdout.trim();
};
const began = Date.now();
const note = (what) => console.log(Math.round((Date.now() - began) / 1000) + ' s: ' + what);
const { DATABASE, APPLICATION, PROXY, TRIES, HELD } = ${JSON.stringify({ DATABASE, APPLICATION, PROXY, TRIES, HELD })};
husk('import', 'WORKLOAD', 'work');
for (const name of ['shop', 'alone']) husk('network', 'create', name);
const on = (isolation, name, ...rest) => husk('run', '-d', '--isolation=' + isolation, '--name', name, '--network', 'shop', ...rest);
on('userns', 'db', '-u', 'postgres', 'work', 'sh', '-c', DATABASE);
on('userns', 'web', '-p', '8080:80', 'work', 'sh', '-c', PROXY);
note('database and proxy');
on('vm', 'app', '--network', 'alone', '--egress=db:5432', '--egress=shop.example:443', 'work', 'sh', '-c', APPLICATION);
note('application');
/** by an address of another machine's */
const get = () => new Promise((done) => {
  let text = '';
  const socket = connect({ port: 8080, host: '${HOST}', localAddress: '${WORLD}' }, () => socket.write('GET / HTTP/1.0\\r\\n\\r\\n'));
  socket.setEncoding('latin1').on('data', (more) => (text += more)).on('error', () => {}).on('close', () => done(text.split('\\r\\n\\r\\n')[1] ?? ''));
});
const page = async () => {
  let text = '';
  for (const start = Date.now(); Date.now() - start < 300_000; await new Promise((waited) => setTimeout(waited, 1000)))
    if ((text = await get()) === '42') break;
  return text;
};
report('page', await page());
note('page');
report('log', husk('logs', 'web').split('\\n').filter((line) => line.endsWith(' 200')).at(-1));
report('picture', husk('network', 'ls', '--tree'));
const ended = (text) => fs.readdirSync('/proc').filter((pid) => {
  try {
    return /^\\d+$/.test(pid) && fs.readFileSync('/proc/' + pid + '/cmdline', 'latin1').split('\\0').slice(0, 2).join(' ').endsWith(text);
  } catch {
    return false;
  }
});
const addressOf = (name) => husk('inspect', '-f', '{{.NetworkSettings.Networks.shop.IPAddress}}', name);
const [db, web] = ['db', 'web'].map(addressOf);
// what would answer the application, if it got there
let reached = 0;
const world = createServer((socket) => void (reached++, socket.end())).listen(9000, '${WORLD}');
const asked = new Set();
const resolver = createSocket('udp4', (query, from) => {
  const end = query.indexOf(0, 12) + 5;
  const isA = query.readUInt16BE(end - 4) === 1;
  asked.add(query.toString('latin1', 13, end - 5));
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(0x8180, 2);
  head.fill(0, 6);
  head.writeUInt16BE(isA ? 1 : 0, 6);
  const record = Buffer.from(isA ? 'c00c000100010000003c00045db8d822' : '', 'hex');
  resolver.send(Buffer.concat([head, query.subarray(12, end), record]), from.port, from.address);
}).bind(53, '${RESOLVER}');
await new Promise((bound) => resolver.once('listening', bound));
// not waited for in one call: the resolver is this process
const inside = (script, ...flags) => new Promise((done) =>
  execFile('${HUSK_INSIDE}/bin/husk', ['exec', ...flags, 'app', 'sh', '-c', script], { env }, (_error, stdout) => done(stdout.trim())));
report('tries', (await inside(TRIES, '-e', 'WEB=' + web, '-e', 'DB=' + db)).split('\\n'));
report('reached', reached);
report('asked', [...asked].map((name) => name.replaceAll(/[\\x01-\\x1f]/g, '.')));
const refusals = () => husk('network', 'log', '--format', '{{.Network}} {{.Protocol}} {{.Destination}} {{.Port}} {{.Rules}}', 'app').split('\\n');
for (const start = Date.now(); !refusals().some((line) => line.includes(web)) && Date.now() - start < 60_000;) await new Promise((waited) => setTimeout(waited, 200));
report('refusals', refusals().map((line) => line.replace(web, 'WEB')));
note('what the application may not reach');
const processes = () => fs.readdirSync('/proc').filter((pid) => /^\\d+$/.test(pid));
const read = (path) => { try { return fs.readFileSync(path, 'latin1'); } catch { return ''; } };
const links = (pid) => { try { return fs.readdirSync('/proc/' + pid + '/fd').map((fd) => fs.readlinkSync('/proc/' + pid + '/fd/' + fd)); } catch { return []; } };
const called = (name) => processes().filter((pid) => read('/proc/' + pid + '/comm').trim() === name);
const [warden] = called('husk-warden');
const monitor = processes().find((pid) => links(pid).includes('anon_inode:kvm-vm'));
// as the networks' own namespaces list them: protocol, in the second column, and inode, in the last
const netfilter = new Set(ended('husk-net pin').flatMap((pid) => read('/proc/' + pid + '/net/netlink').split('\\n').map((line) => line.trim().split(/\\s+/)).filter((row) => row[1] === '12').map((row) => 'socket:[' + row.at(-1) + ']')));
const holds = (pid) => links(pid).filter((link) => netfilter.has(link)).length;
report('netfilter sockets', { warden: holds(warden), monitor: holds(monitor) });
report('monitor has descriptors', links(monitor).length > 10);
for (const what of ['husk-net keep', 'husk-net forward']) {
  for (const pid of ended(what)) process.kill(Number(pid), 'SIGKILL');
  report(what, await page());
  note(what + ' was killed');
}
// its keeper is dead, and the only member is a machine: who comes next finds the network by way of that one
const ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc app 8000";
report('alone', husk('run', '--rm', '--isolation=userns', '--network', 'alone', 'work', 'sh', '-c', ask).split('\\n').at(-1));
const answers = async (expected) => {
  let text = '';
  for (const start = Date.now(); Date.now() - start < 120_000; await new Promise((waited) => setTimeout(waited, 500)))
    if ((text = await inside('cat /tmp/answers')).split('\\n').at(-1) === expected) break;
  return text;
};
await inside(HELD, '-d');
await inside("until [ -e /tmp/questions ]; do sleep 0.2; done; echo 'select 1;' >>/tmp/questions");
report('held before', await answers('1'));
const byName = () => inside("${PGBIN}/psql -h db -U postgres -qAtc 'select 6 * 7' 2>&1; true");
process.kill(Number(warden), 'SIGKILL');
let mended = '';
for (const start = Date.now(); mended !== '42' && Date.now() - start < 120_000;) mended = await byName();
report('by name, mended', mended);
note('the warden was killed');
// who starts another one first
for (const pid of ['husk-tend', 'husk-warden'].flatMap(called)) process.kill(Number(pid), 'SIGKILL');
await inside("echo 'select 6 * 7;' >>/tmp/questions");
report('held', await answers('42'));
report('by address', await inside("${PGBIN}/psql -h $DB -U postgres -qAtc 'select 6 * 7'", '-e', 'DB=' + db));
report('by name', await byName());
report('web by address', await inside('nc -w 3 $WEB 80 </dev/null && echo open; true', '-e', 'WEB=' + web));
note('the warden was killed, and who would have started another one');
world.close();
resolver.close();
husk('rm', '-f', 'web', 'app', 'db');
for (const start = Date.now(); ended('husk-net keep').length > 0 && Date.now() - start < 60_000;) await new Promise((waited) => setTimeout(waited, 200));
report('left', ['husk-net keep', 'husk-net pin', 'husk-net forward'].flatMap(ended).concat(['husk-tend', 'husk-warden'].flatMap(called)));
`;

const reason = missingTestHost() ?? missingWorkloadTools() ?? missingParts() ?? notByItself();
const found: Record<string, unknown> = {};
const row = (title: string, body: (t: ExecutionContext) => void): void => {
  if (reason === undefined) test(title, body);
  else test.skip(`${title} — ${reason}`, () => {});
};
if (reason === undefined)
  test.before(async (t) => {
    t.timeout(hostPatience(SECONDS));
    const program = PROGRAM.replace('WORKLOAD', workloadTar());
    Object.assign(found, await measureInTestHost(program, { seconds: SECONDS, memory: 4096 }));
  });

row('the page comes from the database, by way of the machine', (t) => t.is(found['page'], '42'));
row("nginx has the client's address in its log", (t) => t.is(found['log'], `${WORLD} 200`));
row('the picture has all three, and what is open', (t) => {
  for (const part of ['shop', 'db', 'app', 'web', '8080', '-> db:5432 shop.example:443'])
    t.true(String(found['picture']).includes(part), part);
});
row('the application reaches what its rules name, and nothing else', (t) => {
  // the database; a public address once a name of a rule has led there, at the rule's port, where nobody answers here
  const tries = (found['tries'] as string[]).join(' ');
  t.is(tries, `refused refused silence open nobody nobody ${PUBLIC} silence refused`);
  t.is(found['reached'], 0);
  t.deepEqual(found['asked'], ['shop.example']);
});
row('what it was refused is told, and by which rules', (t) => {
  const rules = '[db:5432 shop.example:443]';
  for (const line of [`tcp ${PUBLIC} 443`, `tcp ${WORLD} 9000`, 'tcp WEB 80', `tcp ${PUBLIC} 80`])
    t.true(
      (found['refusals'] as string[]).some((each) => each.endsWith(` ${line} ${rules}`)),
      line,
    );
  t.true((found['refusals'] as string[]).some((each) => each.endsWith(` dns evil.example 0 ${rules}`)));
  // not again, once its name was asked for
  t.is((found['refusals'] as string[]).filter((each) => each.includes(`${PUBLIC} 443`)).length, 1);
});
row('the machine’s monitor has no socket by which rules are made, and its warden has', (t) => {
  // of each of two networks: for its rules, and for its log
  t.deepEqual(found['netfilter sockets'], { warden: 4, monitor: 0 });
  t.true(found['monitor has descriptors']);
});
row('kill -9 of its warden: another one answers its names', (t) => t.is(found['by name, mended'], '42'));
row('kill -9 of both: open connections and rules stay, names are refused', (t) => {
  t.is(found['held before'], '1');
  t.is(found['held'], '1\n42');
  t.is(found['by address'], '42');
  t.regex(String(found['by name']), /could not translate host name/);
  t.is(found['web by address'], '');
});
for (const what of ['husk-net keep', 'husk-net forward'])
  row(`kill -9 of ${what}: the page is there again`, (t) => t.is(found[what], '42'));
row('a network is found by a machine alone, whose keeper is dead', (t) => t.is(found['alone'], '42'));
row('nothing is left after the last container', (t) => t.deepEqual(found['left'], []));
