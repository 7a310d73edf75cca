/**
 * Files that are whole or not there: a file is made under another name on the same file system, then renamed. A process
 * that is killed meanwhile leaves the other name, never a partial file under the right one. This module knows no folder
 * of husk's; names in tmp/ belong to src/state/tmp-folder.ts.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';

export interface WholeFileOptions {
  /** mode of the file, less the umask */
  mode: number;
  /**
   * Whether the bytes are on the disk before the file has its name, so that it is whole even after a power cut.
   * @default false
   */
  durable?: boolean;
  /**
   * path where the file is made, on the same file system. @default beside it, with this process's id at the end of its
   * name
   */
  half?: string;
}

/** Makes a file, or replaces the one that is there. A failure changes nothing and leaves nothing. */
export function writeWholeFile(file: string, content: string | Uint8Array, options: WholeFileOptions): void {
  const { mode, durable = false, half = `${file}.${process.pid}` } = options;
  makeWholeFile(file, {
    half,
    // wx is O_EXCL: another process that may write to the folder, such as a VMM to its jail, may have put a link there.
    make: () => writeFileSync(half, content, { mode, flag: 'wx', flush: durable }),
  });
}

/**
 * Does what writeWholeFile does, for a file that `make` writes itself.
 * @param options.make writes `half`, and fails with EEXIST when that is there; it is called again then
 */
export function makeWholeFile(file: string, { half, make }: { half: string; make: () => void }): void {
  try {
    try {
      make();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      // A killed process with this process's id has left the file.
      rmSync(half, { force: true });
      make();
    }
    renameSync(half, file);
  } catch (error) {
    rmSync(half, { force: true });
    // A write(2) that fails knows a descriptor and no name: with one the line that a person reads says which file.
    const failed = error as NodeJS.ErrnoException;
    if (failed.syscall !== undefined && failed.path === undefined) failed.path = file;
    throw error;
  }
}
