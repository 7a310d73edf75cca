/** Anonymous files. */
import { writeSync } from 'node:fs';
import { Fd } from './fd.ts';
import { checked, foreign } from './libc.ts';

/** linux/memfd.h */
const MFD_CLOEXEC = 1;

const memfd_create = foreign<(name: string, flags: number) => number>('int memfd_create(const char *name, unsigned int flags)');

/** memfd_create(2), close-on-exec, with the given content. @throws SyscallError */
export function memfd(name: string, content: Uint8Array = new Uint8Array()): Fd {
  const fd = new Fd(checked(memfd_create(name, MFD_CLOEXEC), 'memfd_create'));
  for (let done = 0; done < content.length; ) done += writeSync(fd.number, content, done, content.length - done, done);
  return fd;
}
