/**
 * Puts a kernel, its command line, an initrd and the boot structures into guest memory. No other file of boot/ reads
 * the guest's kernel or initrd.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { PAGE_SIZE } from '../../host/memory/mapping.ts';
import {
  BASE_MEMORY_END,
  COMMAND_LINE_ADDRESS,
  COMMAND_LINE_SIZE,
  IDENTITY_MAP_END,
  KERNEL_START,
  MP_TABLE_ADDRESS,
  ZERO_PAGE_ADDRESS,
} from './addresses.ts';
import { E820_RAM, zeroPage, type E820Entry } from './boot-params.ts';
import { ELF_HEAD_SIZE, parseElf } from './elf.ts';
import { writeBootTables } from './long-mode.ts';
import { mpTable } from './mp-table.ts';

export interface BootFiles {
  /** path of an uncompressed vmlinux */
  kernel: string;
  commandLine: string;
  /** path of an initramfs */
  initrd?: string;
  cpus: number;
}

/** @returns the guest-physical entry point. @throws HuskError naming the file */
export function loadBoot(memory: GuestMemory, boot: BootFiles): { entry: number } {
  const entry = loadKernel(memory, boot.kernel);
  const initrd = boot.initrd === undefined ? undefined : loadInitrd(memory, boot.initrd);
  memory.write(COMMAND_LINE_ADDRESS, commandLineBytes(boot.commandLine));
  memory.write(MP_TABLE_ADDRESS, mpTable(boot.cpus));
  memory.write(
    ZERO_PAGE_ADDRESS,
    zeroPage({ commandLineAddress: COMMAND_LINE_ADDRESS, e820: e820(memory), ...(initrd !== undefined && { initrd }) }),
  );
  writeBootTables(memory);
  return { entry };
}

/** The map has few entries, because each costs boot time. Memory that no entry names is reserved. */
function e820(memory: GuestMemory): E820Entry[] {
  return memory.ranges().flatMap(({ start, length }) =>
    start === 0
      ? [
          { start: 0, length: BASE_MEMORY_END, type: E820_RAM },
          { start: KERNEL_START, length: length - KERNEL_START, type: E820_RAM },
        ]
      : [{ start, length, type: E820_RAM }],
  );
}

function commandLineBytes(text: string): Uint8Array {
  const bytes = Buffer.from(`${text}\0`, 'utf8');
  if (text.includes('\0') || bytes.length > COMMAND_LINE_SIZE)
    throw new HuskError(
      `cannot boot: the kernel command line has ${bytes.length} bytes, and the kernel reads ${COMMAND_LINE_SIZE}`,
      { kind: 'limit' },
    );
  return bytes;
}

function loadKernel(memory: GuestMemory, path: string): number {
  const file = open(path);
  try {
    const size = fstatSync(file).size;
    const head = new Uint8Array(Math.min(size, ELF_HEAD_SIZE));
    readFully(file, head, 0, path);
    const executable = parseElf(head, size, {
      start: KERNEL_START,
      end: Math.min(memory.ranges()[0]!.length, IDENTITY_MAP_END),
    });
    // The kernel is copied, not mapped copy-on-write: mapped pages are 4 KiB each, and the faults of their first use
    // cost the guest more (50 ms of instruction-counted boot) than copying 12 MiB into huge pages costs the VMM (30
    // ms). VMs share a kernel's pages by the template snapshot instead.
    for (const { address, fileLength, fileOffset, memoryLength } of executable.segments) {
      readFully(file, memory.live(address, fileLength), fileOffset, path);
      // These bytes are zero already, but their pages do not exist yet. The kernel clears them first of all, and a huge
      // page would then cost an exit and a fault while the CPU runs.
      memory.live(address + fileLength, memoryLength - fileLength).fill(0);
    }
    return executable.entry;
  } finally {
    closeSync(file);
  }
}

/** Puts the initrd at the end of low memory, where the kernel's own data does not grow into it. */
function loadInitrd(memory: GuestMemory, path: string): { address: number; length: number } {
  const file = open(path);
  try {
    const length = fstatSync(file).size;
    const top = memory.ranges()[0]!.length;
    const address = Math.floor((top - length) / PAGE_SIZE) * PAGE_SIZE;
    if (address < top / 2)
      throw new HuskError(`cannot boot: the initrd ${path} (${length} bytes) does not fit the guest's memory`, {
        kind: 'limit',
      });
    readFully(file, memory.live(address, length), 0, path);
    return { address, length };
  } finally {
    closeSync(file);
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw new HuskError(`cannot boot: cannot open ${path}: ${(error as NodeJS.ErrnoException).code}`, {
      kind: 'not-found',
      cause: error,
    });
  }
}

function readFully(file: number, into: Uint8Array, position: number, path: string): void {
  for (let done = 0; done < into.length;) {
    const count = readSync(file, into, done, into.length - done, position + done);
    if (count === 0) throw new HuskError(`cannot boot: ${path} ends too early`, { kind: 'corrupt' });
    done += count;
  }
}
