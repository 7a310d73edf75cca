/**
 * Files that are whole or not there: made under another name on the same file system, then renamed. A process that is
 * killed on the way leaves the half of a file, never a file that is half. Knows no folder of husk's; names in tmp/ are
 * src/state/tmp-folder.ts's.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';

export interface WholeFileOptions {
  /** of the file, less the umask */
  mode: number;
  /** The bytes are on the disk before the file has its name: it is whole after a power cut, too. @default false */
  durable?: boolean;
  /** where it is made, on the same file system. @default beside it, with this process's id behind its name */
  half?: string;
}

/** Makes a file, or replaces the one that is there. After a failure nothing is changed and nothing left. */
export function writeWholeFile(file: string, content: string | Uint8Array, options: WholeFileOptions): void {
  const { mode, durable = false, half = `${file}.${process.pid}` } = options;
  makeWholeFile(file, {
    half,
    // wx, here O_EXCL: where somebody else may write to the folder, as a VMM in its jail, he may have put a link there
    make: () => writeFileSync(half, content, { mode, flag: 'wx', flush: durable }),
  });
}

/**
 * The same for a file that its maker writes itself.
 * @param options.make writes `half`, and fails with EEXIST when it is there; it is called again then
 */
export function makeWholeFile(file: string, { half, make }: { half: string; make: () => void }): void {
  try {
    try {
      make();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      // a killed process with this process's id has left it
      rmSync(half, { force: true });
      make();
    }
    renameSync(half, file);
  } catch (error) {
    rmSync(half, { force: true });
    throw error;
  }
}
