import test from 'ava';
import { lease } from '../../../src/network/records/leases.ts';
import { claimPorts } from '../../../src/network/records/ports.ts';
import { releaseNetworks } from '../../../src/network/records/release.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';
import { network, openRecords } from './fixture.ts';

test('all that a container had, and nothing of another', (t) => {
  const { database, records } = openRecords();
  const made = network('net');
  records.insert(made);
  const claim = identifySelf();
  for (const [index, containerId] of ['one', 'two'].entries()) {
    lease(database, { network: made, containerId, interface: 'eth0', wanted: {}, names: [containerId], claim });
    const port = { protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080 + index, containerPort: 80 } as const;
    claimPorts(database, { containerId, ports: [port], claim });
  }
  releaseNetworks(database, 'one');
  for (const table of ['leases', 'network_names', 'published_ports'])
    t.deepEqual(
      database
        .prepare(`SELECT container_id FROM ${table}`)
        .all()
        .map((row) => row['container_id']),
      ['two'],
    );
});
