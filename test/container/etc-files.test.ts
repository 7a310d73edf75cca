import test from 'ava';
import { hostnameFile, hostsFile, resolveExtraHost, resolvConfFile } from '../../src/container/etc-files.ts';

const LOCAL =
  '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n';

const hosts: [string, Parameters<typeof hostsFile>[0], string][] = [
  ['nothing more', { extraHosts: [] }, LOCAL],
  ['an extra host', { extraHosts: [{ name: 'db', ip: '10.1.1.1' }] }, `${LOCAL}10.1.1.1\tdb\n`],
  ['an address', { hostname: 'c1', address: '172.17.0.2', extraHosts: [] }, `${LOCAL}172.17.0.2\tc1\n`],
  [
    'a domain',
    { hostname: 'c1', domainname: 'example.org', address: '172.17.0.2', extraHosts: [] },
    `${LOCAL}172.17.0.2\tc1.example.org c1\n`,
  ],
  [
    'the host network keeps the host file',
    { hostHosts: '127.0.0.1 me', extraHosts: [{ name: 'db', ip: '::2' }] },
    '127.0.0.1 me\n::2\tdb\n',
  ],
];
for (const [what, options, text] of hosts) test(`/etc/hosts with ${what}`, (t) => t.is(hostsFile(options), text));

test("host-gateway is the host's address", (t) => {
  t.deepEqual(
    resolveExtraHost({ name: 'a', ip: 'host-gateway' }, () => '10.0.2.2'),
    { name: 'a', ip: '10.0.2.2' },
  );
  t.deepEqual(
    resolveExtraHost({ name: 'a', ip: '::1' }, () => '10.0.2.2'),
    { name: 'a', ip: '::1' },
  );
  t.throws(() => resolveExtraHost({ name: 'a', ip: 'host-gateway' }, () => undefined), {
    message: 'unable to derive the IP value for host-gateway',
  });
});

test('/etc/hostname', (t) => t.is(hostnameFile('c1'), 'c1\n'));

const NONE = { dns: [], search: [], options: [], hostNetwork: false, fallback: [] };
const resolv: [string, string, Partial<Parameters<typeof resolvConfFile>[1]>, string][] = [
  [
    'the host file as it is',
    'nameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2 edns0\n',
    {},
    'nameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2 edns0\n',
  ],
  ['comments dropped', '# x\n; y\nnameserver 192.0.2.1 # mine\n', {}, 'nameserver 192.0.2.1\n'],
  ['loopback dropped', 'nameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver ::1\n', {}, 'nameserver 192.0.2.1\n'],
  ['the fallback when none remains', 'nameserver 127.0.0.53\n', { fallback: ['192.0.2.9'] }, 'nameserver 192.0.2.9\n'],
  ['loopback kept with the host network', 'nameserver 127.0.0.53\n', { hostNetwork: true }, 'nameserver 127.0.0.53\n'],
  ['--dns', 'nameserver 192.0.2.1\nsearch a\n', { dns: ['192.0.2.7'] }, 'nameserver 192.0.2.7\nsearch a\n'],
  ['--dns may be loopback: asked for is asked for', '', { dns: ['127.0.0.1'] }, 'nameserver 127.0.0.1\n'],
  ['--dns-search', 'nameserver 192.0.2.1\nsearch a\n', { search: ['b'] }, 'nameserver 192.0.2.1\nsearch b\n'],
  ['--dns-search .', 'nameserver 192.0.2.1\nsearch a\n', { search: ['.'] }, 'nameserver 192.0.2.1\n'],
  [
    '--dns-option',
    'nameserver 192.0.2.1\noptions a\n',
    { options: ['ndots:3'] },
    'nameserver 192.0.2.1\noptions ndots:3\n',
  ],
  ['domain is a search', 'nameserver 192.0.2.1\ndomain a\n', {}, 'nameserver 192.0.2.1\nsearch a\n'],
  ['nothing', '', {}, ''],
];
for (const [what, host, options, text] of resolv)
  test(`/etc/resolv.conf: ${what}`, (t) => t.is(resolvConfFile(host, { ...NONE, ...options }), text));
