/**
 * Classic BPF as a seccomp filter uses it: instructions, a branch over any distance, and their bytes. This file knows
 * nothing of system calls.
 */

/** linux include/uapi/linux/bpf_common.h: class | size/operation | mode/source */
const LD_W_ABS = 0x20;
const JA = 0x05;
export const JEQ = 0x15;
export const JGT = 0x25;
export const JGE = 0x35;
const RET = 0x06;
const AND = 0x54;

/** bytes of struct sock_filter: u16 code, u8 jt, u8 jf, u32 k */
const INSTRUCTION_SIZE = 8;
/** jt and jf are one byte */
const MAX_JUMP = 255;

export interface Instruction {
  code: number;
  jt: number;
  jf: number;
  k: number;
}

/**
 * Puts `whenFalse` directly after the test and `whenTrue` behind it; a distance above one byte takes an unconditional
 * jump.
 */
export function branch(code: number, k: number, whenTrue: Instruction[], whenFalse: Instruction[]): Instruction[] {
  const head: Instruction[] =
    whenFalse.length <= MAX_JUMP
      ? [{ code, jt: whenFalse.length, jf: 0, k }]
      : [
          { code, jt: 0, jf: 1, k },
          { code: JA, jt: 0, jf: 0, k: whenFalse.length },
        ];
  return [...head, ...whenFalse, ...whenTrue];
}

export function load(offset: number): Instruction {
  return { code: LD_W_ABS, jt: 0, jf: 0, k: offset };
}

export function and(mask: number): Instruction {
  return { code: AND, jt: 0, jf: 0, k: mask };
}

export function ret(value: number): Instruction {
  return { code: RET, jt: 0, jf: 0, k: value };
}

export function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    const at = index * INSTRUCTION_SIZE;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  }
  return bytes;
}
