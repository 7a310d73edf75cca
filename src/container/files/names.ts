/** Reads the names in a folder by its descriptor, as bytes and in byte order. */
import { Fd } from '../../host/fd.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../host/files/lookup.ts';
import { getdents, reopen } from '../../host/files/file-at.ts';
import type { ByteString } from '../../tar/byte-string.ts';

/** struct linux_dirent64, getdents64(2): u64 ino, s64 off, u16 reclen, u8 type, name; offsets in bytes */
const RECORD_LENGTH = 16;
const NAME = 19;
/** bytes that are read at once */
const BUFFER = 32 << 10;

/** @param fd descriptor of a folder, O_PATH suffices @throws SyscallError */
export function namesIn(fd: number): ByteString[] {
  using folder = new Fd(reopen(fd, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const names: ByteString[] = [];
  const buffer = Buffer.allocUnsafe(BUFFER);
  const read = () => getdents(folder.number, buffer);
  for (let length = read(); length > 0; length = read()) {
    for (let at = 0; at < length; at += buffer.readUInt16LE(at + RECORD_LENGTH)) {
      const name = buffer.toString('latin1', at + NAME, buffer.indexOf(0, at + NAME));
      if (name !== '.' && name !== '..') names.push(name);
    }
  }
  return names.sort();
}
