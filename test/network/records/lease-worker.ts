/**
 * lease-worker DATABASE NETWORK FIRST COUNT: takes COUNT addresses for containers of its own, says which, and lives
 * until its stdin ends. Started several times at once by leases.test.ts.
 */
import { NetworkRecords } from '../../../src/network/records/records.ts';
import { lease } from '../../../src/network/records/leases.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { identifySelf } from '../../../src/state/process-identity.ts';

const [file = '', name = '', first = '0', count = '0'] = process.argv.slice(2);
using database = openDatabase(file);
const network = new NetworkRecords(database).get(name);
const addresses = Array.from({ length: Number(count) }, (_, index) => {
  const containerId = String(Number(first) + index);
  return lease(database, {
    network,
    containerId,
    interface: 'eth0',
    wanted: {},
    names: [`c${containerId}`],
    claim: identifySelf(),
  }).ipv4!.address;
});
process.stdout.write(`${JSON.stringify(addresses)}\n`);
for await (const _ of process.stdin);
