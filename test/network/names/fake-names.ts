/** Names of two networks as the state would know them. */
import type { NameSource } from '../../../src/network/names/answer.ts';
import { meanings } from '../../../src/network/names/qualified.ts';

interface Row {
  network: string;
  name: string;
  ipv4?: string;
  ipv6?: string;
  /** an alias of a link: the container that has it */
  only?: string;
}

const ROWS: readonly Row[] = [
  { network: 'front', name: 'web', ipv4: '172.18.0.2', ipv6: 'fd00:1::2' },
  { network: 'front', name: 'pool', ipv4: '172.18.0.3' },
  { network: 'front', name: 'pool', ipv4: '172.18.0.4' },
  { network: 'front', name: 'pool', ipv4: '172.18.0.5' },
  { network: 'back', name: 'six', ipv6: 'fd00:2::6' },
  { network: 'back', name: 'db', ipv4: '172.19.0.2' },
  { network: 'back.two', name: 'db', ipv4: '172.20.0.2' },
  { network: 'back', name: 'mysql', ipv4: '172.19.0.2', only: 'me' },
  ...Array.from({ length: 100 }, (_, index) => ({ network: 'front', name: 'many', ipv4: `172.18.1.${index}` })),
];

export const ASKER = 'me';

export const NAMES: NameSource = {
  lookup(name, asker) {
    for (const meaning of meanings(name)) {
      const rows = ROWS.filter(
        (row) =>
          row.name === meaning.name &&
          (meaning.network ?? row.network) === row.network &&
          (row.only ?? asker) === asker,
      );
      if (rows.length > 0)
        return { ipv4: rows.flatMap(({ ipv4 }) => ipv4 ?? []), ipv6: rows.flatMap(({ ipv6 }) => ipv6 ?? []) };
    }
    return undefined;
  },
  reverse(address) {
    const row = ROWS.find(({ ipv4, ipv6 }) => ipv4 === address || ipv6 === address);
    return row && `${row.name}.${row.network}`;
  },
};
