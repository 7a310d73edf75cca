/** Docker's `info`: its shape against the API's schema (1.51), and what husk says of itself in it. */
import test from 'ava';
import { ofLimits } from '../../../src/engine/look/info.ts';
import { judge } from '../../service/schema.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

/** The schema takes it if a field is not there; clients do not. What husk has nothing to say about is left out here. */
const SCHEMA: Record<'string' | 'integer' | 'boolean' | 'strings' | 'object', string> = {
  string:
    'ID Driver DockerRootDir SystemTime LoggingDriver CgroupDriver CgroupVersion KernelVersion OperatingSystem ' +
    'OSVersion OSType Architecture IndexServerAddress HttpProxy HttpsProxy NoProxy Name ServerVersion ' +
    'DefaultRuntime Isolation InitBinary',
  integer:
    'Containers ContainersRunning ContainersPaused ContainersStopped Images NFd NGoroutines NEventsListener NCPU MemTotal',
  boolean:
    'MemoryLimit SwapLimit CpuCfsPeriod CpuCfsQuota CPUShares CPUSet PidsLimit OomKillDisable IPv4Forwarding Debug ' +
    'ExperimentalBuild LiveRestoreEnabled',
  strings: 'Labels SecurityOptions Warnings CDISpecDirs',
  object: 'Plugins RegistryConfig Runtimes Swarm ContainerdCommit RuncCommit InitCommit',
};
const FITS: Record<keyof typeof SCHEMA, (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  integer: (value) => Number.isSafeInteger(value),
  boolean: (value) => typeof value === 'boolean',
  strings: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
};

interface Info extends Record<string, unknown> {
  ID: string;
  Containers: number;
  RegistryConfig: { IndexConfigs: Record<string, unknown>; Mirrors: unknown; InsecureRegistryCIDRs: unknown };
}

test('every field of the schema has its type', async (t) => {
  const { engine } = await openTestEngine(t);
  const info = (await engine.info()) as Info;
  t.notThrows(() => judge('GET', '/info', 200, info));
  for (const [type, names] of Object.entries(SCHEMA) as [keyof typeof SCHEMA, string][])
    t.deepEqual(
      names.split(' ').filter((name) => !FITS[type](info[name])),
      [],
      type,
    );
  t.true(['cgroupfs', 'systemd', 'none'].includes(info['CgroupDriver'] as string));
  t.true(['1', '2'].includes(info['CgroupVersion'] as string));
  t.false(Number.isNaN(Date.parse(info['SystemTime'] as string)));
  for (const pair of info['DriverStatus'] as string[][])
    t.true(FITS.strings(pair) && pair.length === 2, JSON.stringify(pair));
});

test('what clients read', async (t) => {
  const { engine } = await openTestEngine(t);
  const info = (await engine.info()) as Info;
  t.like(info, {
    OSType: 'linux',
    DefaultRuntime: 'husk',
    Swarm: { LocalNodeState: 'inactive', RemoteManagers: null },
  });
  t.deepEqual(Object.keys(info['Runtimes'] as object), ['husk', 'userns', 'vm']);
  t.deepEqual(info.RegistryConfig, {
    IndexConfigs: { 'docker.io': { Name: 'docker.io', Mirrors: [], Secure: true, Official: true } },
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8'],
    Mirrors: [],
  });
  t.deepEqual(info['SecurityOptions'], [
    'name=seccomp,profile=builtin',
    ...(process.geteuid!() === 0 ? [] : ['name=rootless']),
    'name=cgroupns',
  ]);
});

test('the id is a UUID of the data root: the same tomorrow, and another elsewhere', async (t) => {
  const [here, there] = [await openTestEngine(t), await openTestEngine(t)];
  const idOf = async ({ engine }: typeof here) => ((await engine.info()) as Info).ID;
  const id = await idOf(here);
  t.regex(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const again = await openTestEngine(undefined, here.dataRoot);
  using _ = again.engine;
  t.is(await idOf(again), id);
  t.not(await idOf(there), id);
});

test('containers are counted by what they do', async (t) => {
  const { engine } = await openTestEngine(t);
  for (const name of ['aa', 'bb']) await engine.create(createOptions({ name, command: ['sleep', '100'] }));
  await engine.start('aa');
  t.like(await engine.info(), {
    Containers: 2,
    ContainersRunning: 1,
    ContainersPaused: 0,
    ContainersStopped: 1,
    Images: 1,
  });
});

const LIMITS: [what: string, value: string, expected: Record<string, unknown>][] = [
  [
    'some controllers',
    'by your systemd session: memory pids (not cpu, cpuset, io)',
    {
      CgroupDriver: 'systemd',
      MemoryLimit: true,
      SwapLimit: true,
      PidsLimit: true,
      CpuCfsQuota: false,
      Warnings: [
        'WARNING: No cpu cfs period support',
        'WARNING: No cpu cfs quota support',
        'WARNING: No cpu shares support',
        'WARNING: No cpuset support',
        'WARNING: No blkio limit support',
      ],
    },
  ],
  [
    'all, without systemd',
    '/sys/fs/cgroup/x: cpu cpuset io memory pids',
    { CgroupDriver: 'cgroupfs', CgroupVersion: '2', CPUSet: true, BlkioLimit: true, Warnings: [] },
  ],
  [
    'none',
    'this host has no cgroup v2 at /sys/fs/cgroup: no limits, no pause',
    { CgroupDriver: 'none', CgroupVersion: '1', MemoryLimit: false },
  ],
];
for (const [what, value, expected] of LIMITS) test(`limits: ${what}`, (t) => t.like(ofLimits({ value }), expected));
