/** `doctor` and `info`: what they print for given facts. */
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import { container, husk, image } from '../fake-context.ts';

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
    hostFacts: async () => ({
      limits: facts.find((fact) => (fact as { name: string }).name === 'cgroup v2'),
      machines: { name: 'virtual machines', status: 'warn', value: 'not for containers: no /dev/kvm' },
    }),
    list: () => [container({ state: { status: 'running' } }), container()],
    images: { list: () => [image()] },
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
  const env = { HUSK_CONFIG: '/nonexistent', HUSK_DATA_ROOT: '/data', XDG_RUNTIME_DIR: '/run/x' };
  const { stdout } = await husk(
    [
      'info',
      '--format',
      '{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.Images}} {{.MemoryLimit}} {{.PidsLimit}} {{.CpuCfsQuota}} {{.CPUSet}} {{.DockerRootDir}}',
    ],
    { engine: engine(FACTS), env },
  );
  t.is(stdout, '2 1 1 1 true true false false /data\n');
  t.regex(
    (await husk(['info'], { engine: engine(FACTS), env })).stdout,
    /^ Limits: memory yes, cpu no, cpuset no, pids yes, io no\n  Cgroup: by your systemd session/m,
  );
  t.is(
    (
      await husk(['info', '-f', '{{.MemoryLimit}}'], {
        engine: engine([{ name: 'cgroup v2', status: 'warn', value: 'none for memory: no limits, no pause' }]),
        env,
      })
    ).stdout,
    'false\n',
  );
});
