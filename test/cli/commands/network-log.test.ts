/** `husk network log`: the lines that it prints, and what it asks of the engine. */
import test from 'ava';
import type { RefusedConnection } from '../../../src/engine/contract.ts';
import { husk, NOW } from '../fake-context.ts';

type Asked = Parameters<import('../../../src/engine/contract.ts').Engine['refusals']>[0];

async function log(
  words: readonly string[],
  refusals: readonly Partial<RefusedConnection>[],
  terminal?: { columns: number; rows: number },
) {
  const asked: Asked[] = [];
  const engine = {
    async *refusals(options: Asked) {
      asked.push(options);
      yield* refusals.map((given): RefusedConnection => ({ ...WHOLE, ...given }));
    },
  };
  const outcome = await husk(['network', 'log', ...words], {
    engine,
    env: { TZ: 'UTC' },
    ...(terminal && { terminal }),
  });
  return { ...outcome, asked };
}

const WHOLE: RefusedConnection = {
  time: NOW,
  container: { id: 'c'.repeat(64), name: 'app' },
  network: 'front',
  protocol: 'tcp',
  destination: '192.0.2.1',
  port: 443,
  reason: 'no rule allows it',
  rules: [],
};

const LINES: [what: string, given: Partial<RefusedConnection>, line: RegExp][] = [
  ['a connection', {}, /^\S+ app front tcp 192\.0\.2\.1:443 \(no rule allows it\)\n$/],
  ['of IPv6', { destination: '2001:db8::1' }, / tcp \[2001:db8::1\]:443 \(/],
  ['without ports', { protocol: 'icmp', port: undefined as never }, / icmp 192\.0\.2\.1 \(/],
  [
    'of IPv6 without ports',
    { protocol: 'icmpv6', destination: 'fd00::1', port: undefined as never },
    / icmpv6 fd00::1 \(/,
  ],
  [
    'a name, which is of no network',
    {
      network: undefined as never,
      protocol: 'dns',
      destination: 'a.example',
      port: undefined as never,
      reason: 'no rule names it',
    },
    /^\S+ app dns a\.example \(no rule names it\)\n$/,
  ],
  ['its time, of this host', {}, /^2026-01-0[123]T\d\d:\d\d:05\.000000000(Z|[+-]\d\d:\d\d) app /],
];
for (const [what, given, expected] of LINES)
  test(`a line: ${what}`, async (t) => {
    const { code, stdout, stderr } = await log([], [given]);
    t.deepEqual([code, stderr], [0, '']);
    t.regex(stdout, expected);
  });

test('one after another, as they come', async (t) => {
  const { stdout } = await log([], [{ destination: '192.0.2.1' }, { destination: '192.0.2.2' }]);
  t.deepEqual(
    stdout.split('\n').map((line) => /192\S+/.exec(line)?.[0]),
    ['192.0.2.1:443', '192.0.2.2:443', undefined],
  );
});

test('a name that a terminal would obey', async (t) => {
  const { stdout } = await log([], [{ destination: '\x1b]0;x\x07' }], { columns: 80, rows: 24 });
  t.notRegex(stdout, /[\x1b\x07]/);
});

const FORMATS: [format: string, given: Partial<RefusedConnection>, printed: string][] = [
  ['{{.Container}} {{.Network}} {{.Protocol}} {{.Destination}} {{.Port}}', {}, 'app front tcp 192.0.2.1 443\n'],
  ['{{.ContainerID}}', {}, `${'c'.repeat(64)}\n`],
  ['{{.Time}} {{.Reason}}', {}, '2026-01-02T03:04:05.000Z no rule allows it\n'],
];
for (const [format, given, printed] of FORMATS)
  test(`--format ${format}`, async (t) => t.is((await log(['--format', format], [given])).stdout, printed));

test('--format json', async (t) => {
  const { stdout } = await log(['--format', 'json'], [{}]);
  t.like(JSON.parse(stdout), {
    Time: '2026-01-02T03:04:05.000Z',
    Container: 'app',
    ContainerID: 'c'.repeat(64),
    Network: 'front',
    Protocol: 'tcp',
    Destination: '192.0.2.1',
    Port: 443,
    Reason: 'no rule allows it',
  });
});

const ASKED: [words: string[], asked: Asked][] = [
  [[], { follow: false }],
  [['-f'], { follow: true }],
  [['--follow', 'app'], { of: 'app', follow: true }],
  [['--since', '1h', 'front'], { of: 'front', follow: false, since: BigInt(NOW - 3_600_000) * 1_000_000n }],
];
for (const [words, expected] of ASKED)
  test(`asked for: network log ${words.join(' ')}`, async (t) => t.deepEqual((await log(words, [])).asked, [expected]));

for (const [words, message] of [
  [['a', 'b'], /requires at most 1 argument/],
  [['--since', 'never'], /never/],
  [['--format', '{{.Nothing}}'], /Nothing/],
] as const)
  test(`refused: network log ${words.join(' ')}`, async (t) => {
    const { code, stdout, stderr } = await log(words, [{}]);
    t.deepEqual([code === 0, stdout], [false, '']);
    t.regex(stderr, message);
  });
