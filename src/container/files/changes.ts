/**
 * Finds what a container has changed of its image, by comparing overlay's upper folder with what lies below. The rules
 * are Docker's (moby pkg/archive changes.go): a folder counts as changed when its mode or owner differs or something in
 * it changed; a file also when its size or time differs. The comparison reads names and attributes only.
 */
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { O_PATH, reopen } from '../../host/files/file-at.ts';
import { HuskError } from '../../errors.ts';
import type { ByteString } from '../../tar/byte-string.ts';
import { factsAt, factsOf, openName, type Facts } from './facts.ts';
import { namesIn } from './names.ts';
import type { UpperLayer } from './upper.ts';

export interface Change {
  kind: 'A' | 'C' | 'D';
  /** path without a leading slash */
  path: ByteString;
}

/** deepest nesting of folders; a path that the kernel takes has at most half as many */
const MAX_DEPTH = 2048;

/** @param upper,lower descriptors of folders, which the caller closes */
export function* changesOf(upper: number, lower: number, layer: UpperLayer): Generator<Change, void, void> {
  yield* compare({ upper, lower, path: '', depth: 0 }, layer);
}

interface Folder {
  upper: number;
  /** undefined: the image has no such folder */
  lower: number | undefined;
  path: ByteString;
  depth: number;
}

/** @returns whether there was any change */
function* compare(folder: Folder, layer: UpperLayer): Generator<Change, boolean, void> {
  const { upper, lower, path, depth } = folder;
  if (depth > MAX_DEPTH)
    throw new HuskError(`cannot compare with the image: folders are nested deeper than ${MAX_DEPTH}`, {
      kind: 'limit',
    });
  let changed = false;
  const names = namesIn(upper);
  for (const name of names) {
    const at = path === '' ? name : `${path}/${name}`;
    using opened = openName(upper, name);
    if (opened === undefined) continue;
    const fd = opened.number;
    const facts = factsOf(fd);
    if (layer.isOwn(at, fd, facts)) continue;
    const hidden = layer.hidden(name, facts);
    if (hidden === undefined) changed = (yield* one({ fd, facts, name, at }, folder, layer)) || changed;
    else if (hidden !== '' && lower !== undefined && factsAt(lower, hidden)) {
      yield { kind: 'D', path: path === '' ? hidden : `${path}/${hidden}` };
      changed = true;
    }
  }
  if (lower === undefined || !layer.isOpaque(upper)) return changed;
  const own = new Set(names);
  for (const name of namesIn(lower)) {
    if (own.has(name)) continue;
    yield { kind: 'D', path: path === '' ? name : `${path}/${name}` };
    changed = true;
  }
  return changed;
}

function* one(
  item: { fd: number; facts: Facts; name: ByteString; at: ByteString },
  { lower, depth }: Folder,
  layer: UpperLayer,
): Generator<Change, boolean, void> {
  const { fd, facts, name, at } = item;
  using below = lower === undefined ? undefined : openName(lower, name);
  const before = below && factsOf(below.number);
  const kind = before === undefined ? 'A' : 'C';
  if (facts.type !== 'directory') {
    if (before && !differs(facts, before)) return false;
    yield { kind, path: at };
    return true;
  }
  const both = before?.type === 'directory' ? below?.number : undefined;
  using folder = new Fd(reopen(fd, O_PATH | host.O_DIRECTORY | host.O_CLOEXEC));
  const inside = yield* compare({ upper: folder.number, lower: both, path: at, depth: depth + 1 }, layer);
  if (before && !inside && !differs(facts, before)) return false;
  yield { kind, path: at };
  return true;
}

function differs(now: Facts, before: Facts): boolean {
  if (
    now.mode !== before.mode ||
    now.uid !== before.uid ||
    now.gid !== before.gid ||
    now.deviceMajor !== before.deviceMajor ||
    now.deviceMinor !== before.deviceMinor
  )
    return true;
  return (
    now.type !== 'directory' &&
    (now.size !== before.size || now.mtime !== before.mtime || now.mtimeNanoseconds !== before.mtimeNanoseconds)
  );
}
