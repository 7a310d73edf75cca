/** Tells of a keeper's death: by a descriptor of the process, at once. */
import { pidfdOpen } from '../../host/kernel/process.ts';
import { watchReadable } from '../../host/streams/poll.ts';
import { isAlive, type ProcessIdentity } from '../../state/process-identity.ts';

/** @param ended called once; also for one that is dead already. @returns stops watching */
export function watchKeeper(keeper: ProcessIdentity, ended: () => void): () => void {
  let stopped = false;
  const tell = () => {
    if (stopped) return;
    stopped = true;
    setImmediate(ended);
  };
  try {
    const pidfd = pidfdOpen(keeper.pid);
    if (!isAlive(keeper)) {
      pidfd.close();
      tell();
      return () => void (stopped = true);
    }
    const watch = watchReadable(pidfd.number, () => {
      close();
      tell();
    });
    const close = () => {
      watch.close();
      pidfd.close();
    };
    return () => {
      if (stopped) return;
      stopped = true;
      close();
    };
  } catch {
    tell(); // there is no such process
    return () => void (stopped = true);
  }
}
