/** Who owns what in a shared folder, as the guest and as the host have it. */
import test from 'ava';
import { mappedOwners, rootIsOwner, sameOwners, UNCHANGED } from '../../../src/vmm/devices/fs/attributes.ts';

/** root's range, and another after it */
const RANGES = [
  { containerID: 0, hostID: 1_000_000_000, size: 65_536 },
  { containerID: 65_536, hostID: 5000, size: 10 },
];
const mapped = mappedOwners({ uid: RANGES, gid: RANGES });

for (const [title, owners, host, guest] of [
  ['container root', mapped, [1_000_000_000, 1_000_000_000], [0, 0]],
  ['a user of the image', mapped, [1_000_000_070, 1_000_000_033], [70, 33]],
  ['the second range', mapped, [5009, 5000], [65_545, 65_536]],
  ['the same ids', sameOwners, [70, 33], [70, 33]],
  ['the VMM\'s own user', rootIsOwner(1000, 100), [1000, 100], [0, 0]],
] as const) {
  test(`${title}: as the guest sees it`, (t) => t.deepEqual(owners.toGuest(...(host as [number, number])), [...guest]));
  test(`${title}: as the host does`, (t) => t.deepEqual(owners.toHost(...(guest as [number, number])), [...host]));
}
for (const id of [0, 1000, 999_999_999, 1_000_065_536, 4999, 5010]) test(`host id ${id} is in no range: nobody`, (t) => t.deepEqual(mapped.toGuest(id, id), [65_534, 65_534]));
for (const id of [65_546, 1_000_000_000, UNCHANGED - 1]) test(`guest id ${id} is in no range: refused`, (t) => t.is(mapped.toHost(id, 0), undefined));
test('an id that is to stay stays', (t) => t.deepEqual(mapped.toHost(UNCHANGED, 5), [UNCHANGED, 1_000_000_005]));
