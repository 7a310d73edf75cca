/**
 * What `rmi` and `image prune` do to names, images and layers, with Docker's rules and texts. The rows are deleted in
 * one transaction. A layer's folder is renamed within it, so that no other process sees a row without its folder, and
 * is deleted afterwards.
 */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../errors.ts';
import { randomHex } from '../host/kernel/random.ts';
import type { Paths } from '../paths.ts';
import { transaction } from '../state/database.ts';
import { makeTmpFolder } from '../state/tmp-folder.ts';
import type { Blobs } from './store/blobs.ts';
import { PARENTS } from './layers/stack.ts';
import type { ImageRecords } from './store/records.ts';
import { layerFolder, layerTar } from './store/records.ts';
import type { Reference } from './store/reference.ts';
import { familiarReference, fullName, hexOf, isDigest, parseKey, shortId } from './store/reference.ts';

export interface RemovalContext {
  records: ImageRecords;
  blobs: Blobs;
  paths: Paths;
  /** deletes a folder in the user namespace, since it may hold files of other ids (unpacked trees) */
  removeTree: (path: string) => Promise<void>;
  /**
   * Whether a pull, an import or a build is under way, which may count on layers that are there. Called within the
   * transaction.
   */
  isClaimed: () => boolean;
}

interface UsingContainer {
  id: string;
  running: boolean;
}

export interface RemovalRequest {
  /** the name or id as typed, for messages */
  text: string;
  /** the key that was named; absent when the image was named by its id */
  name?: string;
  imageId: string;
  force: boolean;
  /** Called within the transaction, so that a container that is made meanwhile is not overlooked. */
  users: (imageId: string) => UsingContainer[];
  /** done in the same transaction: events of it */
  within: (removed: { untagged: string[]; deleted: string[] }) => void;
}

/** prefix of a removed layer's name in tmp/; its hex digits follow */
const REMOVED = 'removed-';

/** @returns what Docker prints, and other images that were deleted: those that a removed name stood for too */
export function removeImage(
  context: RemovalContext,
  request: RemovalRequest,
): { untagged: string[]; deleted: string[]; others: string[] } {
  const { records } = context;
  restoreRemoved(context);
  // The transaction's body may run again after room has been made on a full disk, so it leaves its findings in its
  // result alone.
  const { untagged, deleted, others, blobs } = transaction(records.database, () => {
    const indexed = indexedWith(context, request);
    const removed = { ...removeRows(context, request), others: [] as string[] };
    for (const id of indexed) {
      if (!isForgotten(context, id) || request.users(id).length > 0) continue;
      removed.untagged.push(...records.names(id).map((key) => familiarReference(parseKey(key))));
      const gone = deleteRows(context, id);
      removed.deleted.push(...gone.deleted);
      removed.blobs.push(...gone.blobs);
      removed.others.push(id);
    }
    request.within(removed);
    return removed;
  });
  for (const blob of blobs) context.blobs.remove(blob);
  return { untagged, deleted, others };
}

/** @returns the other images that a name of the image stands for, or any of its names where it is removed by its id */
function indexedWith({ records }: RemovalContext, { name, imageId }: RemovalRequest): string[] {
  const names = name === undefined ? records.names(imageId) : [name];
  const ids = names.flatMap((each) => records.indexOf(each)).map(({ id }) => id);
  return [...new Set(ids)].filter((id) => id !== imageId);
}

/** @returns whether no tag leads to an image any more: what a registry calls it by its digest does not count */
const isForgotten = ({ records }: RemovalContext, id: string): boolean =>
  records.indexedBy(id).length === 0 && records.names(id).every((key) => parseKey(key).digest !== undefined);

function removeRows(
  context: RemovalContext,
  request: RemovalRequest,
): { untagged: string[]; deleted: string[]; blobs: string[] } {
  const users = request.users(request.imageId);
  const untagged = untag(context, request, users);
  const untaggedOnly = { untagged, deleted: [] as string[], blobs: [] as string[] };
  const left = context.records.names(request.imageId);
  // A name was given and other names remain, so untagging is the whole removal.
  if (request.name !== undefined && left.length > 0) return untaggedOnly;
  const running = users.find((user) => user.running);
  const stopped = users.find((user) => !user.running);
  if (running || stopped) {
    // The name is gone; the image stays without a name for as long as a container needs it.
    if (request.name !== undefined || request.force) return untaggedOnly;
    throw conflict(
      request.imageId,
      `image is being used by ${running ? 'running' : 'stopped'} container ${shortId((running ?? stopped)!.id)}`,
      running !== undefined,
    );
  }
  return { ...untaggedOnly, ...deleteRows(context, request.imageId) };
}

/** Deletes the names that this removal removes from the table. @returns them */
function untag(
  { records }: RemovalContext,
  { text, name, imageId, force }: RemovalRequest,
  users: readonly UsingContainer[],
): string[] {
  const names = records.names(imageId);
  const parsed = names.map((key) => ({ key, reference: parseKey(key) }));
  const single = isSingleReference(parsed.map(({ reference }) => reference));
  let gone: string[];
  if (name !== undefined) {
    const user = users[0];
    if (!force && single && user)
      throw new HuskError(
        `conflict: unable to remove repository reference "${text}" (must force) - container ${shortId(user.id)} is using its referenced image ${shortId(imageId)}`,
        { kind: 'conflict' },
      );
    gone = [name];
    const own = parseKey(name);
    const rest = parsed.filter(({ key }) => key !== name);
    const sameRepository = rest.filter(({ reference }) => fullName(reference) === fullName(own));
    // The removal of a repository's last tag removes the repository's digests as well.
    if (own.digest === undefined && sameRepository.every(({ reference }) => reference.digest !== undefined))
      gone.push(...sameRepository.map(({ key }) => key));
  } else {
    const running = users.find((user) => user.running);
    if (running) throw conflict(imageId, `image is being used by running container ${shortId(running.id)}`, true);
    if (!force && !single) throw conflict(imageId, 'image is referenced in multiple repositories', false);
    if (!force && users[0])
      throw conflict(imageId, `image is being used by stopped container ${shortId(users[0].id)}`, false);
    gone = names;
  }
  for (const key of gone) records.deleteName(key);
  return gone.map((key) => familiarReference(parseKey(key)));
}

/** @returns whether the image has at most one tag, and all its digests are of one and the same repository */
function isSingleReference(references: Reference[]): boolean {
  if (references.length <= 1) return true;
  const tags = references.filter(({ digest }) => digest === undefined);
  const repositories = new Set(references.filter(({ digest }) => digest !== undefined).map(fullName));
  if (tags.length > 1 || repositories.size !== 1) return false;
  return tags.length === 0 || repositories.has(fullName(tags[0]!));
}

const conflict = (imageId: string, message: string, hard: boolean) =>
  new HuskError(
    `conflict: unable to delete ${shortId(imageId)} (${hard ? 'cannot be forced' : 'must be forced'}) - ${message}`,
    { kind: 'conflict' },
  );

/**
 * Deletes an image's rows and renames the folders that no other image needs. It must be called inside a transaction.
 * Layers that somebody may count on meanwhile stay until the next prune: a build holds its base by no row.
 * @returns what Docker prints as deleted (the image, then its layers' diffIDs from the top), and the bytes that the
 * layers' tars had
 */
export function deleteRows(
  { records, paths, isClaimed }: RemovalContext,
  imageId: string,
): { deleted: string[]; blobs: string[]; reclaimed: number } {
  const { layers, blobs } = records.deleteImage(imageId, { keepLayers: isClaimed() });
  if (blobs.length === 0) return { deleted: [], blobs, reclaimed: 0 };
  let reclaimed = 0;
  for (const { diffId, size } of layers) if (setAside(paths, diffId)) reclaimed += size;
  return { deleted: [imageId, ...layers.map(({ diffId }) => diffId).reverse()], blobs, reclaimed };
}

/**
 * @returns whether the folder is set aside now; an earlier run of the same transaction may have set it aside already
 */
function setAside(paths: Paths, diffId: string): boolean {
  const folder = layerFolder(paths, diffId);
  const target = join(paths.tmp, REMOVED + hexOf(diffId));
  if (!existsSync(folder)) return existsSync(target);
  makeTmpFolder(paths);
  // A folder that already waits under this name could not be deleted; it gets a name of its own.
  if (existsSync(target)) renameSync(target, `${target}-${randomHex(4)}`);
  renameSync(folder, target);
  // The short links to the layer's unpacked tree, and to the implied parents beside it, would lead nowhere.
  const parents = readdirSync(target).filter((name) => name.startsWith(PARENTS));
  const shorts = new Set(
    [hexOf(diffId), ...parents.map((name) => name.slice(PARENTS.length))].map((hex) => shortId(hex)),
  );
  // The names of links for `--userns keep-id` end in a dot and the ids that are kept.
  for (const name of names(paths.layerLinks))
    if (shorts.has(name.split('.')[0]!)) rmSync(join(paths.layerLinks, name), { force: true });
  return true;
}

/**
 * Sets aside the layers and deletes the blobs that no image has: those of pulls that died before their commit.
 * @returns bytes of the layers' tars
 */
export function sweepUnreferenced({ records, blobs, paths }: RemovalContext): number {
  /** Bytes by diffID. The map outlives a transaction that runs again, because each folder is renamed only once. */
  const aside = new Map<string, number>();
  transaction(records.database, () => {
    const referenced = records.referenced();
    for (const hex of names(paths.blobs)) if (!referenced.blobs.has(`sha256:${hex}`)) blobs.remove(`sha256:${hex}`);
    for (const diffId of new Set([...aside.keys(), ...names(paths.layers).map((hex) => `sha256:${hex}`)])) {
      if (!isDigest(diffId) || referenced.layers.has(diffId)) continue;
      if (!aside.has(diffId))
        aside.set(diffId, statSync(layerTar(paths, diffId), { throwIfNoEntry: false })?.size ?? 0);
      records.deleteLayer(diffId);
      setAside(paths, diffId);
    }
  });
  return [...aside.values()].reduce((sum, size) => sum + size, 0);
}

/**
 * Sets aside those of the given layers that no image has.
 * @returns whether there were any
 */
export function discardLayers(
  { records, paths }: Pick<RemovalContext, 'records' | 'paths'>,
  diffIds: string[],
): boolean {
  if (diffIds.length === 0) return false;
  return transaction(records.database, () => {
    const { layers } = records.referenced();
    const unused = [...new Set(diffIds)].filter((diffId) => !layers.has(diffId));
    for (const diffId of unused) {
      records.deleteLayer(diffId);
      setAside(paths, diffId);
    }
    return unused.length > 0;
  });
}

const names = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);

/**
 * Puts a folder back when a crash came between its renaming and the commit: its row is still there. When there is
 * nothing to do, this reads only one folder.
 */
export function restoreRemoved({ records, paths }: Pick<RemovalContext, 'records' | 'paths'>): void {
  const isMissing = (hex: string): boolean =>
    records.hasLayerRow(`sha256:${hex}`) &&
    existsSync(join(paths.tmp, REMOVED + hex)) &&
    !existsSync(join(paths.layers, hex));
  if (!removedLayers(paths).some(isMissing)) return;
  // The folders are checked again inside the transaction: a removal may be under way, and commit before it begins.
  transaction(records.database, () => {
    for (const hex of removedLayers(paths).filter(isMissing))
      renameSync(join(paths.tmp, REMOVED + hex), join(paths.layers, hex));
  });
}

/**
 * Deletes what removals have set aside, in this process or in one that died. It never rejects: what cannot be deleted
 * now is tried again by the next removal. It reads the database only before its first wait, because the caller may
 * close the database while trees are being deleted.
 */
export async function sweepRemoved({ records, paths, removeTree }: RemovalContext): Promise<void> {
  // A row without its folder is the trace of a crash, which restoreRemoved repairs.
  const gone = removedLayers(paths).filter(
    (hex) => !records.hasLayerRow(`sha256:${hex}`) || existsSync(join(paths.layers, hex)),
  );
  for (const hex of gone) await removeTree(join(paths.tmp, REMOVED + hex)).catch(() => {});
}

function removedLayers(paths: Paths): string[] {
  return names(paths.tmp)
    .filter((name) => name.startsWith(REMOVED))
    .map((name) => name.slice(REMOVED.length));
}
