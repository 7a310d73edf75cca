/** eventfd(2): a counter the kernel wakes us by (ioeventfd) or we wake the guest by (irqfd). */
import { Fd } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';

const eventfd = systemCall<(initial: number, flags: number) => number>('int eventfd2(uint32_t initial, int flags)');
const read = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t read(int fd, void *bytes, size_t length)',
);
const write = systemCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64_t write(int fd, const void *bytes, size_t length)',
);

/** include/uapi/linux/eventfd.h */
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const scratch = new Uint8Array(8);

export class EventFd implements Disposable {
  readonly fd: number;

  /** @param options.blocking for an end that a foreign thread reads; `drain` must not be used on it */
  constructor(options: { blocking?: boolean } = {}) {
    this.fd = checked(eventfd(0, EFD_CLOEXEC | (options.blocking ? 0 : EFD_NONBLOCK)), 'eventfd');
  }

  signal(): void {
    write(this.fd, one, 8);
  }

  /** Takes the counter down to zero. @returns whether it was signalled since the last time */
  drain(): boolean {
    return read(this.fd, scratch, 8) === 8;
  }

  [Symbol.dispose](): void {
    new Fd(this.fd).close();
  }
}
