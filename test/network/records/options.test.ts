import test from 'ava';
import { networkSettings } from '../../../src/network/records/options.ts';

const PLAIN = { neighbours: true, metadata: false, isolated: { ipv4: false, ipv6: false } };

for (const [text, expected] of [
  ['com.docker.network.bridge.enable_icc=false', { neighbours: false }],
  ['com.docker.network.bridge.enable_ip_masquerade=true', {}],
  ['com.docker.network.bridge.host_binding_ipv4=127.0.0.1', { hostBinding: '127.0.0.1' }],
  ['com.docker.network.bridge.name=br-x', {}],
  ['com.docker.network.driver.mtu=1400', { mtu: 1400 }],
  ['com.docker.network.bridge.gateway_mode_ipv4=isolated', { isolated: { ipv4: true, ipv6: false } }],
  ['com.docker.network.bridge.gateway_mode_ipv6=nat', {}],
  ['husk.metadata=1', { metadata: true }],
] as const)
  test(text, (t) => {
    const [key = '', value = ''] = text.split('=');
    t.deepEqual(networkSettings({ [key]: value }), { ...PLAIN, ...expected });
  });

for (const [text, message] of [
  ['com.docker.network.bridge.enable_icc=maybe', /neither true nor false/],
  ['com.docker.network.bridge.enable_ip_masquerade=false', /goes through a process of yours/],
  ['com.docker.network.bridge.host_binding_ipv4=::1', /no IPv4 address/],
  ['com.docker.network.bridge.name=a/b', /no name of an interface/],
  ['com.docker.network.bridge.gateway_mode_ipv4=routed', /only the host's root/],
  ['com.docker.network.bridge.gateway_mode_ipv4=x', /use nat or isolated/],
  ['com.docker.network.driver.mtu=67', /not from 68 to 65520/],
  ['com.docker.network.driver.mtu=x', /not from 68 to 65520/],
  ['parent=eth0', /^unknown option "parent" of a network/],
  ['constructor=x', /^unknown option "constructor" of a network/],
] as const)
  test(`refused: ${text}`, (t) => {
    const [key = '', value = ''] = text.split('=');
    t.throws(() => networkSettings({ [key]: value }), { message });
  });
