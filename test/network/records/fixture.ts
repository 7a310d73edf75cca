/** A database of its own with a network in it. */
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Network } from '../../../src/network/records/contract.ts';
import { NetworkRecords } from '../../../src/network/records/records.ts';
import { openDatabase } from '../../../src/state/database.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

export function openRecords(): { file: string; database: DatabaseSync; records: NetworkRecords } {
  const file = join(temporaryFolder('husk-networks-'), 'husk.db');
  const database = openDatabase(file);
  return { file, database, records: new NetworkRecords(database) };
}

/** One that is in no database yet. @param name also what its id is made of */
export function network(name: string, more: Partial<Network> = {}): Network {
  return {
    id: Buffer.from(name.padEnd(32, '\0')).toString('hex'),
    name,
    createdAt: 0,
    driver: 'bridge',
    options: {},
    labels: {},
    internal: false,
    attachable: false,
    ipv4: true,
    ipv6: false,
    ipam: [{ subnet: '10.0.0.0/16', gateway: '10.0.0.1', auxiliary: {} }],
    ...more,
  };
}
