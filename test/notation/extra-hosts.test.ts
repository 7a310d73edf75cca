import test from 'ava';
import { parseExtraHost } from '../../src/notation/extra-hosts.ts';

for (const [text, name, ip] of [
  ['db:10.0.0.1', 'db', '10.0.0.1'],
  ['db=10.0.0.1', 'db', '10.0.0.1'],
  ['db:::1', 'db', '::1'],
  ['db:[::1]', 'db', '::1'],
  ['db=[::1]', 'db', '::1'],
  ['gate:host-gateway', 'gate', 'host-gateway'],
] as const)
  test(text, (t) => t.deepEqual(parseExtraHost(text), { name, ip }));

for (const [text, message] of [
  ['db', 'bad format for add-host: "db"'],
  [':1.1.1.1', 'bad format for add-host: ":1.1.1.1"'],
  // a name must not become a line of its own
  ['db\n6.6.6.6 hub:1.1.1.1', 'bad format for add-host: "db\\n6.6.6.6 hub:1.1.1.1"'],
  ['db:1.1.1', 'invalid IP address in add-host: "1.1.1"'],
  ['db:1.1.1.1\n6.6.6.6 x', 'invalid IP address in add-host: "1.1.1.1\\n6.6.6.6 x"'],
] as const)
  test(`refused: ${JSON.stringify(text)}`, (t) => t.throws(() => parseExtraHost(text), { message }));
