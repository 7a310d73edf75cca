import test from 'ava';
import { linkHosts, type LinkedContainer, linkVariables } from '../../src/network/hosts-lines.ts';

const DB: LinkedContainer = { name: 'redis1', hostname: '0123456789ab', ipv4: '172.17.0.2', env: [], exposed: [] };

for (const [what, alias, linked, lines] of [
  ['an alias', 'db', {}, ['172.17.0.2\tdb 0123456789ab redis1']],
  ['the name itself', 'redis1', {}, ['172.17.0.2\tredis1 0123456789ab']],
  ['a host name', 'db', { hostname: 'h' }, ['172.17.0.2\tdb h redis1']],
  ['IPv6 too', 'db', { ipv6: 'fd00::2' }, ['172.17.0.2\tdb 0123456789ab redis1', 'fd00::2\tdb 0123456789ab redis1']],
  ['IPv6 alone', 'db', { ipv4: undefined, ipv6: 'fd00::2' }, ['fd00::2\tdb 0123456789ab redis1']],
  ['no address', 'db', { ipv4: '' }, []],
] as const)
  test(`/etc/hosts for ${what}`, (t) =>
    t.deepEqual(linkHosts(alias, { ...DB, ...linked } as LinkedContainer), [...lines]));

/** what one port gives */
const port = (prefix: string, number: number, protocol = 'tcp') => {
  const name = `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
  return [
    `${name}=${protocol}://172.17.0.2:${number}`,
    `${name}_ADDR=172.17.0.2`,
    `${name}_PORT=${number}`,
    `${name}_PROTO=${protocol}`,
  ];
};
/** what ports in a row give together */
const range = (prefix: string, first: number, last: number, protocol = 'tcp') => {
  const name = `${prefix}_PORT_${first}_${protocol.toUpperCase()}`;
  return [
    `${name}_START=${protocol}://172.17.0.2:${first}`,
    `${name}_PORT_START=${first}`,
    `${name}_END=${protocol}://172.17.0.2:${last}`,
    `${name}_PORT_END=${last}`,
  ];
};
const NAME = 'DB_NAME=/web/db';

for (const [what, alias, exposed, env, variables] of [
  ['nothing', 'db', [], [], [NAME]],
  ['a port', 'db', ['6379/tcp'], [], ['DB_PORT=tcp://172.17.0.2:6379', ...port('DB', 6379), NAME]],
  ['a port of UDP', 'db', ['53/udp'], [], ['DB_PORT=udp://172.17.0.2:53', ...port('DB', 53, 'udp'), NAME]],
  ['a port without a protocol', 'db', ['80'], [], ['DB_PORT=tcp://172.17.0.2:80', ...port('DB', 80), NAME]],
  [
    'numbers in order',
    'db',
    ['443/tcp', '80/tcp'],
    [],
    ['DB_PORT=tcp://172.17.0.2:80', ...port('DB', 80), ...port('DB', 443), NAME],
  ],
  [
    'TCP first',
    'db',
    ['53/sctp', '9/udp', '80/tcp'],
    [],
    ['DB_PORT=tcp://172.17.0.2:80', ...port('DB', 80), ...port('DB', 53, 'sctp'), ...port('DB', 9, 'udp'), NAME],
  ],
  [
    'ports in a row',
    'db',
    ['1/tcp', '2/tcp', '3/tcp'],
    [],
    ['DB_PORT=tcp://172.17.0.2:1', ...port('DB', 1), ...port('DB', 2), ...port('DB', 3), ...range('DB', 1, 3), NAME],
  ],
  [
    'a row, and one that is none',
    'db',
    ['1/tcp', '2/tcp', '9/tcp'],
    [],
    ['DB_PORT=tcp://172.17.0.2:1', ...port('DB', 1), ...port('DB', 2), ...port('DB', 9), ...range('DB', 1, 2), NAME],
  ],
  [
    'two rows',
    'db',
    ['1/tcp', '2/tcp', '8/tcp', '9/tcp'],
    [],
    [
      'DB_PORT=tcp://172.17.0.2:1',
      ...port('DB', 1),
      ...port('DB', 2),
      ...port('DB', 8),
      ...range('DB', 1, 2),
      ...port('DB', 9),
      ...range('DB', 8, 9),
      NAME,
    ],
  ],
  [
    'numbers in a row of two protocols',
    'db',
    ['1/tcp', '2/udp'],
    [],
    ['DB_PORT=tcp://172.17.0.2:1', ...port('DB', 1), ...port('DB', 2, 'udp'), NAME],
  ],
  ['an alias with signs', 'my-db.x', [], [], ['MY_DB.X_NAME=/web/my-db.x']],
  ['variables', 'db', [], ['A=b', 'lower=x=y', 'EMPTY='], [NAME, 'DB_ENV_A=b', 'DB_ENV_lower=x=y', 'DB_ENV_EMPTY=']],
  ['a variable of two lines', 'db', [], ['A=b\nc'], [NAME, 'DB_ENV_A=b\nc']],
  ['what an image sets for itself', 'db', [], ['PATH=/bin', 'HOME=/root', 'PATHS=x'], [NAME, 'DB_ENV_PATHS=x']],
  ['a variable without a value', 'db', [], ['A'], [NAME]],
] as const)
  test(`variables of ${what}`, (t) =>
    t.deepEqual(linkVariables('web', alias, { ...DB, exposed, env }), [...variables]));
