/** The picture of networks, line by line: what is shown of each, and to whom. */
import test from 'ava';
import { writeNetworkTree } from '../../../src/cli/output/network-tree.ts';
import type { Engine, Network } from '../../../src/engine/contract.ts';
import type { EndpointState } from '../../../src/state/containers.ts';
import { network } from '../../network/records/fixture.ts';
import { container, FakeOutput } from '../fake-context.ts';

interface Member {
  name: string;
  /** none: it does not run yet, or no longer */
  endpoint?: Partial<EndpointState>;
  egress?: string[];
  ports?: number[];
}

const V4 = { interface: 'eth0', mac: '02:42:0a:00:00:02', ipv4: { address: '10.0.0.2', prefix: 16 }, names: [] };

async function drawn(
  networks: readonly (readonly [Network, readonly Member[]])[],
  { details = false, unicode = false, terminal = false } = {},
): Promise<string> {
  const all = networks.flatMap(([, members]) => members);
  const engine = {
    networks: async () => ({
      members: (id: string) =>
        networks
          .find(([one]) => one.id === id)![1]
          .map(({ name, endpoint }) => ({ containerId: name, name, ...(endpoint && { endpoint }) })),
    }),
    list: () =>
      all.map(({ name, egress, ports = [] }) => {
        const published = ports.map((hostPort) => ({
          protocol: 'tcp',
          hostIp: '0.0.0.0',
          hostPort,
          containerPort: 80,
        }));
        const made = container({ id: name, name, state: { status: 'running', published: published as never } });
        return { ...made, config: { ...made.config, options: { ...made.config.options, ...(egress && { egress }) } } };
      }),
  };
  const stdout = new FakeOutput(terminal ? { columns: 80, rows: 24 } : undefined);
  const env = unicode ? { LANG: 'C.UTF-8' } : {};
  const shown = networks.map(([one]) => one);
  await writeNetworkTree(engine as unknown as Engine, shown, { details, context: { stdout, env } });
  return stdout.text;
}

const FRONT = network('front');
const TREES: [what: string, networks: Parameters<typeof drawn>[0], how: Parameters<typeof drawn>[1], text: string][] = [
  ['none', [], {}, ''],
  ['a network without containers', [[FRONT, []]], {}, 'front  10.0.0.0/16\n'],
  [
    'what a network is',
    [
      [network('shut', { internal: true }), []],
      [network('none', { driver: 'null', ipam: [] }), []],
    ],
    {},
    'shut  10.0.0.0/16  internal\nnone  null\n',
  ],
  [
    'names in one column, addresses of both families',
    [
      [
        FRONT,
        [
          { name: 'a', endpoint: V4 },
          { name: 'long', endpoint: { ...V4, ipv6: { address: 'fd00::2', prefix: 64 } } },
        ],
      ],
    ],
    {},
    'front  10.0.0.0/16\n|- a     10.0.0.2\n`- long  10.0.0.2  fd00::2\n',
  ],
  ['one that does not run', [[FRONT, [{ name: 'a' }]]], {}, 'front  10.0.0.0/16\n`- a\n'],
  [
    'who is reached from outside, and who may reach what',
    [[FRONT, [{ name: 'a', endpoint: V4, ports: [8080], egress: ['db:5432', 'example.org'] }]]],
    {},
    'front  10.0.0.0/16\n`- a  10.0.0.2  0.0.0.0:8080->80/tcp  -> db:5432 example.org\n',
  ],
  [
    'a container on two networks',
    [
      [FRONT, [{ name: 'a', endpoint: V4 }]],
      [network('back'), [{ name: 'a', endpoint: { ...V4, ipv4: { address: '10.0.0.9', prefix: 16 } } }]],
    ],
    { unicode: true },
    'front  10.0.0.0/16\n└─ a  10.0.0.2\nback  10.0.0.0/16\n└─ a  10.0.0.9\n',
  ],
  [
    'all of it',
    [[FRONT, [{ name: 'a', endpoint: { ...V4, names: ['a', 'alias'] }, ports: [8080], egress: ['public'] }]]],
    { details: true },
    `front  10.0.0.0/16
|- gateway 10.0.0.1
\`- a  10.0.0.2
   |- eth0 02:42:0a:00:00:02
   |- names a, alias
   |- ports 0.0.0.0:8080->80/tcp
   \`- egress
      \`- public
`,
  ],
  [
    'a name that a terminal would obey',
    [[FRONT, [{ name: 'a', endpoint: { ...V4, names: ['\x1b]0;x\x07'] } }]]],
    { details: true, terminal: true },
    `front  10.0.0.0/16
|- gateway 10.0.0.1
\`- a  10.0.0.2
   |- eth0 02:42:0a:00:00:02
   \`- names \ufffd]0;x\ufffd
`,
  ],
];
for (const [what, networks, how, text] of TREES)
  test(`a picture: ${what}`, async (t) => t.is(await drawn(networks, how), text));
