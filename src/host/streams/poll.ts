/** Readiness of any descriptor in Node's event loop (uv_poll_t through koffi). */
import { Fd } from '../fd.ts';
import { duplicate } from '../descriptors.ts';
import { koffi } from '../libc.ts';
import { systemCall } from '../system-call.ts';

/** poll(2), asm-generic/poll.h: told whether asked for or not */
const POLLHUP = 0x10;
/** struct pollfd: int fd, short events, short revents */
const POLLFD = 8;

const c_poll = systemCall<(fds: Uint8Array, count: number, timeout: number) => number>(
  'int poll(void *fds, unsigned long count, int timeout)',
);

/**
 * Whether neither side of a stream socket will say anything more, or the other has closed it. An end of file alone does
 * not tell: the other side may still be listening.
 */
export function isHungUp(fd: number): boolean {
  const asked = Buffer.alloc(POLLFD);
  asked.writeInt32LE(fd, 0);
  return c_poll(asked, 1, 0) > 0 && (asked.readUInt16LE(6) & POLLHUP) !== 0; // safe: one whole struct pollfd
}

type PollHandle = ReturnType<ReturnType<typeof koffi>['node']['poll']>;

/** koffi collects a handle that nobody holds, and the watching ends silently */
const watched = new Set<PollHandle>();

/**
 * Holds a handle. Node runs its event loop once more when its environment is taken down, and koffi ends the process
 * with SIGABRT where a callback comes then: what is still watched at the exit is not watched any more.
 */
function hold(handle: PollHandle): void {
  if (watched.size === 0) process.on('exit', closeAll);
  watched.add(handle);
}

/** @returns whether it was held */
function letGo(handle: PollHandle): boolean {
  if (!watched.delete(handle)) return false;
  if (watched.size === 0) process.off('exit', closeAll);
  handle.close();
  return true;
}

function closeAll(): void {
  for (const handle of watched) handle.close();
  watched.clear();
}

export interface Watch extends Disposable {
  /** stops watching; do it before the descriptor is closed */
  close(): void;
  unref(): void;
}

/**
 * Calls back whenever `fd` is readable or at end-of-file, until closed. Level-triggered: read it empty or close the
 * watch.
 */
export function watchReadable(fd: number, callback: () => void): Watch {
  const handle = koffi().node.poll(fd, { readable: true, disconnect: true }, callback);
  hold(handle);
  const close = () => void letGo(handle);
  return { close, unref: () => handle.unref(), [Symbol.dispose]: close };
}

/**
 * Calls back once when `fd` takes more bytes (or is broken: the next write says so). It may be watched for reading
 * meanwhile: libuv has one handle for a number, so this one waits on a copy of it.
 */
export function whenWritable(fd: number, callback: () => void): Watch {
  const copy = new Fd(duplicate(fd));
  const handle = koffi().node.poll(copy.number, { writable: true, disconnect: true }, () => {
    close();
    callback();
  });
  hold(handle);
  const close = () => {
    if (letGo(handle)) copy.close();
  };
  return { close, unref: () => handle.unref(), [Symbol.dispose]: close };
}
