/**
 * `--cidfile`: the file is made before the container, so that a file that cannot be written leaves no container behind.
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';

export interface CidFile extends Disposable {
  write(id: string): void;
}

/**
 * Makes the empty file; on disposal it is removed unless an id was written.
 * @throws HuskError where the file exists already, or cannot be made
 */
export function openCidFile(file: string): CidFile {
  const fd = open(file);
  let written = false;
  return {
    write(id) {
      writeSync(fd, id);
      written = true;
    },
    [Symbol.dispose]() {
      closeSync(fd);
      if (!written) rmSync(file, { force: true });
    },
  };
}

function open(file: string): number {
  try {
    return openSync(file, 'wx', 0o644);
  } catch (error) {
    const { code, errno = 0 } = error as NodeJS.ErrnoException;
    const message =
      code === 'EEXIST'
        ? `container ID file found, make sure the other container isn't running or delete ${file}`
        : `failed to create the container ID file ${file}: ${getSystemErrorMessage(errno)}`;
    throw new HuskError(message, { kind: 'conflict', exitCode: EXIT_HUSK_FAILED, cause: error });
  }
}
