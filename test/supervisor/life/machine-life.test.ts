/** A machine's networks as its monitor has them: kept through every life, given back once, and never changed. */
import test, { type ExecutionContext } from 'ava';
import { receive, seqpacketPair } from '../../../src/host/streams/socket.ts';
import { watchReadable } from '../../../src/host/streams/poll.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { leased } from '../../../src/network/records/leased.ts';
import { claimPorts } from '../../../src/network/records/ports.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { MachineLife } from '../../../src/supervisor/life/machine-life.ts';
import { network, openRecords } from '../../network/records/fixture.ts';

const PUBLISHED = [{ protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80 }] as const;

/** A machine `me` that has an address and a port, beside `other`. */
function machine({ forwarder }: { forwarder?: number } = {}) {
  const { database, records } = openRecords();
  const made = network('front');
  records.insert(made);
  const claim = identifySelf();
  const [endpoint] = ['me', 'other'].map((containerId) =>
    lease(database, { network: made, containerId, interface: 'eth0', wanted: {}, names: [containerId], claim }),
  );
  claimPorts(database, { containerId: 'me', ports: PUBLISHED, claim });
  const networks = { interfaces: [], endpoints: [endpoint!], published: [...PUBLISHED], warnings: [{ text: 'slow' }] };
  const life = new MachineLife({ id: 'me', networks, database, forwarder });
  const has = () => ({
    leases: leased(database, made.id).map(({ containerId }) => containerId),
    ports: database.prepare('SELECT container_id FROM published_ports').all().length,
  });
  return { life, has, networks };
}

test('it says what was made for it', (t) => {
  const { life, networks } = machine();
  t.deepEqual(life.state, { endpoints: networks.endpoints, published: networks.published });
  t.deepEqual(life.warnings, [{ text: 'slow' }]);
});

test('a life and the next have the same addresses and ports', async (t) => {
  const { life, has } = machine();
  for (let lives = 0; lives < 2; lives++) {
    t.is(life.begin(), undefined);
    await life.end();
    life.clear();
  }
  t.deepEqual(has(), { leases: ['me', 'other'], ports: 1 });
});

test('after the last life its own are given back, once', async (t) => {
  const { life, has } = machine();
  await life.release();
  t.deepEqual(has(), { leases: ['other'], ports: 0 });
  await t.notThrowsAsync(life.release());
});

test('ports are nobody else’s before the forwarder has ended', async (t) => {
  const { near, far } = seqpacketPair();
  const { life, has } = machine({ forwarder: near.release() });
  const released = life.release();
  // it has been told to end, and has not
  t.is(await ended(t, far), null);
  t.deepEqual(has(), { leases: ['me', 'other'], ports: 1 });
  far.close();
  await released;
  t.deepEqual(has(), { leases: ['other'], ports: 0 });
});

for (const [what, change] of [
  ['connect', (life: MachineLife) => life.connect()],
  ['disconnect', (life: MachineLife) => life.disconnect()],
] as const)
  test(`a machine that runs is changed by nobody: ${what}`, async (t) => {
    const { life } = machine();
    const error = await t.throwsAsync<Error & { kind: string; fix: string }>(change(life));
    t.is(error.message, 'container me runs in a virtual machine, whose networks are those of its start');
    t.deepEqual([error.kind, error.fix], ['unsupported', 'stop it, change its networks, start it again']);
  });

/** What comes by a socket when something does; null: its end. */
function ended(t: ExecutionContext, fd: Parameters<typeof watch>[0]): Promise<ReturnType<typeof receive>> {
  return new Promise((resolve) => watch(fd, t, resolve));
}

function watch(fd: { number: number }, t: ExecutionContext, told: (message: ReturnType<typeof receive>) => void): void {
  const watching = watchReadable(fd.number, () => {
    watching.close();
    told(receive(fd.number));
  });
  t.teardown(() => watching.close());
}
