/**
 * What `system check` asks the image room: whether blobs, layers, unpacked trees and root disks are what their names
 * say. Wrong bytes are of no use, so a repair removes them and the next pull fetches them again; nothing that is right
 * is touched.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { causeOf } from '../errors.ts';
import { OpenFile } from '../open-file.ts';
import type { KeptIds } from '../rootless/keep-id.ts';
import { keptSuffix, parseTreeName, TREE } from './layers/tree-links.ts';
import type { Paths } from '../paths.ts';
import { tmpPath } from '../state/tmp-folder.ts';
import { imageManifest } from './archive/manifest-of.ts';
import { Blobs, sha256 } from './store/blobs.ts';
import { distinctLayers, PARENTS, stackKey } from './layers/stack.ts';
import { parseImageConfig } from './store/manifest.ts';
import { ImageRecords, layerFolder, layerTar, namesFile } from './store/records.ts';
import { familiarReference, parseKey } from './store/reference.ts';
import { restoreRemoved } from './removal.ts';
import type { Layer } from './store/contract.ts';
import type { DatabaseSync } from 'node:sqlite';

export interface ImageProblem {
  kind: 'image' | 'blob' | 'layer' | 'tree' | 'disk' | 'link';
  name: string;
  problem: string;
  /** absent where nothing on this machine can repair the damage */
  repair?: { what: string; run: () => void | Promise<void> };
  /** what the user must do, even after the repair */
  fix?: string;
}

/** bytes hashed at a time */
const CHUNK = 4 << 20;

interface CheckContext {
  database: DatabaseSync;
  paths: Paths;
  /**
   * Checks unpacked trees in the user namespace and returns what is wrong with each folder. Several tars together make
   * the folders that a stack of layers implies.
   */
  checkTrees: (trees: { tars: string[]; folder: string }[], kept?: KeptIds) => Promise<Map<string, string>>;
  removeTree: (path: string) => Promise<void>;
}

export async function* checkImages(context: CheckContext): AsyncGenerator<ImageProblem> {
  const { database, paths } = context;
  const blobs = new Blobs(paths);
  const records = new ImageRecords({ database, paths, blobs });
  restoreRemoved({ records, paths });
  const pullOf = new Map<string, string>();
  for (const id of records.ids()) {
    const name = records.names(id).map((key) => familiarReference(parseKey(key)))[0] ?? id;
    yield* checkImage(id, name, { ...context, records, blobs });
    for (const { diffId } of records.blobsOf(id)) if (!pullOf.has(diffId)) pullOf.set(diffId, name);
  }
  const again = (diffId: string): string =>
    pullOf.has(diffId) ? `husk pull ${pullOf.get(diffId)} (or load, import or build it again)` : 'nothing needs it';
  const whole: string[] = [];
  for (const diffId of new Set([...records.layerIds(), ...pullOf.keys()])) {
    const tar = layerTar(paths, diffId);
    const problem = layerProblem(tar, diffId);
    if (problem === undefined) whole.push(diffId);
    else
      yield {
        kind: 'layer',
        name: diffId,
        problem,
        repair: {
          what: 'taken away; an unpacked tree of it stays',
          run: () => {
            rmSync(tar, { force: true });
            records.forgetLayer(diffId);
          },
        },
        fix: again(diffId),
      };
  }
  yield* checkTrees(whole, records, context);
  yield* checkDisks(records, context);
  yield* checkLinks(paths);
}

async function* checkImage(
  id: string,
  name: string,
  { records, blobs, database, paths }: CheckContext & { records: ImageRecords; blobs: Blobs },
): AsyncGenerator<ImageProblem> {
  const config = Buffer.from(records.configText(id) ?? '', 'utf8');
  const isWhole = sha256(config) === id;
  const again = `husk pull ${name} (or load, import or build it again)`;
  const bad = (digest: string): string | undefined => {
    try {
      blobs.get(digest);
      return undefined;
    } catch (error) {
      return (error as Error).message.replace(/: no such file or directory$/, ': it is missing');
    }
  };
  const configProblem = bad(id);
  if (!isWhole)
    yield {
      kind: 'image',
      name,
      problem: 'its record is not the config its id names',
      ...(configProblem === undefined && {
        repair: {
          what: 'its config was read from its blob again',
          run: () =>
            void database.prepare('UPDATE images SET config = ? WHERE id = ?').run(blobs.get(id).toString('utf8'), id),
        },
      }),
      ...(configProblem !== undefined && { fix: `husk rmi -f ${id}; ${again}` }),
    };
  if (configProblem !== undefined)
    yield {
      kind: 'blob',
      name: id,
      problem: configProblem,
      ...(isWhole && {
        repair: {
          what: 'written again from its record',
          run: () => {
            blobs.remove(id);
            blobs.put(config);
          },
        },
      }),
      ...(!isWhole && { fix: again }),
    };
  const manifest = records.manifestDigest(id)!;
  const manifestProblem = bad(manifest);
  if (manifestProblem !== undefined)
    yield {
      kind: 'blob',
      name: manifest,
      problem: `${manifestProblem} (the manifest of ${name})`,
      ...(isWhole && {
        repair: {
          what: 'made anew from its config and layers; a registry may have another',
          run: () => {
            const made = imageManifest(config, records.load(id)!.layers);
            blobs.remove(manifest);
            records.add({ config, manifest: made.bytes, layers: made.layers, names: [] });
          },
        },
      }),
      ...(!isWhole && { fix: again }),
    };
  if (isWhole) {
    const { diff_ids: diffIds } = parseImageConfig(config, name).rootfs;
    const recorded = records.blobsOf(id).map(({ diffId }) => diffId);
    if (diffIds.join() !== recorded.join())
      yield {
        kind: 'image',
        name,
        problem: 'its layers are not those of its config',
        fix: `husk rmi -f ${id}; ${again}`,
      };
  }
  if (records.names(id).length > 0 && !existsSync(namesFile(paths, id))) records.keepNames(id);
}

/** @returns what is wrong with a layer's tar; undefined when nothing is */
export function layerProblem(tar: string, diffId: string): string | undefined {
  if (!existsSync(tar)) return `${tar} is missing`;
  try {
    return hashFile(tar) === diffId ? undefined : `${tar} does not have its diffID`;
  } catch (error) {
    return `${tar} cannot be read: ${causeOf(error)}`;
  }
}

function hashFile(path: string): string {
  const hash = createHash('sha256');
  using file = new OpenFile(path, 'r');
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (let count = readSync(file.fd, buffer); count > 0; count = readSync(file.fd, buffer))
    hash.update(buffer.subarray(0, count));
  return `sha256:${hash.digest('hex')}`;
}

async function* checkTrees(
  whole: string[],
  records: ImageRecords,
  { paths, checkTrees: inNamespace, removeTree }: CheckContext,
): AsyncGenerator<ImageProblem> {
  // Trees that were made with another map of ids are checked under that map.
  const maps = new Map<string, KeptIds | undefined>([['', undefined]]);
  for (const diffId of whole)
    for (const name of names(layerFolder(paths, diffId))) {
      const tree = parseTreeName(name);
      if (tree?.kept) maps.set(keptSuffix(tree.kept), tree.kept);
    }
  for (const [suffix, kept] of maps)
    yield* checkTreesOf(whole, records, { paths, inNamespace, removeTree, suffix, kept });
}

async function* checkTreesOf(
  whole: string[],
  records: ImageRecords,
  {
    paths,
    inNamespace,
    removeTree,
    suffix,
    kept,
  }: Pick<CheckContext, 'paths' | 'removeTree'> & {
    inNamespace: CheckContext['checkTrees'];
    suffix: string;
    kept: KeptIds | undefined;
  },
): AsyncGenerator<ImageProblem> {
  const trees = whole.map((diffId) => ({
    tars: [layerTar(paths, diffId)],
    folder: join(layerFolder(paths, diffId), TREE + suffix),
  }));
  const isWhole = new Set(whole);
  for (const id of records.ids()) {
    const stack = distinctLayers(records.blobsOf(id));
    if (stack.length < 2 || !stack.every(({ diffId }) => isWhole.has(diffId))) continue;
    trees.push({
      tars: stack.map(({ diffId }) => layerTar(paths, diffId)),
      folder: join(layerFolder(paths, stack.at(-1)!.diffId), PARENTS + stackKey(stack).toString('hex') + suffix),
    });
  }
  const made = trees.filter(({ folder }) => statSync(folder, { throwIfNoEntry: false })?.isDirectory());
  if (made.length === 0) return;
  for (const [folder, problem] of await inNamespace(made, kept))
    yield {
      kind: 'tree',
      name: folder,
      problem,
      repair: {
        // The tree is renamed first: a container that starts meanwhile unpacks the layer anew, and a running one keeps
        // the files that it has open.
        what: 'taken away; the next start unpacks it again',
        run: async () => {
          const aside = tmpPath(paths, 'tree');
          renameSync(folder, aside);
          await removeTree(aside);
        },
      },
    };
}

/**
 * Checks the root disks of VMs. Their metadata is made from the layers' tars, so the check makes it again and compares.
 */
async function* checkDisks(records: ImageRecords, { paths }: CheckContext): AsyncGenerator<ImageProblem> {
  const layersOf = new Map<string, Layer[]>();
  const { diskFile, diskMetadata } = await import('./erofs/root-disk.ts');
  for (const id of records.ids()) {
    try {
      const { layers } = records.load(id)!;
      layersOf.set(diskFile(layers, paths), layers);
    } catch {
      // The image's record is damaged, which has been reported already.
    }
  }
  for (const [file, layers] of layersOf) {
    if (!existsSync(file)) continue;
    let same: boolean;
    try {
      same = (await diskMetadata(layers)).equals(readFileSync(file));
    } catch {
      continue; // its layer is damaged, which has been reported already
    }
    if (!same)
      yield {
        kind: 'disk',
        name: file,
        problem: 'is not what its layers make',
        repair: { what: 'taken away; the next start makes it again', run: () => rmSync(file, { force: true }) },
      };
  }
}

function* checkLinks({ layerLinks }: Paths): Generator<ImageProblem> {
  for (const name of names(layerLinks)) {
    const link = join(layerLinks, name);
    let target = '';
    try {
      target = readlinkSync(link);
    } catch {
      continue;
    }
    if (!statSync(link, { throwIfNoEntry: false }))
      yield {
        kind: 'link',
        name: link,
        problem: `leads to ${target}, which is not there`,
        repair: { what: 'taken away', run: () => rmSync(link, { force: true }) },
      };
  }
}

/** @returns the names in a folder; none where there is no folder */
export function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
