/** `inspect`: what was asked for, under Docker's names and in its values. */
import test from 'ava';
import type { CreateOptions } from '../../../src/engine/contract.ts';
import { view } from '../../../src/cli/template/go-value.ts';
import { goJson } from '../../../src/cli/template/json.ts';
import { CONTAINER } from '../../../src/cli/types/container.ts';
import { createOptions, openTestEngine } from '../fixture.ts';

type Inspection = Record<'Config' | 'HostConfig', Record<string, unknown>> & {
  Mounts: { Mode: string; Destination: string }[];
};

/** options, and members of Config or HostConfig */
const CASES: [what: string, options: Partial<CreateOptions>, expected: Record<string, unknown>][] = [
  [
    'stdin is attached where it is open',
    { interactive: true },
    { AttachStdin: true, AttachStdout: true, AttachStderr: true, StdinOnce: true },
  ],
  [
    '-a stdin -a stdout',
    { interactive: true, attach: { stdin: true, stdout: true, stderr: false } },
    { AttachStdin: true, AttachStdout: true, AttachStderr: false, StdinOnce: true },
  ],
  [
    '-d -i',
    { interactive: true, attach: { stdin: false, stdout: false, stderr: false } },
    { AttachStdin: false, AttachStdout: false, AttachStderr: false, OpenStdin: true, StdinOnce: false },
  ],
  [
    'two bindings of one port',
    { network: 'bridge', publish: ['8080:80', '127.0.0.1:9090:80', '53:53/udp'] },
    {
      PortBindings: {
        '80/tcp': [
          { HostIp: '', HostPort: '8080' },
          { HostIp: '127.0.0.1', HostPort: '9090' },
        ],
        '53/udp': [{ HostIp: '', HostPort: '53' }],
      },
    },
  ],
  [
    'capabilities',
    { capAdd: ['net_admin', 'CAP_CHOWN', 'NET_ADMIN'], capDrop: ['mknod', 'chown'] },
    { CapAdd: ['CAP_CHOWN', 'CAP_NET_ADMIN'], CapDrop: ['CAP_MKNOD'] },
  ],
  [
    'all capabilities',
    { capAdd: ['all', 'net_admin'], capDrop: ['mknod'] },
    { CapAdd: ['ALL'], CapDrop: ['CAP_MKNOD'] },
  ],
  [
    'links on the default network',
    { name: 'web', links: ['db', 'cache:c'] },
    { Links: ['/db:/web/db', '/cache:/web/c'] },
  ],
  ['rules for the way out', { egress: ['*.Example.com:443', 'db'] }, { Egress: ['*.Example.com:443', 'db'] }],
  ['nothing asked for', {}, { Links: null, CapAdd: null, CapDrop: null, PortBindings: {}, BlkioDeviceReadBps: [] }],
];
for (const [what, options, expected] of CASES) {
  test(what, async (t) => {
    const { engine } = await openTestEngine(t);
    // a link is to a container that is there
    for (const link of options.links ?? []) await engine.create(createOptions({ name: link.split(':')[0]! }));
    const { id } = await engine.create(createOptions(options));
    const { Config, HostConfig } = (await engine.inspect(id)) as Inspection;
    t.like({ ...Config, ...HostConfig }, expected);
  });
}

test('the mode of a mount is what -v said of it', async (t) => {
  const { engine, dataRoot } = await openTestEngine(t);
  const mount = (target: string, differences: object) => ({
    type: 'bind' as const,
    source: dataRoot,
    target,
    readonly: false,
    options: [],
    createSource: true,
    ...differences,
  });
  const { id } = await engine.create(
    createOptions({
      mounts: [
        mount('/plain', {}),
        mount('/ro', { readonly: true }),
        mount('/z', { readonly: true, options: ['z'] }),
        mount('/long', { createSource: false, readonly: true }),
        mount('/named', { type: 'volume', source: 'data' }),
        mount('/anonymous', { type: 'volume', source: undefined }),
      ],
    }),
  );
  const { Mounts } = (await engine.inspect(id)) as Inspection;
  t.deepEqual(Object.fromEntries(Mounts.map(({ Destination, Mode }) => [Destination, Mode])), {
    '/plain': '',
    '/ro': 'ro',
    '/z': 'ro,z',
    '/long': '',
    '/named': 'z',
    '/anonymous': '',
  });
});

test('every field that Docker always writes is there', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions());
  const json = await engine.inspect(id);
  t.deepEqual(missing(JSON.parse(goJson(view(CONTAINER, json))) as object, json), []);
});

test('the stop signal is there when somebody chose one', async (t) => {
  const { engine } = await openTestEngine(t);
  const shown = async (stopSignal?: string) => {
    const { id } = await engine.create(createOptions({ stopSignal }));
    return ((await engine.inspect(id)) as Inspection).Config['StopSignal'];
  };
  t.deepEqual([await shown(), await shown('SIGTERM'), await shown('9')], [undefined, 'SIGTERM', '9']);
});

function missing(docker: object, husk: object, path = ''): string[] {
  return Object.entries(docker).flatMap(([key, value]) => {
    if (!Object.hasOwn(husk, key)) return [`${path}.${key}`];
    const own = (husk as Record<string, unknown>)[key];
    return typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      typeof own === 'object' &&
      own !== null
      ? missing(value as object, own, `${path}.${key}`)
      : [];
  });
}
