import test from 'ava';
import { readNetworks } from '../../../src/engine/request/networks.ts';
import type { NetworkAttachment } from '../../../src/notation/network-attachment.ts';

test('one that is named alone', (t) => {
  t.deepEqual(readNetworks({ network: 'none' }), [{ mode: { kind: 'none' }, wanted: {} }]);
  t.deepEqual(readNetworks({ network: 'mine' }), [{ mode: { kind: 'named', name: 'mine' }, wanted: {} }]);
});

test('several, with what is wanted on them', (t) =>
  t.deepEqual(
    readNetworks({
      network: 'mine',
      networks: [
        { name: 'mine', mac: '02-00-00-00-00-0A', aliases: ['web'], links: ['db', 'cache:c'] },
        { name: 'other', ipv4: '10.0.0.5', gatewayPriority: 3 },
      ],
    }),
    [
      {
        mode: { kind: 'named', name: 'mine' },
        wanted: { mac: '02:00:00:00:00:0a', aliases: ['web'], links: ['db:db', 'cache:c'] },
      },
      { mode: { kind: 'named', name: 'other' }, wanted: { ipv4: '10.0.0.5', gatewayPriority: 3 } },
    ],
  ));

for (const [networks, message] of [
  [[{ name: 'a' }, { name: 'a' }], 'network "a" is specified multiple times'],
  [[{ name: 'a' }, { name: 'host' }], /^conflicting options: cannot attach both user-defined/],
  [[{ name: 'bridge', aliases: ['x'] }], 'network-scoped aliases are only supported for user-defined networks'],
  [[{ name: 'container:x', aliases: ['x'] }], 'network-scoped aliases are only supported for user-defined networks'],
  [[{ name: 'none', links: ['x'] }], 'links are only supported for user-defined networks'],
  [[{ name: ' ', ipv4: 'x' }], 'no name set for network'],
  [[{ name: 'a', mac: 'zz' }], 'zz is not a valid mac address'],
  [[{ name: 'none', mac: '02:00:00:00:00:01' }], 'conflicting options: mac-address and the network mode'],
  [[{ name: 'a', links: ['a:b:c'] }], 'bad format for links: a:b:c'],
  [[{ name: 'a', linkLocal: ['169.254.1.1'] }], /^--link-local-ip 169\.254\.1\.1: /],
  [[{ name: 'container:' }], '--network: invalid container format container:<name|id>'],
] as [NetworkAttachment[], string | RegExp][])
  test(`refused: ${JSON.stringify(networks)}`, (t) =>
    t.throws(() => readNetworks({ network: networks[0]!.name, networks }), { message }));
