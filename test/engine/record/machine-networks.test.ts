/**
 * What a command takes for a machine that it starts: under its own claim until it gives all of it to the machine's
 * monitor, which another process stands for here.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { takeNetworks } from '../../../src/engine/record/machine-networks.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { leased } from '../../../src/network/records/leased.ts';
import { openNetworks } from '../../../src/network/records/networks.ts';
import { NetworkRecords } from '../../../src/network/records/records.ts';
import { machineProblem } from '../../../src/network/way-out.ts';
import { ContainerStore } from '../../../src/state/containers.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { identify, identifySelf } from '../../../src/state/process-identity.ts';
import type { Task, TaskNetworks } from '../../../src/supervisor/protocol/protocol.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

const missing = machineProblem([{ internal: true }]);
const real = missing ? test.serial.skip : test.serial;
const title = missing ? ` (${missing.message})` : '';
/** Docker's, of a start that failed before the command could */
const NOT_STARTED = 128;

/** A container that is to start on an internal network, which needs no pasta. */
async function machine(t: ExecutionContext) {
  const { engine, paths, dataRoot } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ name: 'mine' }));
  const database = openDatabase(paths.database);
  t.teardown(() => database.close());
  const networks = openNetworks({ database, config: {}, running: () => [], routes: () => [] });
  const known = [networks.create({ name: 'front', internal: true, ipam: [{ subnet: '10.78.0.0/29' }] })];
  const [{ id: networkId, name: network }] = known as [(typeof known)[number]];
  new NetworkRecords(database).want({ networkId, network, containerId: id, wanted: {} });
  const task = { id, dataRoot, runtimeDir: join(dataRoot, 'run'), autoRemove: true, volumes: [] } as unknown as Task;
  mkdirSync(join(paths.container(id), 'etc'), { recursive: true });
  const wanted: TaskNetworks = {
    known,
    hostname: 'inside',
    hosts: ['10.78.0.6\tfriend'],
    publish: [],
    names: { resolvers: [], ndotsSet: false, resolvConf: '' },
  };
  return {
    id,
    database,
    network: known[0]!,
    take: () => takeNetworks(task, wanted, database),
    state: () => new ContainerStore(database).get(id)!.state,
    hosts: () => readFileSync(join(paths.container(id), 'etc/hosts'), 'utf8'),
    leases: () => leased(database, known[0]!.id).map(({ containerId, claim }) => [containerId, claim.pid]),
  };
}

real(`taken under this command's claim, and undone when nobody got it${title}`, async (t) => {
  const { id, take, state, leases, hosts } = await machine(t);
  {
    using taken = await take();
    t.deepEqual([state().claim?.by.pid, state().claim?.operation], [process.pid, 'start']);
    t.deepEqual(leases(), [[id, process.pid]]);
    t.deepEqual(
      taken.machine.interfaces.map(({ name, addresses }) => [name, addresses]),
      [['eth0', [{ address: '10.78.0.2', prefix: 29 }]]],
    );
    const { links, networks, forwarder } = taken.descriptors;
    t.deepEqual([links.length, networks.length, forwarder.length], [1, 1, 0]);
    t.is(hosts(), '10.78.0.2\tinside\n10.78.0.6\tfriend\n');
    await taken.ready();
    t.deepEqual(taken.machine.warnings, []);
  }
  t.deepEqual([state().claim, state().status, leases()], [undefined, 'created', []]);
});

real(`passed on, claim and addresses are the monitor's, and nothing is undone${title}`, async (t) => {
  const { id, take, state, leases, database } = await machine(t);
  const monitor = spawn('sleep', ['1000']);
  t.teardown(() => monitor.kill('SIGKILL'));
  {
    using taken = await take();
    taken.passOn(monitor.pid!);
  }
  t.is(state().claim?.by.pid, monitor.pid);
  t.deepEqual(leases(), [[id, monitor.pid]]);
  // its end is the container's: the engine that removes it must find nobody
  new ContainerStore(database).change(id, (before) => ({ ...before, claim: undefined }));
});

real(`a monitor that has ended gets nothing${title}`, async (t) => {
  const { id, take, state, leases } = await machine(t);
  {
    using taken = await take();
    // beyond /proc/sys/kernel/pid_max
    t.throws(() => taken.passOn(2 ** 22 + 1), { message: `the supervisor of ${id} ended at once` });
  }
  t.deepEqual([state().claim, leases()], [undefined, []]);
});

real(`no address is left: said as Docker says it, by the record too, and it is there still${title}`, async (t) => {
  const { take, state, leases, database, network } = await machine(t);
  for (let other = 0; other < 5; other++)
    lease(database, {
      network,
      containerId: `other${other}`,
      interface: 'eth0',
      wanted: {},
      names: [],
      claim: identifySelf(),
    });
  const error = await t.throwsAsync(take());
  t.regex(error!.message, /no available IPv4 addresses|address/i);
  const { status, exitCode, error: recorded, claim } = state();
  t.deepEqual([status, exitCode, claim], ['created', NOT_STARTED, undefined]);
  t.true(recorded.includes(error!.message), recorded);
  t.is(leases().length, 5);
});

(missing ? test.serial : test.serial.skip)(
  'where there can be no tap the start is refused, and told by the record',
  async (t) => {
    const { take, state, leases } = await machine(t);
    await t.throwsAsync(take(), { message: missing?.message ?? '' });
    t.deepEqual([state().status, state().exitCode, state().claim, leases()], ['created', NOT_STARTED, undefined, []]);
  },
);

test.serial('one who is being started is not taken from', async (t) => {
  const { id, take, database, state } = await machine(t);
  const other = spawn('sleep', ['1000']);
  t.teardown(() => other.kill('SIGKILL'));
  const by = identify(other.pid!)!;
  const store = new ContainerStore(database);
  store.change(id, (before) => ({ ...before, claim: { by, operation: 'start' } }));
  await t.throwsAsync(take(), { message: `container ${id} is being started by another process` });
  t.is(state().claim?.by.pid, other.pid);
  store.change(id, (before) => ({ ...before, claim: undefined }));
});
