/**
 * Sets up the state that Linux's 64-bit entry wants (Documentation/arch/x86/boot.rst § 64-bit Boot Protocol): long
 * mode, paging that identity-maps what was loaded, flat segments __BOOT_CS (0x10) and __BOOT_DS (0x18), interrupts off,
 * and the zero page's address in rsi.
 */
import { REGS, SEGMENT, SREGS, DTABLE } from '../kvm/requests.ts';
import type { Vcpu } from '../kvm/vcpu.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import {
  BOOT_STACK_POINTER,
  GDT_ADDRESS,
  PAGE_DIRECTORY_ADDRESS,
  PDPT_ADDRESS,
  PML4_ADDRESS,
  ZERO_PAGE_ADDRESS,
} from './addresses.ts';

/** Intel SDM vol. 3 §4.5 */
const PAGE_PRESENT_WRITABLE = 0x3;
const PAGE_LARGE = 0x80;
const LARGE_PAGE_SIZE = 0x20_0000;

/** Intel SDM vol. 3 §2.5 and §2.2.1 */
const CR0_PE = 1n << 0n;
const CR0_ET = 1n << 4n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
/** Bit 1 of rflags is always set. */
const RFLAGS_RESERVED = 2n;

/** Intel SDM vol. 3 §3.4.5: the segment's type, and the 64-bit code segment's L bit */
const CODE = { selector: 0x10, type: 0b1011, l: 1, db: 0, descriptor: 0x00af9b000000ffffn };
const DATA = { selector: 0x18, type: 0b0011, l: 0, db: 1, descriptor: 0x00cf93000000ffffn };
const TASK = { selector: 0x20, type: 0b1011, descriptor: 0x008f8b000000ffffn };
const GDT = [0n, 0n, CODE.descriptor, DATA.descriptor, TASK.descriptor];

export function writeBootTables(memory: GuestMemory): void {
  const table = (address: number, entries: Iterable<bigint>) =>
    memory.write(address, new Uint8Array(BigUint64Array.from(entries).buffer));
  table(GDT_ADDRESS, GDT);
  table(PML4_ADDRESS, [BigInt(PDPT_ADDRESS | PAGE_PRESENT_WRITABLE)]);
  table(PDPT_ADDRESS, [BigInt(PAGE_DIRECTORY_ADDRESS | PAGE_PRESENT_WRITABLE)]);
  table(
    PAGE_DIRECTORY_ADDRESS,
    Array.from({ length: 512 }, (_, i) => BigInt(i * LARGE_PAGE_SIZE + (PAGE_LARGE | PAGE_PRESENT_WRITABLE))),
  );
}

/** Prepares only the boot CPU: the others wait for their start-up interrupt in real mode, as KVM leaves them. */
export function enterLongMode(vcpu: Vcpu, entry: number): void {
  const sregs = vcpu.getSregs();
  const view = new DataView(sregs.buffer);
  segment(view, SREGS.cs, CODE);
  for (const at of [SREGS.ds, SREGS.es, SREGS.fs, SREGS.gs, SREGS.ss]) segment(view, at, DATA);
  segment(view, SREGS.tr, { ...TASK, l: 0, db: 0, s: 0 });
  view.setBigUint64(SREGS.gdt + DTABLE.base, BigInt(GDT_ADDRESS), true);
  view.setUint16(SREGS.gdt + DTABLE.limit, GDT.length * 8 - 1, true);
  view.setBigUint64(SREGS.idt + DTABLE.base, 0n, true);
  view.setUint16(SREGS.idt + DTABLE.limit, 0, true);
  view.setBigUint64(SREGS.cr0, CR0_PE | CR0_ET | CR0_PG, true);
  view.setBigUint64(SREGS.cr3, BigInt(PML4_ADDRESS), true);
  view.setBigUint64(SREGS.cr4, CR4_PAE, true);
  view.setBigUint64(SREGS.efer, EFER_LME | EFER_LMA, true);
  vcpu.setSregs(sregs);

  const regs = new Uint8Array(REGS.size);
  const registers = new DataView(regs.buffer);
  registers.setBigUint64(REGS.rip, BigInt(entry), true);
  registers.setBigUint64(REGS.rsi, BigInt(ZERO_PAGE_ADDRESS), true);
  registers.setBigUint64(REGS.rsp, BigInt(BOOT_STACK_POINTER), true);
  registers.setBigUint64(REGS.rbp, BigInt(BOOT_STACK_POINTER), true);
  registers.setBigUint64(REGS.rflags, RFLAGS_RESERVED, true);
  vcpu.setRegs(regs);
}

function segment(
  view: DataView,
  at: number,
  value: { selector: number; type: number; l: number; db: number; s?: number },
): void {
  view.setBigUint64(at + SEGMENT.base, 0n, true);
  view.setUint32(at + SEGMENT.limit, 0xffff_ffff, true);
  view.setUint16(at + SEGMENT.selector, value.selector, true);
  view.setUint8(at + SEGMENT.type, value.type);
  view.setUint8(at + SEGMENT.present, 1);
  view.setUint8(at + SEGMENT.dpl, 0);
  view.setUint8(at + SEGMENT.db, value.db);
  view.setUint8(at + SEGMENT.s, value.s ?? 1);
  view.setUint8(at + SEGMENT.l, value.l);
  view.setUint8(at + SEGMENT.g, 1);
  view.setUint8(at + SEGMENT.avl, 0);
  view.setUint8(at + SEGMENT.unusable, 0);
}
