/**
 * Reads the ELF64 program headers of an uncompressed vmlinux (System V gABI chapters 4 and 5; AMD64 psABI). The parser
 * takes bytes and opens nothing.
 *
 * The kernel is normally husk's own, but a person may give the path of another: every field is checked before it is
 * used.
 */
import { HuskError } from '../../errors.ts';

/** Elf64_Ehdr */
const HEADER_SIZE = 64;
const E_IDENT_CLASS = 4;
const ELFCLASS64 = 2;
const E_IDENT_DATA = 5;
const ELFDATA2LSB = 1;
const E_TYPE = 16;
const ET_EXEC = 2;
const E_MACHINE = 18;
const EM_X86_64 = 62;
const E_ENTRY = 24;
const E_PHOFF = 32;
const E_PHENTSIZE = 54;
const E_PHNUM = 56;
/** Elf64_Phdr */
const PROGRAM_HEADER_SIZE = 56;
const PT_LOAD = 1;
const P_OFFSET = 8;
const P_PADDR = 24;
const P_FILESZ = 32;
const P_MEMSZ = 40;
/** Linux's vmlinux has 5 program headers; a file with more than this bound is no kernel. */
const MAX_PROGRAM_HEADERS = 64;

/** the most bytes of the file's start that `parseElf` may need */
export const ELF_HEAD_SIZE = 64 * 1024;

interface Segment {
  /** bytes in the file */
  fileOffset: number;
  fileLength: number;
  /** guest-physical address; the bytes between `fileLength` and `memoryLength` are zero */
  address: number;
  memoryLength: number;
}

export interface Executable {
  /** guest-physical address of the 64-bit entry */
  entry: number;
  segments: Segment[];
}

/**
 * @param head the file's first bytes, at least its headers
 * @param fileSize bytes of the whole file
 * @param window guest-physical range that segments must lie in
 * @throws HuskError `corrupt`
 */
export function parseElf(head: Uint8Array, fileSize: number, window: { start: number; end: number }): Executable {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < HEADER_SIZE || view.getUint32(0, false) !== 0x7f454c46)
    throw wrong('it is not an ELF file (an uncompressed vmlinux is needed, not a bzImage)');
  if (
    head[E_IDENT_CLASS] !== ELFCLASS64 ||
    head[E_IDENT_DATA] !== ELFDATA2LSB ||
    view.getUint16(E_MACHINE, true) !== EM_X86_64
  )
    throw wrong('it is not for x86-64');
  if (view.getUint16(E_TYPE, true) !== ET_EXEC) throw wrong('it is not an executable');
  const count = view.getUint16(E_PHNUM, true);
  const table = u64(view, E_PHOFF);
  if (count === 0 || count > MAX_PROGRAM_HEADERS || view.getUint16(E_PHENTSIZE, true) !== PROGRAM_HEADER_SIZE)
    throw wrong(`it has ${count} program headers`);
  if (table < HEADER_SIZE || table + count * PROGRAM_HEADER_SIZE > head.length)
    throw wrong('its program headers lie outside its head');

  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * PROGRAM_HEADER_SIZE;
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    const segment = {
      fileOffset: u64(view, at + P_OFFSET),
      fileLength: u64(view, at + P_FILESZ),
      address: u64(view, at + P_PADDR),
      memoryLength: u64(view, at + P_MEMSZ),
    };
    if (segment.memoryLength === 0) continue;
    if (segment.fileLength > segment.memoryLength || segment.fileOffset + segment.fileLength > fileSize)
      throw wrong(`segment ${i} is larger than the file`);
    if (segment.address < window.start || segment.address + segment.memoryLength > window.end)
      throw wrong(`segment ${i} at 0x${segment.address.toString(16)} does not fit the guest's memory`);
    if (
      segments.some(
        (other) =>
          segment.address < other.address + other.memoryLength &&
          other.address < segment.address + segment.memoryLength,
      )
    )
      throw wrong(`segment ${i} overlaps another`);
    segments.push(segment);
  }
  const entry = u64(view, E_ENTRY);
  if (!segments.some((segment) => entry >= segment.address && entry < segment.address + segment.memoryLength))
    throw wrong('its entry point lies outside its segments');
  return { entry, segments };
}

/** A number above 2^53 loses its lowest bits; such a value fails the checks above all the same. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function wrong(why: string): HuskError {
  return new HuskError(`cannot boot the kernel: ${why}`, { kind: 'corrupt' });
}
