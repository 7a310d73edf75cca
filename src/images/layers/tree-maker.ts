/**
 * Who writes unpacked trees: root of the user namespace, with the programs `unpack` and `implied-parents`. This side
 * hands out folders and gives back what was half made; it never looks into an archive.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError, type ErrorKind } from '../../errors.ts';
import type { IdMaps } from '../../rootless/idmap.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';
import type { UnpackPaths } from './tree-links.ts';

/** Who writes trees: root of the user namespace, which is another user on this host when its starter is root. */
interface TreeMaker {
  maps: IdMaps;
  give(folder: string): void;
  letRead(tar: string): void;
}

export async function makerOfTrees(kept?: KeptIds): Promise<TreeMaker> {
  const [{ idMaps }, { keepIdMaps }] = await Promise.all([
    import('../../rootless/idmap.ts'),
    import('../../rootless/keep-id.ts'),
  ]);
  const maps = kept === undefined ? idMaps() : keepIdMaps(idMaps(), kept);
  return {
    maps,
    give: (folder) => maps.direct && chownSync(folder, maps.uid[0]!.hostID, maps.gid[0]!.hostID),
    letRead: (tar) => maps.direct && chmodSync(tar, 0o644),
  };
}

/** A new folder for the maker. The caller holds the lock of the layer's folder. */
export async function newPartial(folder: string, prefix: string, maker: TreeMaker): Promise<string> {
  const { removeTree } = await import('../../rootless/trees.ts');
  // What a killed maker left; one that is still ending may write into it meanwhile, and then the next one deletes it.
  for (const name of readdirSync(folder))
    if (name.startsWith(prefix)) await removeTree(join(folder, name)).catch(() => {});
  const partial = join(folder, prefix + randomBytes(6).toString('hex'));
  mkdirSync(partial, { mode: 0o700 });
  maker.give(partial);
  return partial;
}

/**
 * Runs a program that writes trees.
 * @param onDone told of each finished folder; what it throws ends the program, and is thrown
 */
export async function runInternal(
  internal: 'unpack' | 'implied-parents',
  args: string[],
  { paths, maps, signal }: { paths: UnpackPaths; maps: IdMaps; signal: AbortSignal | undefined },
  onDone: (folder: string) => void,
): Promise<void> {
  const { runInUserNamespace } = await import('../../rootless/namespace.ts');
  const launched = runInUserNamespace({
    program: { internal, args },
    reach: { kept: [paths.layers] },
    stdout: 'pipe',
    maps,
  });
  const stop = () => launched.signal(9);
  signal?.addEventListener('abort', stop);
  let rest = '';
  let failure: { message: string; kind: ErrorKind; fix?: string } | undefined;
  let refused: { error: unknown } | undefined;
  launched.stdout!.setEncoding('utf8').on('data', (text: string) => {
    if (refused) return;
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    // An exception in a stream's listener would end this process, and with it a container's supervisor.
    try {
      for (const line of lines) {
        const message = JSON.parse(line) as { done?: string; error?: typeof failure };
        if (message.done !== undefined) onDone(message.done);
        failure ??= message.error;
      }
    } catch (error) {
      refused = { error };
      stop();
    }
  });
  try {
    await launched.started;
    const [{ code, signal: killed }] = await Promise.all([
      launched.exited,
      new Promise((resolve) => launched.stdout!.once('close', resolve)),
    ]);
    signal?.throwIfAborted();
    if (refused) throw refused.error;
    if (failure) throw new HuskError(failure.message, failure);
    if (code !== 0)
      throw new HuskError(
        `unpacking layers ended with ${killed === undefined ? `exit status ${code}` : `signal ${killed}`}`,
        { kind: 'internal' },
      );
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
