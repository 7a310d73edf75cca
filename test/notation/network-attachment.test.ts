import test from 'ava';
import { parseLink, parseNetworkAttachment } from '../../src/notation/network-attachment.ts';

for (const [text, expected] of [
  ['mine', { name: 'mine' }],
  ['', { name: '' }],
  ['=x', { name: '=x' }],
  ['container:x', { name: 'container:x' }],
  ['name=mine', { name: 'mine' }],
  [
    'name=mine,alias=a,ALIAS=b,ip=10.0.0.2,ip6=fd00::2,mac-address=02:00:00:00:00:01,link-local-ip=169.254.1.1',
    {
      name: 'mine',
      aliases: ['a', 'b'],
      ipv4: '10.0.0.2',
      ipv6: 'fd00::2',
      mac: '02:00:00:00:00:01',
      linkLocal: ['169.254.1.1'],
    },
  ],
  [
    'name=mine,gw-priority=-5,driver-opt=a=b,"driver-opt=c=d,e"',
    { name: 'mine', gatewayPriority: -5, driverOptions: { a: 'b', c: 'd,e' } },
  ],
] as const)
  test(`--network ${text}`, (t) => t.deepEqual(parseNetworkAttachment(text), expected as never));

for (const [text, message] of [
  ['none,alias=x', 'invalid field none'],
  ['name=a,link=x', 'invalid field key link'],
  ['name=a,gw-priority=x', 'invalid gw-priority (x): invalid syntax'],
  ['name=a,driver-opt=x', 'invalid key value pair format in driver options'],
  ['alias=x', 'network name/id is not specified'],
] as const)
  test(`refused: --network ${text}`, (t) => t.throws(() => parseNetworkAttachment(text), { message }));

test('links', (t) => {
  t.deepEqual(parseLink('db'), { container: 'db', alias: 'db' });
  t.deepEqual(parseLink('db:database'), { container: 'db', alias: 'database' });
  t.deepEqual(parseLink('db:'), { container: 'db', alias: 'db' });
  t.throws(() => parseLink('a:b:c'), { message: 'bad format for links: a:b:c' });
  t.throws(() => parseLink(''), { message: 'empty string specified for links' });
});
