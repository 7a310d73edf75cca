import test from 'ava';
import { hostsLines } from '../../../src/network/attach/own-hosts.ts';

const ENDPOINT = { networkId: '', network: 'one', endpointId: '', interface: 'eth0', mac: '', names: [] };
const IPV4 = { ...ENDPOINT, ipv4: { address: '10.0.0.2', prefix: 24 } };
const BOTH = { ...IPV4, ipv6: { address: 'fd00::2', prefix: 64 } };

test('each address with the host name, the domain before it', (t) => {
  t.is(hostsLines([], { hostname: 'h' }), '');
  t.is(hostsLines([IPV4, BOTH], { hostname: 'h' }), '10.0.0.2\th\n10.0.0.2\th\nfd00::2\th\n');
  t.is(hostsLines([IPV4], { hostname: 'h', domainname: 'd' }), '10.0.0.2\th.d h\n');
});

test('then those of others', (t) =>
  t.is(hostsLines([IPV4], { hostname: 'h' }, ['10.0.0.9\tdb']), '10.0.0.2\th\n10.0.0.9\tdb\n'));
