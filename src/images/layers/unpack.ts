/**
 * Layers as folders, for the user-namespace isolation: makes what is missing, once, however many husk processes want it, and gives
 * the short paths an overlay mount names them by. A layer that is already there costs two system calls.
 *
 * A tree is made as `layers/<hex>/tree-v1.partial-<random>` and renamed when whole; who makes it holds the lock `layers/<hex>/lock`,
 * which dies with its holder, so a killed unpack is simply done again. The files are written by `unpack` (unpack-main.ts) inside the
 * user namespace; this side never looks into an archive.
 */
import { randomBytes } from 'node:crypto';
import { chownSync, chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, renameSync, statSync, symlinkSync, unlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HuskError, type ErrorKind } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import type { Paths } from '../../paths.ts';
import type { Layer } from '../contract.ts';
import { assertWhole } from './whole.ts';

/** The name carries the version of what write-tree.ts writes; another version is another folder. */
const TREE = 'tree-v1';
const PARTIAL = `${TREE}.partial-`;
/** Hex digits of a short link's name; more where two layers begin alike (which an attacker can arrange). */
const SHORT = 12;
const POLL_MS = 20;
/** Unpacking waits for the kernel's file system more than for anything else; more processes than this only queue there. */
const MAX_PROCESSES = 4;

export interface UnpackOptions {
  /** layers of this call made so far, of those that were missing */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

type UnpackPaths = Pick<Paths, 'layers' | 'layerLinks'>;

/**
 * @param layers bottom first, as `Image.layers`
 * @returns one folder a layer, topmost first, as overlay's `lowerdir=` wants them: short links below `paths.layerLinks`
 * @throws HuskError `corrupt` for a layer that cannot be unpacked, `unsupported` for owners that have no subordinate id
 */
export async function ensureUnpacked(layers: readonly Layer[], paths: UnpackPaths, options: UnpackOptions = {}): Promise<string[]> {
  const missing = [...new Set(layers.map(({ diffId }) => hexOf(diffId)))].filter((hex) => !shortLink(hex, paths));
  if (missing.length > 0) await unpackMissing(missing, layers, paths, options);
  return layers.map(({ diffId }) => shortLink(hexOf(diffId), paths) ?? makeShortLink(hexOf(diffId), paths)).reverse();
}

/** The unpacked tree of a layer, or undefined; for callers that must not make it. */
export function unpackedTree(diffId: string, paths: Pick<Paths, 'layers'>): string | undefined {
  const tree = join(paths.layers, hexOf(diffId), TREE);
  return existsSync(tree) ? tree : undefined;
}

function hexOf(diffId: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(diffId)?.[1];
  if (hex === undefined) throw new HuskError(`"${diffId}" is not a diffID`, { kind: 'internal' });
  return hex;
}

const linkTarget = (hex: string) => join('../layers', hex, TREE);

/** The link to this layer's tree, if both are there. */
function shortLink(hex: string, { layerLinks }: UnpackPaths): string | undefined {
  for (let length = SHORT; length <= hex.length; length += SHORT) {
    const link = join(layerLinks, hex.slice(0, length));
    let target: string;
    try {
      target = readlinkSync(link);
    } catch {
      return undefined;
    }
    // Never taken on its name alone: 48 bits can be collided, and the other layer may be anybody's.
    if (target === linkTarget(hex)) return statSync(link, { throwIfNoEntry: false }) ? link : undefined;
  }
  return undefined;
}

function makeShortLink(hex: string, paths: UnpackPaths): string {
  mkdirSync(paths.layerLinks, { recursive: true, mode: 0o711 });
  for (let length = SHORT; length <= hex.length; length += SHORT) {
    const link = join(paths.layerLinks, hex.slice(0, length));
    try {
      symlinkSync(linkTarget(hex), link);
      return link;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (readlinkSync(link) === linkTarget(hex)) return link;
      // A link to a layer that is no more is taken over.
      if (!existsSync(link)) {
        unlinkSync(link);
        length -= SHORT;
      }
    }
  }
  throw new HuskError(`cannot make a link for the layer ${hex} in ${paths.layerLinks}`, { kind: 'internal' });
}

async function unpackMissing(missing: string[], layers: readonly Layer[], paths: UnpackPaths, options: UnpackOptions): Promise<void> {
  const { tryLock } = await import('../../host/flock.ts');
  const tars = new Map(layers.map((layer) => [hexOf(layer.diffId), layer]));
  for (const hex of missing) assertWhole(tars.get(hex)!);
  let done = 0;
  options.onProgress?.(0, missing.length);
  const waiting = [...missing];
  while (waiting.length > 0) {
    const claimed: { hex: string; lock: Fd }[] = [];
    const others: string[] = [];
    for (const hex of waiting.splice(0)) {
      const lock = tryLock(join(paths.layers, hex, 'lock'));
      if (!lock) others.push(hex);
      else if (existsSync(join(paths.layers, hex, TREE))) lock.close();
      else claimed.push({ hex, lock });
    }
    try {
      if (claimed.length > 0) await unpackClaimed(claimed.map(({ hex }) => tars.get(hex)!), paths, options.signal, () => options.onProgress?.(++done, missing.length));
    } finally {
      for (const { lock } of claimed) lock.close();
    }
    waiting.push(...others.filter((hex) => !existsSync(join(paths.layers, hex, TREE))));
    if (waiting.length > 0) await sleep(POLL_MS, undefined, { signal: options.signal });
  }
}

/** Several processes, the largest layers first, each with about the same number of bytes. */
async function unpackClaimed(layers: Layer[], paths: UnpackPaths, signal: AbortSignal | undefined, onDone: () => void): Promise<void> {
  const { idMaps } = await import('../../rootless/idmap.ts');
  const { removeTree } = await import('../../rootless/trees.ts');
  const maps = idMaps();
  const owner = maps.direct ? { uid: maps.uid[0]!.hostID, gid: maps.gid[0]!.hostID } : undefined;
  const shares = Array.from({ length: Math.min(layers.length, availableParallelism(), MAX_PROCESSES) }, () => ({ bytes: 0, layers: [] as Layer[] }));
  for (const layer of [...layers].sort((a, b) => b.size - a.size)) {
    const least = shares.reduce((a, b) => (b.bytes < a.bytes ? b : a));
    least.layers.push(layer);
    least.bytes += layer.size;
  }
  const made: string[] = [];
  const work = shares.map(async (share) => {
    const args: string[] = [];
    for (const layer of share.layers) {
      const folder = join(paths.layers, hexOf(layer.diffId));
      // What a killed unpack left; one that is still ending may write into it meanwhile, and then the next one deletes it.
      for (const name of readdirSync(folder)) if (name.startsWith(PARTIAL)) await removeTree(join(folder, name)).catch(() => {});
      const partial = join(folder, PARTIAL + randomBytes(6).toString('hex'));
      mkdirSync(partial, { mode: 0o700 });
      made.push(partial);
      // As root the namespace's root is another user: it gets the folder, and may read the tar.
      if (owner) chownSync(partial, owner.uid, owner.gid);
      if (owner) chmodSync(layer.tar, 0o644);
      args.push(layer.tar, partial);
    }
    await runUnpack(args, maps, signal, (partial) => {
      renameSync(partial, join(partial, '..', TREE));
      made.splice(made.indexOf(partial), 1);
      onDone();
    });
  });
  const results = await Promise.allSettled(work);
  for (const partial of made) await removeTree(partial).catch(() => {});
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function runUnpack(args: string[], maps: import('../../rootless/idmap.ts').IdMaps, signal: AbortSignal | undefined, onDone: (partial: string) => void): Promise<void> {
  const { runInUserNamespace } = await import('../../rootless/namespace.ts');
  const launched = runInUserNamespace({ program: { internal: 'unpack', args }, stdout: 'pipe', maps });
  const stop = () => launched.signal(9);
  signal?.addEventListener('abort', stop);
  let rest = '';
  let failure: { message: string; kind: ErrorKind; fix?: string } | undefined;
  launched.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const message = JSON.parse(line) as { done?: string; error?: typeof failure };
      if (message.done !== undefined) onDone(message.done);
      failure ??= message.error;
    }
  });
  try {
    await launched.started;
    const [{ code, signal: killed }] = await Promise.all([launched.exited, new Promise((resolve) => launched.stdout!.once('close', resolve))]);
    signal?.throwIfAborted();
    if (failure) throw new HuskError(failure.message, failure);
    if (code !== 0) throw new HuskError(`unpacking layers ended with ${killed === undefined ? `exit status ${code}` : `signal ${killed}`}`, { kind: 'internal' });
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
