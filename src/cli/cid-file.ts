/** `--cidfile`: made before the container, so that no container is left behind by a file that cannot be written. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';

export interface CidFile extends Disposable {
  write(id: string): void;
}

/**
 * The empty file; it is gone again on disposal unless an id was written. @throws HuskError where it is there already,
 * or cannot be made
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
