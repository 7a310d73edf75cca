/**
 * inotify(7) on open descriptors: the kernel queues an event within the system call that changes a watched inode, so
 * what is read after that call has returned tells of it. Writes through a shared mapping make no event until the file
 * is closed, and reads none that is asked for here.
 */
import { constants } from 'node:os';
import { Fd } from '../fd.ts';
import { checked, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** include/uapi/linux/inotify.h */
export const IN = {
  MODIFY: 0x2,
  ATTRIB: 0x4,
  CLOSE_WRITE: 0x8,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  MOVE_SELF: 0x800,
  Q_OVERFLOW: 0x4000,
  IGNORED: 0x8000,
  ISDIR: 0x40000000,
} as const;
const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;

/** struct inotify_event: wd, mask, cookie, len, then len bytes of the name and its padding */
const EVENT_HEADER = 16;
/** bytes of an event with a name of NAME_MAX and its NUL; a read that had room for one more has emptied the queue */
const EVENT_MAX = EVENT_HEADER + 256;
/** bytes; one event with the longest name fits many times */
const BUFFER_SIZE = 32 * 1024;
const { EAGAIN } = constants.errno;

const inotify_init1 = systemCall<(flags: number) => number>('int inotify_init1(int flags)');
const inotify_add_watch = systemCall<(fd: number, path: string, mask: number) => number>(
  'int inotify_add_watch(int fd, const char *path, uint32_t mask)',
);
const inotify_rm_watch = systemCall<(fd: number, watch: number) => number>('int inotify_rm_watch(int fd, int watch)');
const read = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t read(int fd, void *bytes, size_t length)',
);

export interface InotifyEvent {
  /** -1 for an overflow of the queue */
  watch: number;
  mask: number;
  /** what the change was to in a watched folder, one character for each byte; empty for the watched inode itself */
  name: string;
}

export class Inotify implements Disposable {
  readonly #fd: Fd;
  readonly #buffer = Buffer.alloc(BUFFER_SIZE);

  /** @throws SyscallError EMFILE when the user has no instance left (fs.inotify.max_user_instances) */
  constructor() {
    this.#fd = new Fd(checked(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), 'inotify_init1'));
  }

  /** the descriptor, for an event loop */
  get fd(): number {
    return this.#fd.number;
  }

  /**
   * Watches the inode behind a descriptor, which may be one of O_PATH; an inode that is watched already keeps its
   * number. Nothing is opened. @returns the watch's number
   * @throws SyscallError EACCES when the inode may not be read, ENOSPC when the user has no watch left
   */
  add(fd: number, mask: number): number {
    return checked(inotify_add_watch(this.#fd.number, `/proc/self/fd/${fd}`, mask), 'inotify_add_watch');
  }

  remove(watch: number): void {
    // EINVAL: the kernel has removed the watch with its inode.
    inotify_rm_watch(this.#fd.number, watch);
  }

  /** @returns the events that one read gives, and whether there may be more of them */
  read(): { events: InotifyEvent[]; more: boolean } {
    // safe: the length is the buffer's own
    const count = read(this.#fd.number, this.#buffer, BUFFER_SIZE);
    if (count === -EAGAIN) return { events: [], more: false };
    if (count < 0) throw new SyscallError('read', -count);
    const events: InotifyEvent[] = [];
    for (let at = 0; at + EVENT_HEADER <= count;) {
      const length = this.#buffer.readUInt32LE(at + 12);
      const name = this.#buffer.toString('latin1', at + EVENT_HEADER, at + EVENT_HEADER + length);
      const end = name.indexOf('\0');
      events.push({
        watch: this.#buffer.readInt32LE(at),
        mask: this.#buffer.readUInt32LE(at + 4),
        name: end < 0 ? name : name.slice(0, end),
      });
      at += EVENT_HEADER + length;
    }
    return { events, more: count > BUFFER_SIZE - EVENT_MAX };
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}
