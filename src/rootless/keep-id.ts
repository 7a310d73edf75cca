/**
 * `--userns=keep-id`: the caller's own id stays at one place of the container (its own number, or one that was asked
 * for), and root of the container is a subordinate id. The map is the usual one with two ids exchanged: the one at the
 * caller's usual place (root), and the one at the wanted place. So every other id is the same host id in every
 * container, and files in volumes keep their owners but for these two. Nothing here touches the system except for
 * asking the caller's own id.
 */
import type { IdMapping, Linux } from '../spec.ts';
import type { IdMaps } from './idmap.ts';

/** the container's ids that are the caller's */
export interface KeptIds {
  uid: number;
  gid: number;
}

/** @returns the container's maps for these ids, made from the usual ones */
export function keepIdMaps(maps: IdMaps, kept: KeptIds): IdMaps {
  return { ...maps, uid: keepId(maps.uid, kept.uid), gid: keepId(maps.gid, kept.gid) };
}

/**
 * @param map the usual one, in which container id 0 is the caller
 * @returns the map with container id `kept` as the caller, and the former host id of `kept` as container id 0; where
 * the map does not reach `kept`, root takes the host id of the map's last id
 */
export function keepId(map: readonly IdMapping[], kept: number): IdMapping[] {
  const last = map.at(-1)!;
  const own = hostOf(map, 0)!;
  if (kept === 0) return [...map];
  const given = hostOf(map, kept);
  // When root takes the last id of the map, that id has no place of its own any more.
  const rest = given === undefined ? without(map, last.containerID + last.size - 1) : without(map, kept);
  const root = given ?? last.hostID + last.size - 1;
  return joined([
    { containerID: 0, hostID: root, size: 1 },
    ...without(rest, 0),
    { containerID: kept, hostID: own, size: 1 },
  ]);
}

/** @returns the kept ids and maps of a spec that has some; undefined for the usual maps */
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
 * Translates a map to host ids into one to the ids of a namespace with the map `inner`, for a process in that
 * namespace. The container ids stay; both maps have the same host ids.
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

/** Sorts the lines and joins neighbours, because the kernel takes only 340 lines. */
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
