/** `doctor` and `info`: what they print for given facts. */
import test from 'ava';
import type { Engine, Fact } from '../../../src/engine/contract.ts';
import { ofLimits } from '../../../src/engine/look/info.ts';
import { husk } from '../fake-context.ts';

const FACTS = [
  { name: 'kernel', status: 'ok' as const, value: '6.1.0' },
  { name: 'pasta', status: 'warn' as const, value: 'not installed', fix: 'apt install passt' },
  {
    name: 'cgroup v2',
    status: 'warn' as const,
    value: 'by your systemd session: memory pids (not cpu, io)',
    fix: 'systemctl edit',
  },
];
const BROKEN = { name: 'newuidmap', status: 'fail' as const, value: 'not \x1b[2Jinstalled', fix: 'apt install uidmap' };
const engine = (facts: object[]) =>
  ({
    doctor: async () => facts,
    info: async () => ({
      Containers: 2,
      ContainersRunning: 1,
      ContainersStopped: 1,
      Images: 1,
      Driver: 'overlay',
      MemTotal: 1024,
      DockerRootDir: '/data',
      Plugins: { Volume: [], Network: [], Log: [] },
      Runtimes: { husk: {}, userns: {}, vm: {} },
      SecurityOptions: ['name=seccomp,profile=builtin'],
      RegistryConfig: {
        IndexConfigs: { 'docker.io': { Name: 'docker.io', Secure: true }, 'r:5000': { Name: 'r:5000', Secure: false } },
        InsecureRegistryCIDRs: ['127.0.0.0/8'],
        Mirrors: ['https://mirror.example'],
      },
      DefaultAddressPools: [{ Base: '10.9.0.0/16', Size: 24 }],
      CDISpecDirs: ['/etc/cdi'],
      DriverStatus: [['Backing Filesystem', 'extfs']],
      ...ofLimits(facts.find((fact) => (fact as { name: string }).name === 'cgroup v2') as Fact),
    }),
  }) as unknown as Partial<Engine>;

test('doctor on a host that will do', async (t) => {
  t.deepEqual(await husk(['doctor'], { engine: engine(FACTS) }), {
    code: 0,
    stdout:
      'ok    kernel     6.1.0\nwarn  pasta      not installed\n                 fix: apt install passt\nwarn  cgroup v2  by your systemd session: memory pids (not cpu, io)\n                 fix: systemctl edit\n\ncontainers can run; 2 that some of them will miss\n',
    stderr: '',
  });
});

test('doctor on a host that will not', async (t) => {
  const { code, stdout } = await husk(['doctor'], { engine: engine([...FACTS, BROKEN]) });
  t.is(code, 1);
  t.regex(
    stdout,
    /^FAIL {2}newuidmap .*\n +fix: apt install uidmap\n\n1 to fix before containers can run; 2 that some of them will miss\n$/m,
  );
});

test('doctor on a terminal has colours of its own only', async (t) => {
  const { stdout } = await husk(['doctor'], { engine: engine([BROKEN]), terminal: { columns: 80, rows: 24 } });
  t.true(stdout.startsWith('\x1b[31mFAIL\x1b[0m  newuidmap  not \uFFFD[2Jinstalled\n'));
  t.notRegex(
    (await husk(['doctor'], { engine: engine([BROKEN]), terminal: { columns: 80, rows: 24 }, env: { NO_COLOR: '1' } }))
      .stdout,
    /\x1b/,
  );
});

test('doctor for scripts', async (t) => {
  t.deepEqual(
    JSON.parse((await husk(['doctor', '--format', 'json'], { engine: engine(FACTS) })).stdout.split('\n')[1]!),
    { Fix: 'apt install passt', Name: 'pasta', Status: 'warn', Value: 'not installed' },
  );
  t.is(
    (await husk(['doctor', '--format', '{{.Name}}={{.Status}}'], { engine: engine(FACTS) })).stdout,
    'kernel=ok\npasta=warn\ncgroup v2=warn\n',
  );
});

test('info counts, and says which limits work', async (t) => {
  const { stdout } = await husk(
    [
      'info',
      '--format',
      '{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.Images}} {{.MemoryLimit}} {{.PidsLimit}} {{.CpuCfsQuota}} {{.CPUSet}} {{.DockerRootDir}}',
    ],
    { engine: engine(FACTS) },
  );
  t.is(stdout, '2 1 1 1 true true false false /data\n');
  const text = (await husk(['info'], { engine: engine(FACTS) })).stdout;
  t.regex(text, /^ Limits: memory yes, cpu no, cpuset no, pids yes, io no\n  Cgroup: by your systemd session/m);
  for (const lines of [
    ' Storage Driver: overlay\n  Backing Filesystem: extfs\n',
    ' CDI spec directories:\n  /etc/cdi\n Swarm: inactive\n Runtimes: husk userns vm\n',
    ' Insecure Registries:\n  r:5000\n  127.0.0.0/8\n Registry Mirrors:\n  https://mirror.example\n',
    ' Default Address Pools:\n   Base: 10.9.0.0/16, Size: 24\n',
  ])
    t.true(text.includes(lines), lines);
  t.is(
    (
      await husk(['info', '-f', '{{.MemoryLimit}}'], {
        engine: engine([{ name: 'cgroup v2', status: 'warn', value: 'none for memory: no limits, no pause' }]),
      })
    ).stdout,
    'false\n',
  );
});
