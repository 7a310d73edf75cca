/**
 * The guest-physical address map (docs/vmm.md § Memory map). Bytes.
 *
 *   0x0000_0000  RAM (the first MiB has boot structures, see boot/)
 *   0xc000_0000  end of low RAM
 *   0xd000_0000  virtio-mmio devices, one page each
 *   0xfec0_0000  IOAPIC (in the kernel)        0xfee0_0000  local APICs (in the kernel)
 *   0xfffb_c000  Intel's identity map page, then its three TSS pages
 *   0x1_0000_0000  RAM above the hole
 */
export const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

export const LOW_RAM_END = 3 * GIB;
export const HIGH_RAM_START = 4 * GIB;

export const MMIO_BASE = 0xd000_0000;
export const MMIO_DEVICE_SIZE = 0x1000;
/** bounded by the number of free interrupt lines, see `IRQ_FIRST` */
export const MMIO_MAX_DEVICES = 16;

export const IDENTITY_MAP_ADDRESS = 0xfffb_c000;
export const TSS_ADDRESS = 0xfffb_d000;

export const IOAPIC_ADDRESS = 0xfec0_0000;
export const LAPIC_ADDRESS = 0xfee0_0000;
/** pins of KVM's IOAPIC */
export const IOAPIC_PINS = 24;

/**
 * Device i has interrupt line IRQ_FIRST + i, above the lines of the timer (0), the cascade (2) and the serial port (4).
 * Line 8, which a PC gives to its RTC, belongs to a device like the others.
 */
export const IRQ_FIRST = 5;

/**
 * the least RAM that the guest kernel boots in (measured), and the most that KVM's 46-bit guests and our tests have
 * needed
 */
export const MIN_RAM = 32 * MIB;
export const MAX_RAM = 1024 * GIB;
