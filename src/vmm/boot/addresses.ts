/**
 * Guest-physical addresses of the boot structures, which lie in the guest's first MiB, and of the kernel above it. The
 * kernel copies whatever it keeps of them.
 */
export const GDT_ADDRESS = 0x500;
export const ZERO_PAGE_ADDRESS = 0x7000;
export const BOOT_STACK_POINTER = 0x8ff0;
export const PML4_ADDRESS = 0x9000;
export const PDPT_ADDRESS = 0xa000;
export const PAGE_DIRECTORY_ADDRESS = 0xb000;
export const COMMAND_LINE_ADDRESS = 0x20000;
/** arch/x86/include/asm/setup.h COMMAND_LINE_SIZE, which counts the final NUL */
export const COMMAND_LINE_SIZE = 2048;
/** Linux looks for the MP floating pointer in the last KiB of base memory (arch/x86/kernel/mpparse.c). */
export const MP_TABLE_ADDRESS = 0x9fc00;
export const BASE_MEMORY_END = MP_TABLE_ADDRESS;
/** The floating pointer, the configuration table and its entries end here, below the 640 KiB hole. */
export const MP_TABLE_END = 0xa0000;
export const KERNEL_START = 0x100000;
/** The boot page tables map everything below this address to itself: 512 pages of 2 MiB. */
export const IDENTITY_MAP_END = 0x4000_0000;
