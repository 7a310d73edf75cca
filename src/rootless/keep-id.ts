/**
 * `--userns=keep-id`: the caller's own id stays at one place of the container (its own number, or one that was asked
 * for) and root of the container is a subordinate id. The map is the usual one with two ids exchanged: where the
 * caller's stands usually (root), and the one that has the wanted place. So every other id is the same host id in
 * every container, and files in volumes keep their owners but for these two. Pure, but for the caller's own id.
 */
import type { IdMapping, Linux } from '../spec.ts';
import type { IdMaps } from './idmap.ts';

/** ids of the container that are the caller's */
export interface KeptIds {
  uid: number;
  gid: number;
}

/** The container's maps for these ids, out of the usual ones. */
export function keepIdMaps(maps: IdMaps, kept: KeptIds): IdMaps {
  return { ...maps, uid: keepId(maps.uid, kept.uid), gid: keepId(maps.gid, kept.gid) };
}

/**
 * @param map the usual one: container 0 is the caller
 * @returns the same with container `kept` as the caller, and its former host id as container 0; of an id that the map
 *   does not reach root takes the last one's
 */
export function keepId(map: readonly IdMapping[], kept: number): IdMapping[] {
  const last = map.at(-1)!;
  const own = hostOf(map, 0)!;
  if (kept === 0) return [...map];
  const given = hostOf(map, kept);
  // the last id of the map has no place of its own any more
  const rest = given === undefined ? without(map, last.containerID + last.size - 1) : without(map, kept);
  const root = given ?? last.hostID + last.size - 1;
  return joined([
    { containerID: 0, hostID: root, size: 1 },
    ...without(rest, 0),
    { containerID: kept, hostID: own, size: 1 },
  ]);
}

/** The kept ids and maps of a spec that has some; undefined: the usual maps. */
export function keptMaps(
  { uidMappings, gidMappings }: Linux,
  own = { uid: process.getuid!(), gid: process.getgid!() },
): { maps: IdMaps; kept: KeptIds } | undefined {
  if (!uidMappings || !gidMappings) return undefined;
  const at = (map: readonly IdMapping[], id: number) =>
    map.find(({ hostID, size }) => hostID === id && size === 1)?.containerID ?? 0;
  return {
    maps: { uid: uidMappings, gid: gidMappings, direct: false },
    kept: { uid: at(uidMappings, own.uid), gid: at(gidMappings, own.gid) },
  };
}

/**
 * A map to host ids as a process in a namespace with the map `inner` sees it: the same container ids, host ids as
 * `inner` has them. Both have the same host ids.
 */
export function seenFrom(map: readonly IdMapping[], inner: readonly IdMapping[]): IdMapping[] {
  return map.flatMap(({ containerID, hostID, size }) =>
    inner.flatMap((line) => {
      const from = Math.max(hostID, line.hostID);
      const to = Math.min(hostID + size, line.hostID + line.size);
      return to <= from
        ? []
        : [
            {
              containerID: containerID + from - hostID,
              hostID: line.containerID + from - line.hostID,
              size: to - from,
            },
          ];
    }),
  );
}

function hostOf(map: readonly IdMapping[], id: number): number | undefined {
  const line = map.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return line && line.hostID + id - line.containerID;
}

function without(map: readonly IdMapping[], id: number): IdMapping[] {
  return map.flatMap((line) => {
    const { containerID, hostID, size } = line;
    if (id < containerID || id >= containerID + size) return [line];
    const before = id - containerID;
    const pieces = [
      { containerID, hostID, size: before },
      { containerID: id + 1, hostID: hostID + before + 1, size: size - before - 1 },
    ];
    return pieces.filter((piece) => piece.size > 0);
  });
}

/** in order, neighbours as one line: the kernel takes 340 of them */
function joined(map: readonly IdMapping[]): IdMapping[] {
  const result: IdMapping[] = [];
  for (const line of [...map].sort((a, b) => a.containerID - b.containerID)) {
    const before = result.at(-1);
    if (before && before.containerID + before.size === line.containerID && before.hostID + before.size === line.hostID)
      before.size += line.size;
    else result.push({ ...line });
  }
  return result;
}
