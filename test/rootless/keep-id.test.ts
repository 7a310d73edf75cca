import test from 'ava';
import { keepId, keptMaps, seenFrom } from '../../src/rootless/keep-id.ts';

const line = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });
/** of a person with uid 1000 */
const USUAL = [line(0, 1000, 1), line(1, 100_000, 65_536)];

for (const [title, kept, map] of [
  ["root's place: as ever", 0, USUAL],
  [
    'the own number',
    1000,
    [line(0, 100_999, 1), line(1, 100_000, 999), line(1000, 1000, 1), line(1001, 101_000, 64_536)],
  ],
  ['the first after root', 1, [line(0, 100_000, 1), line(1, 1000, 1), line(2, 100_001, 65_535)]],
  ['the last one', 65_536, [line(0, 165_535, 1), line(1, 100_000, 65_535), line(65_536, 1000, 1)]],
  [
    'one beyond the map: root takes the last id',
    900_000,
    [line(0, 165_535, 1), line(1, 100_000, 65_535), line(900_000, 1000, 1)],
  ],
] as const)
  test(`the caller's id at ${title}`, (t) => t.deepEqual(keepId(USUAL, kept), [...map]));

test('over several ranges all other ids stay where they are', (t) => {
  const several = [line(0, 1000, 1), line(1, 100_000, 10), line(11, 500_000, 20)];
  const at = (map: readonly { containerID: number; hostID: number; size: number }[], id: number) =>
    map.flatMap(({ containerID, hostID, size }) =>
      id >= containerID && id < containerID + size ? [hostID + id - containerID] : [],
    );
  for (let kept = 1; kept < 31; kept++) {
    const map = keepId(several, kept);
    for (let id = 0; id < 31; id++)
      t.deepEqual(at(map, id), at(several, id === 0 ? kept : id === kept ? 0 : id), `${kept}: ${id}`);
  }
});

test("a spec's maps tell the place", (t) => {
  const linux = {
    namespaces: [],
    uidMappings: keepId(USUAL, 1000),
    gidMappings: keepId([line(0, 100, 1), line(1, 100_000, 65_536)], 33),
  };
  t.deepEqual(keptMaps(linux, { uid: 1000, gid: 100 })!.kept, { uid: 1000, gid: 33 });
  t.is(keptMaps({ namespaces: [] }), undefined);
});

test('host ids as a namespace with the usual map has them', (t) =>
  t.deepEqual(seenFrom(keepId(USUAL, 1000), USUAL), [
    line(0, 1000, 1),
    line(1, 1, 999),
    line(1000, 0, 1),
    line(1001, 1001, 64_536),
  ]));
