/** Readiness of any descriptor in Node's event loop (uv_poll_t through koffi). */
import { Fd } from '../fd.ts';
import { duplicate } from '../descriptors.ts';
import { koffi } from '../libc.ts';

type PollHandle = ReturnType<ReturnType<typeof koffi>['node']['poll']>;

/** koffi collects a handle that nobody holds, and the watching ends silently */
const watched = new Set<PollHandle>();

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
  watched.add(handle);
  const close = () => {
    if (watched.delete(handle)) handle.close();
  };
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
  watched.add(handle);
  const close = () => {
    if (!watched.delete(handle)) return;
    handle.close();
    copy.close();
  };
  return { close, unref: () => handle.unref(), [Symbol.dispose]: close };
}
