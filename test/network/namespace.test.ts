/** The namespace of a network: made, found again by keeper and by member, and connected to containers of the user's. */
import test from 'ava';
import { AS_ROOT, asRoot, asUser } from '../rootless/containers.ts';

function each(title: string, code: string, expected: string | RegExp): void {
  for (const [who, run] of [
    ['user', asUser],
    ['root', asRoot],
  ] as const)
    (who === 'root' && !AS_ROOT ? test.skip : test)(
      `${title} (${who}${AS_ROOT || who === 'user' ? '' : ': needs root'})`,
      (t) => {
        const { stdout, stderr } = run(TOOLS + code);
        t.is(stderr, '');
        if (typeof expected === 'string') t.is(stdout, expected);
        else t.regex(stdout, expected);
      },
    );
}

/**
 * `place`: a network's, whose keeper is a program that sleeps with the descriptors where a keeper has them. `inside`: a
 * program in a network, as a judge.
 */
const TOOLS = `
  const { openNetwork, openEndpointSockets, ENDPOINT_SOCKETS } = await load('network/namespace.ts');
  const { namespaceName, owningNamespace } = await load('host/kernel/namespace.ts');
  const { identify } = await load('state/process-identity.ts');
  const { Rtnetlink } = await load('host/streams/rtnetlink.ts');
  const { addressBytes } = await load('host/streams/address-bytes.ts');
  const { spawn } = await import('node:child_process'); const { launch } = await load('launch/executor.ts'); const { INIT_PROGRAM } = await load('program.ts'); const { enterUsersNamespace } = await load('rootless/users-namespace.ts');
  process.env.PATH += ':/usr/sbin:/sbin';
  const keepers = []; let runtime; let kept = 0;
  const place = (more = {}) => ({
    dataRoot: resolve('.'), runtimeDir: resolve('networks'), ipv6: true, load: () => runtime, save: (saved) => { runtime = saved; }, members: () => [],
    keep: async ({ route, namespace, users }) => { kept++; const child = spawn('sleep', ['1000'], { stdio: ['ignore', 'ignore', 'ignore', route.number, namespace.number, users.fd.number] }); keepers.push(child); return identify(child.pid); },
    ...more,
  });
  const endKeepers = async () => { for (const child of keepers.splice(0)) { const gone = new Promise((done) => child.once('exit', done)); child.kill('SIGKILL'); await gone; } };
  const name = ({ namespace }) => namespaceName(namespace.number);
  const close = (network) => { network[Symbol.dispose](); };
  // nobody is root there: what a program is to have of capabilities is ambient
  const inside = async (network, ...args) => {
    const all = 2n ** 41n - 1n;
    const launched = launch([{ op: 'closeFrom', fd: 7 }, enterUsersNamespace(network.users), { op: 'setns', path: '/proc/self/fd/6', type: 0x40000000 }, { op: 'capabilities', bounding: all, effective: all, permitted: all, inheritable: all, ambient: all }, { op: 'environment', env: ['PATH=' + process.env.PATH] }, { op: 'exec', args }], { init: INIT_PROGRAM, stdin: 'null', stdout: 'pipe', stderr: 'pipe', inherit: [network.namespace.number] });
    const [stdout, stderr, { code }] = await Promise.all([text(launched.stdout), text(launched.stderr), launched.exited]);
    return { stdout, stderr, status: code };
  };
`;

each(
  'a new one is set up by sysctl, is owned by the user’s namespace, and obeys its socket from outside',
  `
  const network = await openNetwork(place());
  const read = async (...names) => (await inside(network, 'cat', ...names.map((one) => '/proc/sys/net/' + one))).stdout.replaceAll('\\n', '');
  console.log(network.isNew, kept, await read('ipv4/ip_forward', 'ipv4/conf/all/rp_filter', 'ipv4/conf/default/rp_filter', 'ipv6/conf/default/accept_ra', 'ipv6/conf/all/disable_ipv6', 'ipv6/conf/all/forwarding'));
  if (fs.existsSync('/proc/sys/net/bridge')) console.log(await read('bridge/bridge-nf-call-iptables', 'bridge/bridge-nf-call-ip6tables', 'bridge/bridge-nf-call-arptables')); else console.log('000');
  const owner = owningNamespace(network.namespace.number); console.log(namespaceName(owner.number) === namespaceName(network.users.fd.number));
  new Rtnetlink(network.route).addAddress(1, addressBytes('10.9.8.7'), 32);
  console.log(/10\\.9\\.8\\.7/.test((await inside(network, 'ip', '-o', 'address')).stdout), /lo: <LOOPBACK,UP/.test((await inside(network, 'ip', '-o', 'link')).stdout), /10\\.9\\.8\\.7/.test(JSON.stringify(os.networkInterfaces())));
  runtime = undefined; const plain = await openNetwork(place({ ipv6: false }));
  console.log((await inside(plain, 'cat', '/proc/sys/net/ipv6/conf/all/disable_ipv6')).stdout.trim(), name(plain) !== name(network), plain.users === network.users);
  await endKeepers();
`,
  'true 1 100001\n000\ntrue\ntrue true false\n1 true true\n',
);

each(
  'the user namespace is told of before the network is there: one that is made, and that of a network that is found',
  `
  const told = []; const inUsers = (users) => { told.push(namespaceName(users.fd.number)); };
  const { keep } = place();
  const first = await openNetwork(place({ inUsers, keep: async (made) => { console.log('kept after', told.length); return keep(made); } }));
  const again = await openNetwork(place({ inUsers }));
  console.log(told.length, told.every((name) => name === namespaceName(first.users.fd.number)));
  const failed = await openNetwork(place({ inUsers, load: () => undefined, keep: () => Promise.reject(new Error('no keeper')) })).catch(({ message }) => message);
  console.log(failed, told.length, namespaceName(again.users.fd.number) === told[2]);
  await endKeepers();
`,
  'kept after 1\n2 true\nno keeper 3 true\n',
);

each(
  'where it cannot be furnished nothing is written down, and the pin ends, with which a keeper does',
  `
  let pinned; const { keep } = place();
  const told = await openNetwork(place({ keep: (made, { pid }) => { pinned = pid; return keep(made); }, furnish: () => { throw new Error('no rules'); } })).catch(({ message }) => message);
  const state = () => { try { return /^State:\\t(.)/m.exec(fs.readFileSync('/proc/' + pinned + '/status', 'latin1'))[1]; } catch { return 'Z'; } };
  while (state() !== 'Z') await new Promise((done) => setTimeout(done, 5));
  console.log(told, pinned > 0, kept, runtime); await endKeepers();
`,
  'no rules true 1 undefined\n',
);

each(
  'it is found by its keeper, then by a member, and is new when nobody has it',
  `
  const first = await openNetwork(place()); const called = name(first); close(first);
  const again = await openNetwork(place()); console.log(name(again) === called, again.isNew, kept); close(again);
  const member = spawn('sleep', ['1000'], { stdio: ['ignore', 'ignore', 'ignore', fs.openSync('/proc/' + keepers[0].pid + '/fd/4', 'r')] });
  await endKeepers();
  const byMember = await openNetwork(place({ members: () => [1, member.pid] })); console.log(name(byMember) === called, byMember.isNew, kept, runtime.keeper.pid === keepers[0].pid); close(byMember);
  const other = await openNetwork(place({ load: () => ({ ...runtime, bootId: 'another' }) })); console.log(other.isNew, kept); close(other);
  member.kill('SIGKILL'); await endKeepers();
  const anew = await openNetwork(place()); console.log(anew.isNew, kept); await endKeepers();
`,
  'true false 1\ntrue false 2 true\ntrue 3\ntrue 4\n',
);

each(
  'one of another network that has got its inode is not taken for it',
  `
  const first = await openNetwork(place()); const other = { ...runtime }; runtime = undefined;
  const second = await openNetwork(place()); const called = name(second);
  await endKeepers();
  // as if the second one had gone, and the first had come by its inode
  close(second); const { cookie } = runtime; runtime = { ...runtime, inode: other.inode };
  const anew = await openNetwork(place({ members: () => [process.pid] })); console.log(anew.isNew, name(anew) !== name(first), runtime.cookie !== cookie, cookie !== other.cookie);
  close(anew); await endKeepers(); runtime = other;
  const found = await openNetwork(place({ members: () => [process.pid] })); console.log(found.isNew, name(found) === name(first)); await endKeepers();
`,
  'true true true true\nfalse true\n',
);

each(
  'many at once make one',
  `
  const all = await Promise.all(Array.from({ length: 8 }, () => openNetwork(place())));
  console.log(new Set(all.map(name)).size, all.filter(({ isNew }) => isNew).length, kept); await endKeepers();
`,
  '1 1 1\n',
);

each(
  'a veth reaches from it into a container that is below the same namespace, and into no other',
  `
  const network = await openNetwork(place());
  const inContainer = async (options) => { const sandbox = makeSandbox(['sleep', '1000'], { options }); const { pid } = await sandbox.prepare(NOTHING); await sandbox.start(); return { sandbox, pid }; };
  const { sandbox, pid } = await inContainer({ users: network.users });
  const veth = (pid, to) => inside(network, 'ip', 'link', 'add', to, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid));
  const made = await veth(pid, 'v1'); console.log(made.status + made.stderr, /eth0/.test(fs.readFileSync('/proc/' + pid + '/net/dev', 'utf8')));
  // its own user namespace, directly below the host's, as another program would make it
  const stranger = spawn('unshare', ['-Urn', 'sh', '-c', 'echo ready; read end'], { stdio: ['pipe', 'pipe', 'inherit'] }); await new Promise((ready) => stranger.stdout.once('data', ready));
  const refused = await veth(stranger.pid, 'v2'); console.log(refused.status !== 0, /not permitted|Invalid/.test(refused.stderr)); stranger.stdin.end();
  await sandbox.destroy(); await endKeepers();
`,
  '0 true\ntrue true\n',
);

each(
  "a container's sockets come out of it as it starts, and while it runs",
  `
  const net = await import('node:net');
  const network = await openNetwork(place()); let seen;
  const connect = async (pid, namespace, sockets) => {
    seen = Object.keys(sockets).join(' ') + ' ' + (namespaceName(sockets['network-namespace'].number) === namespaceName(namespace.number));
    new Rtnetlink(sockets.rtnetlink).addAddress(1, addressBytes('10.1.1.1'), 32);
    for (const kind of ['netfilter', 'udp', 'network-namespace']) sockets[kind].close();
    const server = net.createServer((client) => client.on('data', (data) => client.end('heard ' + data))); await new Promise((done) => server.listen({ fd: sockets.tcp.number }, done));
    return { port: server.address().port, close: async () => server.close() };
  };
  let port; const sandbox = makeSandbox(['sleep', '1000'], { options: { users: network.users, sockets: ENDPOINT_SOCKETS, connect: async (...all) => { const made = await connect(...all); port = made.port; return made; } } });
  const { pid } = await sandbox.prepare(NOTHING); await sandbox.start(); console.log(seen);
  const exec = async (...args) => { const child = await sandbox.exec({ ...makeSpec(args).process }, NOTHING); const [out] = await Promise.all([text(child.stdout), child.exited]); return out.trim(); };
  console.log(/10\\.1\\.1\\.1/.test(await exec('ip', 'addr')), await exec('sh', '-c', 'echo x | nc 127.0.0.11 ' + port));
  const later = await openEndpointSockets(pid);
  console.log(namespaceName(later['network-namespace'].number) === fs.readlinkSync('/proc/' + pid + '/ns/net'), Object.keys(later).length);
  await sandbox.destroy(); await endKeepers(); process.exit();
`,
  'rtnetlink netfilter udp tcp network-namespace true\ntrue heard x\ntrue 5\n',
);
