/**
 * Starts the programs that write unpacked trees, `unpack` and `implied-parents`, as root of the user namespace. This
 * side gives them folders and passes their failures on; it never looks into an archive.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError, type ErrorKind } from '../../errors.ts';
import type { IdMaps } from '../../rootless/idmap.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';

/** The root of the user namespace that writes trees; it is another user on this host when root starts it. */
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

/** Makes a new folder for the programs to write into. The caller holds the lock of the folder that it is made in. */
export async function newPartial(folder: string, prefix: string, maker: TreeMaker): Promise<string> {
  const { removeTree } = await import('../../rootless/trees.ts');
  // Folders that a killed program left are deleted. A program that is still ending may write into one meanwhile; the
  // next call deletes that one.
  for (const name of readdirSync(folder))
    if (name.startsWith(prefix)) await removeTree(join(folder, name)).catch(() => {});
  const partial = join(folder, prefix + randomBytes(6).toString('hex'));
  mkdirSync(partial, { mode: 0o700 });
  maker.give(partial);
  return partial;
}

/**
 * Runs a program that writes trees.
 * @param options.reach folders that hold all that the program is to read and to write
 * @param onDone called with each finished folder; an error it throws ends the program, and is thrown
 */
export async function runInternal(
  internal: 'unpack' | 'implied-parents',
  args: string[],
  { reach, maps, signal }: { reach: readonly string[]; maps: IdMaps; signal: AbortSignal | undefined },
  onDone: (folder: string) => void,
): Promise<void> {
  const { runInUserNamespace } = await import('../../rootless/namespace.ts');
  const launched = runInUserNamespace({
    program: { internal, args },
    reach: { kept: [...reach] },
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
