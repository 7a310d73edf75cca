/**
 * Builds the MP table (Intel MultiProcessor Specification 1.4, chapter 4). A guest without ACPI learns from it which
 * CPUs and which IOAPIC it has, and which line goes to which pin. Line n is pin n and edge-triggered, as on the ISA
 * bus, because an irqfd without resampling raises edges.
 */
import { IOAPIC_ADDRESS, IOAPIC_PINS, LAPIC_ADDRESS } from '../memory/layout.ts';
import { MP_TABLE_ADDRESS, MP_TABLE_END } from './addresses.ts';

const FLOATING_POINTER_SIZE = 16;
const HEADER_SIZE = 44;
const PROCESSOR_SIZE = 20;
const OTHER_SIZE = 8;
/** entry types, §4.3 */
const PROCESSOR = 0;
const BUS = 1;
const IOAPIC = 2;
const IO_INTERRUPT = 3;
const LOCAL_INTERRUPT = 4;
/** interrupt types, table 4-10 */
const INT = 0;
const NMI = 1;
const EXTINT = 3;
const CPU_ENABLED = 1;
const CPU_BOOT = 2;
/** the version of an "integrated APIC", which KVM's in-kernel one reports */
const APIC_VERSION = 0x14;
const IOAPIC_VERSION = 0x11;
const ALL_LOCAL_APICS = 0xff;

/** the number of CPUs whose entries fit below the 640 KiB hole; it is also below the xAPIC's 8-bit ids */
export const MAX_CPUS = Math.min(
  64,
  Math.floor(
    (MP_TABLE_END - MP_TABLE_ADDRESS - FLOATING_POINTER_SIZE - HEADER_SIZE - (4 + IOAPIC_PINS) * OTHER_SIZE) /
      PROCESSOR_SIZE,
  ),
);

/** @returns the floating pointer and the table behind it, to be placed at MP_TABLE_ADDRESS */
export function mpTable(cpus: number): Uint8Array {
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MAX_CPUS) throw new RangeError(`${cpus} CPUs`);
  const entries: number[][] = [];
  for (let id = 0; id < cpus; id++)
    entries.push([PROCESSOR, id, APIC_VERSION, CPU_ENABLED | (id === 0 ? CPU_BOOT : 0), ...Array<number>(16).fill(0)]);
  entries.push([BUS, 0, ...ascii('ISA   ')]);
  const ioapicId = cpus;
  entries.push([IOAPIC, ioapicId, IOAPIC_VERSION, 1, ...u32(IOAPIC_ADDRESS)]);
  for (let pin = 0; pin < IOAPIC_PINS; pin++) entries.push([IO_INTERRUPT, INT, 0, 0, 0, pin, ioapicId, pin]);
  entries.push([LOCAL_INTERRUPT, EXTINT, 0, 0, 0, 0, 0, 0], [LOCAL_INTERRUPT, NMI, 0, 0, 0, 0, ALL_LOCAL_APICS, 1]);

  const body = entries.flat();
  const table = [
    ...ascii('PCMP'),
    ...u16(HEADER_SIZE + body.length),
    4,
    0,
    ...ascii('HUSK    '),
    ...ascii('000000000000'),
    ...u32(0),
    ...u16(0),
    ...u16(entries.length),
    ...u32(LAPIC_ADDRESS),
    ...u32(0),
    ...body,
  ];
  table[7] = checksum(table);
  const pointer = [...ascii('_MP_'), ...u32(MP_TABLE_ADDRESS + FLOATING_POINTER_SIZE), 1, 4, 0, 0, 0, 0, 0, 0];
  pointer[10] = checksum(pointer);
  return Uint8Array.from([...pointer, ...table]);
}

/** @returns the byte that makes all bytes of a structure sum to zero */
function checksum(bytes: number[]): number {
  return (256 - (bytes.reduce((sum, byte) => sum + byte, 0) % 256)) % 256;
}

const ascii = (text: string) => [...Buffer.from(text, 'latin1')];
const u16 = (value: number) => [value & 0xff, value >>> 8];
const u32 = (value: number) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
