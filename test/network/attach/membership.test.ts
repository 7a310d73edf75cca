/**
 * A container's networks while it runs: its interfaces and the way by which it leaves, one more and one less, a keeper
 * that dies, and what is left on the bridges when nobody has a lease any more.
 */
import { inNetworks } from './networks-inside.ts';

inNetworks(
  'interfaces come and go, the way out is the highest one that is left, and a killed keeper is made again',
  `
  const { Membership } = await load('network/attach/membership.ts');
  const { removeStalePorts } = await load('network/attach/stale-ports.ts');
  const { loadRuntime } = await load('network/records/runtime.ts');
  const { openEndpointSockets, ENDPOINT_SOCKETS } = await load('network/namespace.ts');
  const network = (name, number) => make(name, { internal: false, ipam: [{ subnet: '10.' + number + '.0.0/16', gateway: '10.' + number + '.0.1', auxiliary: {} }] });
  const [a, b, c] = [network('a', 11), network('b', 12), network('c', 13)];
  const member = (of, index, gatewayPriority) => ({ network: of, endpoint: lease(of, 'cc', { interface: 'eth' + index }), gatewayPriority });
  const close = (sockets) => Object.values(sockets).forEach((fd) => fd.close());
  const problems = [];
  const membership = new Membership(host, [member(a, 0, 0), member(b, 1, 5)], (text) => void problems.push(text));
  const users = await membership.open();
  const connect = async (pid, namespace, sockets) => { await membership.attachAll(sockets); close(sockets); };
  const sandbox = makeSandbox(['sleep', '1000'], { options: { users, sockets: ENDPOINT_SOCKETS, connect } });
  const { pid } = await sandbox.prepare(NOTHING); await sandbox.start();
  const interfaces = () => fs.readFileSync('/proc/' + pid + '/net/dev', 'utf8').match(/eth\\d/g);
  const leavesBy = () => fs.readFileSync('/proc/' + pid + '/net/route', 'utf8').split('\\n').map((line) => line.split('\\t')).filter(([, to]) => to === '00000000').map(([name]) => name);
  const state = async () => ({ interfaces: interfaces(), leavesBy: leavesBy(), out: (await membership.wayOut()).active.network.name });
  const steps = [await state()];
  const sockets = async (use) => { const made = await openEndpointSockets(pid); try { await use(made); } finally { close(made); } };
  await sockets((made) => membership.remove(b.id, made));
  steps.push(await state());
  await sockets((made) => membership.add(member(c, 2, 1), made));
  steps.push(await state());
  const before = loadRuntime(database, a.id).keeper;
  await endKeeper({ keeper: before });
  await within(() => loadRuntime(database, a.id).keeper.pid !== before.pid);
  const mended = isAlive(loadRuntime(database, a.id).keeper);
  leases.release(database, 'cc'.padEnd(64, '0'), c.id);
  { using active = await openActiveNetwork(c, host); removeStalePorts(active, database); removeStalePorts(active, database); }
  await within(() => !interfaces().includes('eth2'));
  steps.push({ interfaces: interfaces() });
  await sandbox.destroy();
  membership.end(); membership.clear();
  const last = await openActiveNetwork(a, host);
  const left = last.sockets.route.links().filter(({ master }) => master === last.sockets.bridge).length;
  console.log(JSON.stringify({ steps, mended, left, problems }));
  for (const of of [a, b, c]) { const { keeper } = loadRuntime(database, of.id); if (isAlive(keeper)) await endKeeper({ keeper }); }
  process.exit();
`,
  (t, found) =>
    t.deepEqual(found, {
      steps: [
        { interfaces: ['eth0', 'eth1'], leavesBy: ['eth1'], out: 'b' },
        { interfaces: ['eth0'], leavesBy: ['eth0'], out: 'a' },
        { interfaces: ['eth0', 'eth2'], leavesBy: ['eth2'], out: 'c' },
        { interfaces: ['eth0'] },
      ],
      mended: true,
      left: 0,
      problems: [],
    }),
);
