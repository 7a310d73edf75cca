/** The config file: which keys it may have. What each does is tested where it does it. */
import test from 'ava';
import { parseConfig } from '../src/config.ts';

const REFUSED: [text: string, message: RegExp][] = [
  ['{ "toString": 1 }', /^the config F has an unknown key "toString"$/],
  ['{ "constructor": "x" }', /^the config F has an unknown key "constructor"$/],
  ['{ "__proto__": {} }', /^the config F has an unknown key "__proto__"$/],
  ['{ "nosuch": 1 }', /^the config F has an unknown key "nosuch"$/],
  ['{ "init": "yes" }', /^the config F: "init" must be true or false, not "yes"$/],
  ['{ "ip": "host" }', /^the config F: "ip" must be an IP address, not "host"$/],
  ['{ "host-gateway-ip": "" }', /^the config F: "host-gateway-ip" must be an IP address, not ""$/],
  ['{ "mtu": "1500" }', /^the config F: "mtu" must be a whole number above 0, not "1500"$/],
  ['{ "default-address-pools": [{ "base": "10.0.0.0/8" }] }', /"default-address-pools" must be a list of \{"base"/],
  ['{ "default-address-pools": [{ "base": "10.0.0.0/8", "size": 24, "x": 1 }] }', /must be a list of/],
  ['{ "default-address-pools": [null] }', /must be a list of/],
  ['[]', /^the config F is not a JSON object$/],
  ['{', /^the config F is not JSON: /],
];
for (const [text, message] of REFUSED)
  test(`refused: ${text}`, (t) => t.throws(() => parseConfig(text, 'F'), { message }));

test('what is known is taken', (t) =>
  t.deepEqual(parseConfig('{ "init": true, "dns": ["1.1.1.1"] }', 'F'), { init: true, dns: ['1.1.1.1'] }));

test('networks', (t) => {
  const config = {
    bip: '192.168.5.1/24',
    'default-address-pools': [{ base: '10.100.0.0/16', size: 24 }],
    mtu: 1400,
    ip: '127.0.0.1',
    'host-gateway-ip': 'fd00::1',
  };
  t.deepEqual(parseConfig(JSON.stringify(config), 'F'), config);
});
