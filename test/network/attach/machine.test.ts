/** The networks of virtual machines without a machine: what is on the wire, and what goes with whom. */
import { createServer, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { writePacket } from '../../../src/host/streams/packet-fd.ts';
import { leased } from '../../../src/network/records/leased.ts';
import { machineProblem } from '../../../src/network/way-out.ts';
import { identify, isAlive } from '../../../src/state/process-identity.ts';
import {
  announcement,
  heard,
  isQuestion,
  keepersHaveEnded,
  laboratory,
  monitor,
  partOf,
  PATIENCE,
  ping,
} from './machine-lab.ts';

const missing = machineProblem([]);
const real = missing ? test.skip : test.serial;
const title = missing ? ` (${missing.message})` : '';
test.after.always('no keeper is left', keepersHaveEnded);

real(`two machines on a network, and its gateway${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const { networks, place, database } = laboratory();
  networks.create({ name: 'mine', ipam: [{ subnet: '10.77.0.0/24' }] });
  using one = await place(1, ['mine']);
  using other = await place(2, ['mine'], { hosts: ['10.77.0.2\tone'], domainname: 'd' });
  t.deepEqual(one.told.interfaces, [
    {
      name: 'eth0',
      mac: '02:42:0a:4d:00:02',
      mtu: 65_520,
      addresses: [{ address: '10.77.0.2', prefix: 24 }],
      defaultRoutes: [{ family: 4, gateway: '10.77.0.1' }],
    },
  ]);
  t.deepEqual(one.told.endpoints[0]!.names, ['m1', 'alias1', '000000000000', 'h1']);
  t.is(one.hostsLines, '10.77.0.2\th1\n');
  t.is(other.hostsLines, '10.77.0.3\th2.d h2\n10.77.0.2\tone\n');
  t.is(leased(database, networks.get('mine').id).length, 2);
  const gateway = { mac: '02:42:0a:4d:00:01', address: '10.77.0.1' };
  writePacket(one.links[0]!.number, ping(partOf(one), gateway, 'to the gateway'));
  t.true(await heard(one.links[0]!, isQuestion));
  writePacket(one.links[0]!.number, announcement(partOf(one), gateway));
  t.true(await heard(one.links[0]!, (frame) => frame.includes('to the gateway') && frame[34] === 0));
  // as somebody else first: it would have come before the honest one
  writePacket(one.links[0]!.number, ping({ ...partOf(one), address: '10.77.0.9' }, partOf(other), 'as a stranger'));
  writePacket(one.links[0]!.number, ping(partOf(one), partOf(other), 'as itself'));
  let stranger = false;
  t.true(
    await heard(other.links[0]!, (frame) => {
      stranger ||= frame.includes('as a stranger');
      return frame.includes('as itself');
    }),
  );
  t.false(stranger);
});

real(`several networks, one of them with the way out${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const { networks, place } = laboratory();
  networks.create({ name: 'inner', internal: true, ipam: [{ subnet: '10.78.0.0/24' }] });
  networks.create({ name: 'outer', ipv6: true, ipam: [{ subnet: '10.79.0.0/24' }, { subnet: 'fd00:79::/64' }] });
  using both = await place(1, ['inner', 'outer']);
  t.deepEqual(
    both.told.interfaces.map(({ name, addresses, defaultRoutes }) => ({ name, addresses, defaultRoutes })),
    [
      { name: 'eth0', addresses: [{ address: '10.78.0.2', prefix: 24 }], defaultRoutes: [] },
      {
        name: 'eth1',
        addresses: [
          { address: '10.79.0.2', prefix: 24 },
          { address: 'fd00:79::2', prefix: 64 },
        ],
        defaultRoutes: [
          { family: 4, gateway: '10.79.0.1' },
          { family: 6, gateway: 'fd00:79::1' },
        ],
      },
    ],
  );
  t.is(both.links.length, 2);
  t.is(both.namespaces.length, 2);
});

real(`what a monitor has lasts as long as it does: taps, ports and their rows${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const { networks, place, database } = laboratory();
  networks.create({ name: 'mine', ipam: [{ subnet: '10.80.0.0/24' }] });
  const { id } = networks.get('mine');
  using witness = await place(9, ['mine']);
  const made = await place(1, ['mine'], {
    publish: [{ protocol: 'tcp', containerPort: 80, hostAddress: '127.0.0.1' }],
  });
  const [link, { hostPort }] = [made.links[0]!, made.told.published[0]!];
  const client = connect(hostPort, '127.0.0.1').on('error', () => {});
  t.teardown(() => client.destroy());
  // the SYN of the gateway, as which a client on the host's loopback is shown: it asks for the way first
  const gateway = { mac: '02:42:0a:50:00:01', address: '10.80.0.1' };
  t.true(await heard(link, isQuestion));
  writePacket(link.number, announcement(partOf(made), gateway));
  t.true(await heard(link, (frame) => frame[23] === 6 && frame.readUInt16BE(36) === 80 && frame[47] === 2));
  const guard = await monitor(made);
  t.teardown(() => guard.kill());
  made.passOn(identify(guard.pid)!);
  made[Symbol.dispose]();
  const mine = () => leased(database, id).filter(({ containerId }) => containerId.endsWith('1'));
  t.is(mine()[0]!.claim.pid, guard.pid);
  const ports = database.prepare('SELECT claim FROM published_ports').all() as { claim: string }[];
  t.true(ports.length === 1 && isAlive(JSON.parse(ports[0]!.claim)));
  const free = () =>
    new Promise<boolean>((done) => {
      const server = createServer().on('error', () => done(false));
      server.listen(hostPort, '127.0.0.1', () => server.close(() => done(true)));
    });
  t.false(await free());
  guard.kill();
  await guard.exited;
  t.deepEqual(mine(), []);
  let isFree = false;
  for (const start = Date.now(); !isFree && Date.now() - start < PATIENCE; await sleep(20)) isFree = await free();
  t.true(isFree);
  // its address is the next one's, and so is its place on the bridge
  using next = await place(1, ['mine']);
  t.is(partOf(next).address, partOf(made).address);
  writePacket(next.links[0]!.number, ping(partOf(next), partOf(witness), 'the next one'));
  t.true(await heard(witness.links[0]!, (frame) => frame.includes('the next one')));
});

real(`what could not be had whole leaves nothing${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const { networks, place, database } = laboratory();
  networks.create({ name: 'mine', ipam: [{ subnet: '10.81.0.0/24' }] });
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const publish = [
    { protocol: 'tcp', containerPort: 80, hostAddress: '127.0.0.1', hostPorts: { first: port, last: port } },
  ] as const;
  await t.throwsAsync(place(1, ['mine'], { publish }), {
    name: 'HuskError',
    message: new RegExp(`failed to bind host port 127.0.0.1:${port}/tcp: address already in use$`),
  });
  t.deepEqual(leased(database, networks.get('mine').id), []);
  t.deepEqual(database.prepare('SELECT * FROM published_ports').all(), []);
  const descriptors = await place(1, ['mine']);
  descriptors[Symbol.dispose]();
  t.deepEqual(leased(database, networks.get('mine').id), []);
});
