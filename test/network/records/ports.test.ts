import test from 'ava';
import { claimPorts, releasePorts } from '../../../src/network/records/ports.ts';
import type { PublishedPort } from '../../../src/state/containers.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { openRecords } from './fixture.ts';

const ALIVE = identifySelf();
const DEAD = { ...ALIVE, startTime: '1' };
const port = (hostIp: string, hostPort = 8080, protocol: 'tcp' | 'udp' = 'tcp'): PublishedPort => ({
  protocol,
  hostIp,
  hostPort,
  containerPort: 80,
});

for (const [one, other, message] of [
  [port('0.0.0.0'), port('0.0.0.0'), 'Bind for 0.0.0.0:8080 failed: port is already allocated'],
  [port('0.0.0.0'), port('127.0.0.1'), 'Bind for 127.0.0.1:8080 failed: port is already allocated'],
  [port('127.0.0.1'), port('0.0.0.0'), 'Bind for 0.0.0.0:8080 failed: port is already allocated'],
  [port('::'), port('::1'), 'Bind for [::1]:8080 failed: port is already allocated'],
  [port('0.0.0.0'), port('::'), undefined],
  [port('127.0.0.1'), port('127.0.0.2'), undefined],
  [port('0.0.0.0'), port('0.0.0.0', 8081), undefined],
  [port('0.0.0.0'), port('0.0.0.0', 8080, 'udp'), undefined],
] as const)
  test(`${one.hostIp} and ${other.hostIp}:${other.hostPort}/${other.protocol}${message ? '' : ' go together'}`, (t) => {
    const { database } = openRecords();
    claimPorts(database, { containerId: 'one', ports: [one], claim: ALIVE });
    const second = () => claimPorts(database, { containerId: 'two', ports: [port('0.0.0.0', 9), other], claim: ALIVE });
    if (message === undefined) t.notThrows(second);
    else {
      t.throws(second, { message });
      // all or none
      t.is(database.prepare('SELECT count(*) AS n FROM published_ports').get()!['n'], 1);
    }
  });

test('one’s own, those that are given back, and those of the dead are free', (t) => {
  const { database } = openRecords();
  const claim = (containerId: string, by = ALIVE) =>
    claimPorts(database, { containerId, ports: [port('0.0.0.0')], claim: by });
  claim('one');
  t.notThrows(() => claim('one'));
  releasePorts(database, 'one');
  t.notThrows(() => claim('two', DEAD));
  t.notThrows(() => claim('three'));
  t.throws(() => claim('four'), { message: /already allocated/ });
});
