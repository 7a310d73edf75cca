/** `update` of stopped and running containers: what the record says afterwards, and what is refused in whose words. */
import test from 'ava';
import type { ResourceRequest } from '../../../src/engine/contract.ts';
import { mergeResources } from '../../../src/engine/life/update.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

const MIB = 2 ** 20;
for (const [title, before, asked, after] of [
  [
    'what is not named stays',
    { memory: 64 * MIB, pidsLimit: 5 },
    { memory: 80 * MIB },
    { memory: 80 * MIB, pidsLimit: 5 },
  ],
  ['0 changes nothing', { memory: 64 * MIB }, { memory: 0, cpuShares: 7 }, { memory: 64 * MIB, cpuShares: 7 }],
  ['--pids-limit 0 is unlimited', { pidsLimit: 5 }, { pidsLimit: 0 }, { pidsLimit: 0 }],
] as [string, ResourceRequest, ResourceRequest, ResourceRequest][])
  test(title, (t) => t.deepEqual(mergeResources('c', before, asked), after));

const CONFLICTS: [title: string, before: ResourceRequest, asked: ResourceRequest, message: RegExp][] = [
  [
    '--cpus after --cpu-period',
    { cpuPeriod: 50_000 },
    { cpus: 1 },
    /Nano CPUs cannot be updated as CPU Period has already been set/,
  ],
  [
    '--cpus after --cpu-quota',
    { cpuQuota: 50_000 },
    { cpus: 1 },
    /Nano CPUs cannot be updated as CPU Quota has already been set/,
  ],
  [
    '--cpu-period after --cpus',
    { cpus: 1 },
    { cpuPeriod: 50_000 },
    /CPU Period cannot be updated as NanoCPUs has already been set/,
  ],
  [
    '--cpu-quota after --cpus',
    { cpus: 1 },
    { cpuQuota: 50_000 },
    /CPU Quota cannot be updated as NanoCPUs has already been set/,
  ],
  [
    '--memory over --memory-swap',
    { memory: 64 * MIB, memorySwap: 70 * MIB },
    { memory: 80 * MIB },
    /Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time/,
  ],
];
for (const [title, before, asked, message] of CONFLICTS)
  test(`${title} is refused, and the record stays`, async (t) => {
    const { engine, paths } = await openTestEngine(t);
    const { id } = await engine.create(createOptions());
    const { DatabaseSync } = await import('node:sqlite');
    const { ContainerStore } = await import('../../../src/state/containers.ts');
    const database = new DatabaseSync(paths.database);
    // as a host that enforces limits would have made it
    new ContainerStore<{ options: object }>(database).setConfig(id, (config) => ({
      ...config,
      options: { ...config.options, resources: before },
    }));
    database.close();
    await t.throwsAsync(engine.update(id, { resources: asked }), { message });
    t.deepEqual(engine.get(id).config.options.resources, before);
  });

test('a restart policy does not go with --rm', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ autoRemove: true }));
  await t.throwsAsync(engine.update(id, { restart: { name: 'always', maximumRetryCount: 0 } }), {
    message: `Cannot update container ${id}: Restart policy cannot be updated because AutoRemove is enabled for the container`,
  });
  await engine.update(id, { restart: { name: 'no', maximumRetryCount: 0 } });
});

test('of a container that is not there', async (t) => {
  const { engine } = await openTestEngine(t);
  await t.throwsAsync(engine.update('nobody', { restart: { name: 'always', maximumRetryCount: 0 } }), {
    message: 'No such container: nobody',
  });
});

test('rename: the same name, a taken one, a bad one', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ name: 'one' }));
  await engine.create(createOptions({ name: 'two' }));
  t.throws(() => engine.rename('one', '/one'), {
    message: 'Renaming a container with the same name as its current name',
  });
  t.throws(() => engine.rename('one', 'two'), {
    message:
      /^Error when allocating new name: Conflict\. The container name "\/two" is already in use by container "[0-9a-f]{64}"/,
  });
  t.throws(() => engine.rename('one', 'a b'), {
    message: 'Error when allocating new name: Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed',
  });
  t.is(engine.get('one').id, id);
});
