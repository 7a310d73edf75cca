/** Files that exist only in memory, memfd_create(2). */
import { ftruncateSync, writeSync } from 'node:fs';
import { Fd, prepared } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** linux/memfd.h */
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
/** linux/fcntl.h */
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, _SHRINK, _GROW, _WRITE */
const SEALED = 0xf;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;

const memfd_create = systemCall<(name: string, flags: number) => number>(
  'int memfd_create(const char *name, unsigned int flags)',
);
const fcntl = systemCall<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);

/** memfd_create(2), close-on-exec, with the given content. @throws SyscallError */
export function memfd(name: string, content: Uint8Array = new Uint8Array()): Fd {
  return filled(new Fd(checked(memfd_create(name, MFD_CLOEXEC), 'memfd_create')), content);
}

/** Makes a memfd that can never change again: a receiver may map it safely. @throws SyscallError */
export function sealedMemfd(name: string, content: Uint8Array): Fd {
  const fd = filled(new Fd(checked(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create')), content);
  return prepared(fd, (number) => checked(fcntl(number, F_ADD_SEALS, SEALED), 'fcntl'));
}

function filled(fd: Fd, content: Uint8Array): Fd {
  return prepared(fd, (number) => {
    for (let done = 0; done < content.length;) done += writeSync(number, content, done, content.length - done, done);
  });
}

/**
 * Makes a file of `size` zeros that keeps this size: a writer is refused at its end (EPERM), is never made to wait, and
 * fills no disk.
 * @throws SyscallError
 */
export function boundedMemfd(name: string, size: number): Fd {
  const fd = new Fd(checked(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create'));
  return prepared(fd, (number) => {
    ftruncateSync(number, size);
    checked(fcntl(number, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 'fcntl');
  });
}
