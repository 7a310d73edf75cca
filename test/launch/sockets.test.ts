/**
 * `sockets`, `tap`, `mapUsers` and `exit`: what a plan makes inside of namespaces, in the hands of the process outside;
 * as root and as an ordinary user.
 */
import { existsSync, statSync } from 'node:fs';
import test from 'ava';
import type { Result } from '../fixtures/user.ts';
import { AS_ROOT, asRoot, asUser } from '../rootless/containers.ts';

/**
 * a user namespace whose ids count from 1, with a child that has the ids the caller's containers have; `outer` is its
 * descriptor
 */
const NESTED = `
  const { launch } = await load('launch/executor.ts'); const { INIT_PROGRAM } = await load('program.ts'); const { idMaps, writeIdMaps } = await load('rootless/idmap.ts');
  const NEWUSER = 0x10000000, NEWNET = 0x40000000, NEWPID = 0x20000000;
  const shifted = (lines) => lines.map((line) => ({ ...line, containerID: line.containerID + 1 }));
  const maps = idMaps(); const outerMaps = { ...maps, uid: shifted(maps.uid), gid: shifted(maps.gid) };
  const inside = (lines) => lines.map(({ containerID, size }) => containerID + ' ' + (containerID + 1) + ' ' + size + '\\n').join('');
  const doing = async (steps, options = {}) => {
    let made = {}, pid;
    const launched = launch(steps, { init: INIT_PROGRAM, stdin: 'null', stdout: 'pipe', stderr: 2, onAwait: (tag, at) => options.maps && writeIdMaps(at, options.maps), onSockets: (sockets) => { made = { ...made, ...sockets }; } });
    const said = text(launched.stdout); await launched.started; const { code } = await launched.exited;
    return { made, code, said: await said };
  };
  const kindOf = (fd) => fs.readlinkSync('/proc/self/fd/' + fd.number).replace(/\\d+/, 'N');
  const { made: { 'user-namespace': outer } } = await doing([{ op: 'unshare', flags: NEWUSER }, { op: 'await', tag: 'idmap' }, { op: 'sockets', make: ['user-namespace'] }, { op: 'exit' }], { maps: outerMaps });
  const enterOuter = { op: 'setns', path: '/proc/' + process.pid + '/fd/' + outer.number, type: NEWUSER, visible: true };
  const become = (id) => [{ op: 'setgroups', gids: [] }, { op: 'setgid', gid: id }, { op: 'setuid', uid: id }];
  const nested = [enterOuter, ...become(1), { op: 'mapUsers', uid: inside(maps.uid), gid: inside(maps.gid) }, ...become(0)];
`;

/** udev makes it everybody's, and many containers have it as root's alone */
const TUN_IS_OPEN = existsSync('/dev/net/tun') && (statSync('/dev/net/tun').mode & 0o006) === 0o006;

interface Case {
  what: string;
  /** what is said where /dev/net/tun is closed to this user */
  closed?: string;
  code: string;
  stdout: string | RegExp;
}

const CASES: Case[] = [
  // the first, for it counts descriptors: others close some of theirs later
  {
    what: 'what nobody takes is closed, and exit ends the plan with 0',
    code: `
      const before = fs.readdirSync('/proc/self/fd').length;
      const launched = launch([...nested, { op: 'fork' }, { op: 'sockets', make: ['rtnetlink', 'user-namespace'] }, { op: 'exit' }], { init: INIT_PROGRAM, stdin: 'null', stdout: 'null', stderr: 2 });
      await launched.started; console.log(await launched.exited);
      await within(() => fs.readdirSync('/proc/self/fd').length === before);
      console.log(fs.readdirSync('/proc/self/fd').length - before);`,
    stdout: '{"code":0}\n0\n',
  },
  {
    what: 'mapUsers gives a child of a user namespace the ids of the caller, and every capability',
    code: `
      const { said, code } = await doing([...nested, { op: 'unshare', flags: NEWPID }, { op: 'fork' }, { op: 'environment', env: ['PATH=/bin:/usr/bin'] }, { op: 'exec', args: ['sh', '-c', 'id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; grep CapEff /proc/self/status'] }]);
      console.log(code, said.replace(/ +/g, ' '), maps.uid.map(({ containerID, hostID, size }) => ' ' + containerID + ' ' + (containerID + 1) + ' ' + size + '\\n').join('') === said.split('\\n').slice(1, 1 + maps.uid.length).map((line) => line.replace(/ +/g, ' ') + '\\n').join(''));`,
    stdout: /^0 0\n[\s\S]*\nallow\nCapEff:\t00000[0-9a-f]ffffffffff\n true\n$/,
  },
  {
    what: 'netlink sockets made inside act for whoever has them outside',
    code: `
      const { made } = await doing([...nested, { op: 'unshare', flags: NEWNET }, { op: 'loopbackUp' }, { op: 'sockets', make: ['rtnetlink', 'netfilter', 'network-namespace', 'user-namespace', 'udp', 'tcp'], address: '127.0.0.11' }, { op: 'exit' }]);
      console.log(Object.entries(made).map(([kind, fd]) => kind + ' ' + kindOf(fd)).join(', '));
      const own = '/proc/self/ns/';
      console.log(fs.readlinkSync('/proc/self/fd/' + made['network-namespace'].number) !== fs.readlinkSync(own + 'net'), fs.readlinkSync('/proc/self/fd/' + made['user-namespace'].number) !== fs.readlinkSync(own + 'user'));
      const dgram = await import('node:dgram'); const net = await import('node:net');
      const udp = dgram.createSocket('udp4'); await new Promise((ready) => udp.bind({ fd: made.udp.number }, ready));
      console.log(udp.address().address, udp.address().port > 0);
      const server = net.createServer(); await new Promise((ready) => server.listen({ fd: made.tcp.number }, ready));
      console.log(server.address().address, server.address().port > 0);
      udp.close(); server.close();`,
    stdout:
      'rtnetlink socket:[N], netfilter socket:[N], udp socket:[N], tcp socket:[N], network-namespace net:[N], user-namespace user:[N]\ntrue true\n127.0.0.11 true\n127.0.0.11 true\n',
  },
  {
    what: 'sockets that ask, of both families: a stream does not listen, and connects',
    code: `
      const asking = async (address) => (await doing([...nested, { op: 'unshare', flags: NEWNET }, { op: 'loopbackUp' }, { op: 'sockets', make: ['udp', 'tcp'], address, asking: true }, { op: 'sockets', make: ['network-namespace'] }, { op: 'exit' }])).made;
      const net = await import('node:net');
      for (const address of ['0.0.0.0', '::']) {
        const { udp, tcp } = await asking(address);
        const stream = new net.Socket({ fd: tcp.release(), pauseOnCreate: true });
        const to = address === '::' ? '::1' : '127.0.0.1';
        // nobody listens in that namespace
        console.log(address, kindOf(udp), await new Promise((done) => stream.on('error', ({ code }) => done(code)).connect({ host: to, port: 9 })));
      }`,
    stdout: '0.0.0.0 socket:[N] ECONNREFUSED\n:: socket:[N] ECONNREFUSED\n',
  },
  {
    what: 'ids that the outer namespace has not are refused with the map that has them, and nothing is left',
    code: `
      for (const step of [{ op: 'mapUsers', uid: '0 1 1', gid: '0 4000000000 1' }, { op: 'mapUsers', uid: '0 0 1', gid: '0 1 1' }]) {
        const failed = await doing([enterOuter, ...become(1), step, { op: 'exit' }]).catch((error) => error);
        console.log(failed.op, failed.path, failed.errno);
      }
      const children = () => fs.readFileSync('/proc/self/task/' + process.pid + '/children', 'latin1');
      await within(() => children() === '');
      console.log('children:', children());`,
    stdout: 'mapUsers gid_map 1\nmapUsers uid_map 1\nchildren: \n',
  },
  {
    what: 'mapUsers where there are no capabilities is refused',
    code: `
      const failed = await doing([enterOuter, ...become(1), { op: 'capabilities', bounding: 0n, effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n }, { op: 'mapUsers', uid: '0 1 2', gid: '0 1 2' }, { op: 'exit' }]).catch((error) => error);
      console.log(failed.op, failed.call, failed.path, failed.errno);`,
    stdout: 'mapUsers write gid_map 1\n',
  },
  {
    what: 'an address that is none of the namespace is told',
    code: `
      for (const address of ['10.1.2.3', 'x']) {
        const failed = await doing([...nested, { op: 'unshare', flags: NEWNET }, { op: 'loopbackUp' }, { op: 'sockets', make: ['udp'], address }, { op: 'exit' }]).catch((error) => error);
        console.log(failed.message);
      }`,
    stdout:
      'cannot make sockets 10.1.2.3: bind: cannot assign requested address\ncannot make sockets x: inet_pton: invalid argument\n',
  },
  {
    what: 'a tap of the namespace carries frames both ways, and goes with its descriptor',
    code: `
      const { readPacket, writePacket } = await load('host/streams/packet-fd.ts'); const { Rtnetlink } = await load('host/streams/rtnetlink.ts');
      const NETWORK = [...(process.getuid() === 0 ? [] : nested), { op: 'unshare', flags: NEWNET }];
      const done = await doing([...NETWORK, { op: 'tap', name: 'v0123456789ab' }, { op: 'sockets', make: ['rtnetlink'] }, { op: 'exit' }]);
      const { tap, rtnetlink, ...rest } = done.made;
      const route = new Rtnetlink(rtnetlink); const { index, mac, up } = route.links().find(({ name }) => name === 'v0123456789ab');
      console.log(kindOf(tap), up, Object.keys(rest).length);
      route.setUp(index); route.addAddress(index, Uint8Array.of(10, 9, 0, 1), 24);
      const address = Buffer.from(mac.replaceAll(':', ''), 'hex'), own = Buffer.from('020000000002', 'hex');
      const question = Buffer.concat([address, own, Buffer.from('08060001080006040001', 'hex'), own, Buffer.from([10, 9, 0, 2]), Buffer.alloc(6), Buffer.from([10, 9, 0, 1])]);
      writePacket(tap.number, question);
      const frame = Buffer.alloc(2048); let answer;
      await within(() => { for (let length; (length = readPacket(tap.number, frame)) > 0;) if (frame.readUInt16BE(12) === 0x0806) answer = Buffer.from(frame.subarray(0, length)); return answer !== undefined; });
      console.log(answer.subarray(20, 22).toString('hex'), answer.subarray(22, 28).equals(address));
      tap.close(); await within(() => route.links().length === 1); console.log(route.links().map(({ name }) => name).join());`,
    stdout: '/dev/net/tun false 0\n0002 true\nlo\n',
    closed: 'cannot make a tap /dev/net/tun: open: permission denied\n',
  },
];

/** One process for all cases: each prints what it says behind its number. */
const together = CASES.map(
  ({ code }, index) => `
    await (async () => {
      const lines = [];
      const console = { log: (...all) => lines.push(all.map((one) => typeof one === 'object' ? JSON.stringify(one) : String(one)).join(' ') + '\\n') };
      try { ${code} } catch (error) { lines.push(error.name === 'LaunchError' ? error.message + '\\n' : error.stack); }
      globalThis.console.log(JSON.stringify([${index}, lines.join('')]));
    })();`,
).join('');

for (const who of AS_ROOT ? (['root', 'user'] as const) : (['user'] as const)) {
  let said: Promise<Result> | undefined;
  const all = () => (said ??= Promise.resolve().then(() => (who === 'root' ? asRoot : asUser)(NESTED + together)));
  for (const [index, { what, stdout, closed = stdout }] of CASES.entries())
    test(`${who}: ${what}`, async (t) => {
      const said = await all();
      t.is(said.stderr, '');
      const [, text] = JSON.parse(said.stdout.split('\n')[index]!) as [number, string];
      const expected = who === 'user' && !TUN_IS_OPEN ? closed : stdout;
      if (typeof expected === 'string') t.is(text, expected);
      else t.regex(text, expected);
    });
}
