/** Maps names to numbers for the three system call tables of an x86-64 kernel; each is decoded on first use. */
import { I386, X32_ABSENT, X32_OWN, X86_64 } from './syscall-numbers.ts';

/** linux arch/x86/include/uapi/asm/unistd.h: an x32 call has the arch token of x86-64 and this bit in its number */
export const X32_SYSCALL_BIT = 0x40000000;

export type Abi = 'SCMP_ARCH_X86_64' | 'SCMP_ARCH_X86' | 'SCMP_ARCH_X32';

export type SyscallTable = ReadonlyMap<string, number>;

const tables = new Map<Abi, SyscallTable>();

/** @returns the table; x32 numbers include X32_SYSCALL_BIT */
export function syscallTable(abi: Abi): SyscallTable {
  let table = tables.get(abi);
  if (!table) {
    table = abi === 'SCMP_ARCH_X86_64' ? decode(X86_64) : abi === 'SCMP_ARCH_X86' ? decode(I386) : x32();
    tables.set(abi, table);
  }
  return table;
}

function decode(text: string): Map<string, number> {
  const table = new Map<string, number>();
  let number = 0;
  for (const token of text.split(' ')) {
    if (token.startsWith('@')) number = Number(token.slice(1));
    else table.set(token, number++);
  }
  return table;
}

function x32(): SyscallTable {
  const table = new Map<string, number>();
  const absent = new Set(X32_ABSENT.split(' '));
  for (const [name, number] of decode(X86_64)) if (!absent.has(name)) table.set(name, number + X32_SYSCALL_BIT);
  for (const [name, number] of decode(X32_OWN)) table.set(name, number + X32_SYSCALL_BIT);
  return table;
}
