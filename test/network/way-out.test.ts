/**
 * When there is a forwarder for a resolver on the host's loopback: never beside a resolver that containers ask by its
 * own address.
 */
import test from 'ava';
import { dnsForward } from '../../src/network/way-out.ts';

const FORWARDED = ['--dns-forward', '169.254.1.1'];
const HOSTS: [what: string, resolvConf: string, arguments_: string[]][] = [
  ['on the loopback', 'search example.org\nnameserver 127.0.0.53\n', FORWARDED],
  ['on the loopback first', '# nameserver 192.0.2.1\n\tnameserver\t127.0.0.1\nnameserver 192.0.2.1\n', FORWARDED],
  ['on the loopback, as the first of IPv4, which pasta takes', 'nameserver ::1\nnameserver 127.0.0.1\n', FORWARDED],
  ['elsewhere', 'nameserver 192.0.2.1\n', []],
  ['elsewhere first', 'nameserver 192.0.2.1\nnameserver 127.0.0.1\n', []],
  ['IPv6 alone', 'nameserver 2001:db8::1\n', []],
  ['none', '', []],
];
for (const [what, resolvConf, expected] of HOSTS)
  test(`a resolver: ${what}`, (t) => t.deepEqual(dnsForward(resolvConf), expected));
