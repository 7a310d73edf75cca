/** Disks of a machine out of a template: they had no sectors in it, and get them by an interrupt after it goes on. */
import { readFileSync } from 'node:fs';
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

const sizeOf = (device: string): number =>
  SECTOR * Number(readFileSync(`/sys/block/${basename(device)}/size`, 'latin1'));
