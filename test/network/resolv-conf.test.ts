import test from 'ava';
import { ownResolvConf } from '../../src/network/resolv-conf.ts';

const NONE = { dns: [], search: [], options: [] };
const BASED = "# Based on host file: '/etc/resolv.conf' (internal resolver)\n";
const host = (address: string) => ({ address, from: 'host' });
const container = (address: string) => ({ address, from: 'container' });

for (const [what, file, options, head, comments, resolvers, ndotsSet] of [
  [
    'the host’s',
    'nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\noptions edns0 trust-ad\n',
    {},
    'search a.example b.example\noptions edns0 trust-ad ndots:0\n',
    '# ExtServers: [host(192.0.2.1) host(2001:db8::1)]\n# Overrides: []\n# Option ndots from: internal\n',
    [host('192.0.2.1'), host('2001:db8::1')],
    false,
  ],
  [
    'the host’s loopback and zone',
    'nameserver 127.0.0.53\nnameserver fe80::1%wlan0\n',
    {},
    'options ndots:0\n',
    '# ExtServers: [host(127.0.0.53) host(fe80::1%wlan0)]\n# Overrides: []\n# Option ndots from: internal\n',
    [host('127.0.0.53'), host('fe80::1%wlan0')],
    false,
  ],
  [
    'nothing',
    '',
    {},
    'options ndots:0\n',
    '# NO EXTERNAL NAMESERVERS DEFINED\n# Overrides: []\n# Option ndots from: internal\n',
    [],
    false,
  ],
  [
    'what is no address',
    'nameserver resolver.example\nnameserver 192.0.2.1\nnameserver 1.2.3\n',
    {},
    'options ndots:0\n',
    '# ExtServers: [host(192.0.2.1)]\n# Invalid nameservers: [resolver.example 1.2.3]\n# Overrides: []\n# Option ndots from: internal\n',
    [host('192.0.2.1')],
    false,
  ],
  [
    'ndots of the host’s',
    'nameserver 192.0.2.1\noptions ndots:2\n',
    {},
    'options ndots:2\n',
    '# ExtServers: [host(192.0.2.1)]\n# Overrides: []\n# Option ndots from: host\n',
    [host('192.0.2.1')],
    true,
  ],
  [
    'ndots that is no number',
    'nameserver 192.0.2.1\noptions ndots:x ndots ndots:-1 rotate\n',
    {},
    'options rotate ndots:0\n',
    '# ExtServers: [host(192.0.2.1)]\n# Overrides: []\n# Option ndots from: internal\n',
    [host('192.0.2.1')],
    false,
  ],
  [
    '--dns',
    'nameserver 192.0.2.1\nsearch a\n',
    { dns: ['192.0.2.7', '127.0.0.1'] },
    'search a\noptions ndots:0\n',
    '# ExtServers: [192.0.2.7 127.0.0.1]\n# Overrides: [nameservers]\n# Option ndots from: internal\n',
    [container('192.0.2.7'), container('127.0.0.1')],
    false,
  ],
  [
    '--dns of the server itself',
    '',
    { dns: ['127.0.0.11', '192.0.2.7'] },
    'options ndots:0\n',
    '# ExtServers: [127.0.0.11 192.0.2.7]\n# Overrides: [nameservers]\n# Option ndots from: internal\n',
    [container('192.0.2.7')],
    false,
  ],
  [
    '--dns-search',
    'nameserver 192.0.2.1\nsearch a\n',
    { search: ['b', 'c'] },
    'search b c\noptions ndots:0\n',
    '# ExtServers: [host(192.0.2.1)]\n# Overrides: [search]\n# Option ndots from: internal\n',
    [host('192.0.2.1')],
    false,
  ],
  [
    '--dns-search .',
    'nameserver 192.0.2.1\nsearch a\n',
    { search: ['.'] },
    'options ndots:0\n',
    '# ExtServers: [host(192.0.2.1)]\n# Overrides: [search]\n# Option ndots from: internal\n',
    [host('192.0.2.1')],
    false,
  ],
  [
    '--dns-option',
    'nameserver 192.0.2.1\noptions ndots:5 edns0\n',
    { options: ['rotate'] },
    'options rotate ndots:0\n',
    '# ExtServers: [host(192.0.2.1)]\n# Overrides: [options]\n# Option ndots from: internal\n',
    [host('192.0.2.1')],
    false,
  ],
  [
    '--dns-option ndots:3',
    'nameserver 192.0.2.1\n',
    { options: ['ndots:3'] },
    'options ndots:3\n',
    '# ExtServers: [host(192.0.2.1)]\n# Overrides: [options]\n# Option ndots from: override\n',
    [host('192.0.2.1')],
    true,
  ],
  [
    'all of it',
    'nameserver 192.0.2.1\nsearch a\noptions edns0\n',
    { dns: ['192.0.2.7'], search: ['b'], options: ['ndots:0'] },
    'search b\noptions ndots:0\n',
    '# ExtServers: [192.0.2.7]\n# Overrides: [nameservers search options]\n# Option ndots from: override\n',
    [container('192.0.2.7')],
    true,
  ],
] as const)
  test(`resolv.conf: ${what}`, (t) => {
    const made = ownResolvConf(file, { ...NONE, ...options });
    t.is(made.text, `nameserver 127.0.0.11\n${head}\n${BASED}${comments}`);
    t.deepEqual(made.resolvers, [...resolvers]);
    t.is(made.ndotsSet, ndotsSet);
  });
