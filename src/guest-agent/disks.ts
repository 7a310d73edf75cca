/** Disks of a machine out of a template: they are others than it was saved with, by an interrupt after it goes on. */
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HuskError } from '../errors.ts';

/** sysfs counts in sectors of so many bytes, whatever the disk's own are */
const SECTOR = 512;
const PAUSE_MS = 1;
/** ms; a guest on a host whose CPUs are all taken gets a twentieth of one */
const TIMEOUT = 60_000;

/** Waits until the kernel has taken over how long each disk is now. @throws HuskError naming a disk */
export async function awaitDisks(disks: readonly { device: string; bytes: number }[]): Promise<void> {
  const end = performance.now() + TIMEOUT;
  for (const { device, bytes } of disks)
    while (sizeOf(device) !== bytes) {
      if (performance.now() > end)
        throw new HuskError(`${device} has ${sizeOf(device)} bytes, not ${bytes}`, { kind: 'internal' });
      await sleep(PAUSE_MS);
    }
}

/**
 * Waits until no file system is mounted from a disk. The last mount of one may go with the container's mount namespace,
 * a moment after its last process. A file system that was still there would be taken for that of the next disk of this
 * name; where none is, the kernel keeps nothing of what it read (blkdev_put).
 * @throws HuskError naming a disk
 */
export async function awaitUnused(devices: readonly string[]): Promise<void> {
  const end = performance.now() + TIMEOUT;
  for (const device of devices)
    while (isInUse(device)) {
      if (performance.now() > end) throw new HuskError(`${device} is still in use`, { kind: 'internal' });
      await sleep(PAUSE_MS);
    }
}

/** A mounted file system has its disk for itself, as O_EXCL asks for it (open(2)). */
function isInUse(device: string): boolean {
  try {
    closeSync(openSync(device, constants.O_RDONLY | constants.O_EXCL));
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    return true;
  }
}

const sizeOf = (device: string): number =>
  SECTOR * Number(readFileSync(`/sys/block/${basename(device)}/size`, 'latin1'));
