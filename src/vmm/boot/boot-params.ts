/**
 * Builds the zero page: Linux's `struct boot_params` (Documentation/arch/x86/zero-page.rst) with its setup header
 * (Documentation/arch/x86/boot.rst). The function returns bytes and writes nowhere.
 */
import { COMMAND_LINE_SIZE } from './addresses.ts';

const ZERO_PAGE_SIZE = 4096;

const EXT_RAMDISK_IMAGE = 0x0c0;
const EXT_RAMDISK_SIZE = 0x0c4;
const E820_ENTRIES = 0x1e8;
const BOOT_FLAG = 0x1fe;
const BOOT_FLAG_MAGIC = 0xaa55;
const HEADER = 0x202;
/** "HdrS" */
const HEADER_MAGIC = 0x53726448;
const PROTOCOL_VERSION = 0x206;
/** protocol 2.15, which Linux 5.5 introduced */
const PROTOCOL_2_15 = 0x020f;
const TYPE_OF_LOADER = 0x210;
/** the loader type "undefined": husk has no assigned number */
const LOADER_UNDEFINED = 0xff;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const CMD_LINE_PTR = 0x228;
const CMDLINE_SIZE = 0x238;
const E820_TABLE = 0x2d0;
const E820_ENTRY_SIZE = 20;
const E820_MAX_ENTRIES = 128;
export const E820_RAM = 1;

export interface E820Entry {
  /** guest-physical bytes */
  start: number;
  length: number;
  type: number;
}

export interface BootParams {
  commandLineAddress: number;
  e820: E820Entry[];
  initrd?: { address: number; length: number };
}

export function zeroPage(params: BootParams): Uint8Array {
  const bytes = new Uint8Array(ZERO_PAGE_SIZE);
  const view = new DataView(bytes.buffer);
  if (params.e820.length > E820_MAX_ENTRIES) throw new RangeError('too many e820 entries');
  view.setUint8(E820_ENTRIES, params.e820.length);
  for (const [i, entry] of params.e820.entries()) {
    const at = E820_TABLE + i * E820_ENTRY_SIZE;
    view.setBigUint64(at, BigInt(entry.start), true);
    view.setBigUint64(at + 8, BigInt(entry.length), true);
    view.setUint32(at + 16, entry.type, true);
  }
  view.setUint16(BOOT_FLAG, BOOT_FLAG_MAGIC, true);
  view.setUint32(HEADER, HEADER_MAGIC, true);
  view.setUint16(PROTOCOL_VERSION, PROTOCOL_2_15, true);
  view.setUint8(TYPE_OF_LOADER, LOADER_UNDEFINED);
  view.setUint32(CMD_LINE_PTR, params.commandLineAddress, true);
  view.setUint32(CMDLINE_SIZE, COMMAND_LINE_SIZE - 1, true);
  if (params.initrd !== undefined) {
    view.setUint32(RAMDISK_IMAGE, params.initrd.address % 2 ** 32, true);
    view.setUint32(RAMDISK_SIZE, params.initrd.length % 2 ** 32, true);
    view.setUint32(EXT_RAMDISK_IMAGE, Math.floor(params.initrd.address / 2 ** 32), true);
    view.setUint32(EXT_RAMDISK_SIZE, Math.floor(params.initrd.length / 2 ** 32), true);
  }
  return bytes;
}
