/**
 * Compiles OCI seccomp into classic BPF for seccomp(2). The program checks the architecture, finds the call by binary
 * search over ranges of equal decision, then checks the arguments. decisions.ts makes the decisions. The compiler is
 * deterministic; it reads and writes nothing.
 */
import { HuskError } from '../../errors.ts';
import type { Seccomp } from '../../spec.ts';
import { and, branch, encode, JEQ, JGE, JGT, load, ret, type Instruction } from './bpf.ts';
import {
  actionValue,
  decide,
  denies,
  filterFlags,
  NO_SUCH_CALL,
  RET_KILL_THREAD,
  type Condition,
  type Decision,
  type Rule,
} from './decisions.ts';
import { X32_SYSCALL_BIT, type Abi } from './syscalls.ts';

/** struct seccomp_data, linux include/uapi/linux/seccomp.h: nr at 0, arch at 4, args[6] of 64 bits at 16 */
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
const OFFSET_ARGS = 16;

/** linux include/uapi/linux/audit.h */
const AUDIT_ARCH_X86_64 = 0xc000003e;
const AUDIT_ARCH_I386 = 0x40000003;

/** linux include/uapi/linux/bpf_common.h BPF_MAXINSNS */
const MAX_INSTRUCTIONS = 4096;

export interface CompiledFilter {
  /** array of struct sock_filter, little-endian */
  filter: Uint8Array;
  /** flags for seccomp(2) */
  flags: number;
}

/**
 * @throws HuskError `invalid` for what has no meaning, `unsupported` for user notification, `limit` for more than 4096
 * instructions
 */
export function compileSeccomp(seccomp: Seccomp): CompiledFilter {
  const abis = architectures(seccomp);
  const fallback = actionValue(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const section = (abi: Abi) => abiSection(abi, seccomp, fallback);
  const bad: Instruction[] = [ret(RET_KILL_THREAD)];
  const native = abis.has('SCMP_ARCH_X86_64') ? section('SCMP_ARCH_X86_64') : bad;
  const x32 = abis.has('SCMP_ARCH_X32') ? section('SCMP_ARCH_X32') : bad;
  const i386 = abis.has('SCMP_ARCH_X86') ? section('SCMP_ARCH_X86') : bad;
  const long = [load(OFFSET_NR), ...branch(JGE, X32_SYSCALL_BIT, x32, native)];
  const program = [
    load(OFFSET_ARCH),
    ...branch(JEQ, AUDIT_ARCH_X86_64, long, branch(JEQ, AUDIT_ARCH_I386, [load(OFFSET_NR), ...i386], bad)),
  ];
  if (program.length > MAX_INSTRUCTIONS)
    throw new HuskError(
      `the seccomp profile compiles to ${program.length} instructions, the kernel takes ${MAX_INSTRUCTIONS}`,
      { kind: 'limit' },
    );
  return { filter: encode(program), flags: filterFlags(seccomp.flags) };
}

function architectures(seccomp: Seccomp): Set<string> {
  const known = ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'];
  // runc adds the native architecture by itself.
  return new Set(['SCMP_ARCH_X86_64', ...(seccomp.architectures ?? []).filter((name) => known.includes(name))]);
}

/** @returns code that decides a call of one ABI, whose number is in the accumulator */
function abiSection(abi: Abi, seccomp: Seccomp, fallback: number): Instruction[] {
  const decisions = decide(abi, seccomp, fallback);
  const numbers = [...decisions.keys()].sort((a, b) => a - b);
  const first = abi === 'SCMP_ARCH_X32' ? X32_SYSCALL_BIT : 0;
  const ranges: { from: number; decision: Decision }[] = [{ from: first, decision: fallback }];
  const append = (from: number, decision: Decision) => {
    const last = ranges.at(-1)!;
    if (last.from === from) last.decision = decision;
    else if (last.decision !== decision) ranges.push({ from, decision });
  };
  for (const number of numbers) {
    append(number, decisions.get(number)!);
    append(number + 1, fallback);
  }
  const highest = numbers.at(-1);
  if (highest !== undefined && denies(fallback)) append(highest + 1, NO_SUCH_CALL);
  return tree(merged(ranges), { fallback, narrow: abi !== 'SCMP_ARCH_X86_64' });
}

/** Joins neighbours of equal decision, which `append` may leave where it overwrote a range. */
function merged(ranges: { from: number; decision: Decision }[]): { from: number; decision: Decision }[] {
  return ranges.filter((range, index) => index === 0 || range.decision !== ranges[index - 1]!.decision);
}

interface LeafOptions {
  fallback: number;
  narrow: boolean;
}

function tree(ranges: readonly { from: number; decision: Decision }[], options: LeafOptions): Instruction[] {
  if (ranges.length === 1) return leaf(ranges[0]!.decision, options);
  const middle = ranges.length >> 1;
  return branch(JGE, ranges[middle]!.from, tree(ranges.slice(middle), options), tree(ranges.slice(0, middle), options));
}

function leaf(decision: Decision, { fallback, narrow }: LeafOptions): Instruction[] {
  if (typeof decision === 'number') return [ret(decision)];
  return [...decision.flatMap((rule) => ruleCode(rule, narrow)), ret(fallback)];
}

/** @returns the rule's conditions one after another, then its action; a condition that fails jumps behind the action */
function ruleCode({ conditions, action }: Rule, narrow: boolean): Instruction[] {
  const blocks = conditions.map((condition) => conditionCode(condition, narrow));
  let after = 1;
  for (let index = blocks.length - 1; index >= 0; index--) {
    const block = blocks[index]!;
    const toFail = after;
    for (const [position, instruction] of block.entries()) {
      const toEnd = block.length - 1 - position;
      instruction.jt = resolve(instruction.jt, toEnd, toFail);
      instruction.jf = resolve(instruction.jf, toEnd, toFail);
    }
    after += block.length;
  }
  return [...blocks.flat(), ret(action)];
}

/** placeholders for a jump until the rule's length is known; any other value is a real distance */
const PASS = -1;
const FAIL = -2;

function resolve(jump: number, toEnd: number, toFail: number): number {
  return jump === PASS ? toEnd : jump === FAIL ? toEnd + toFail : jump;
}

/** @returns tests of both 32-bit halves: the high one first, which may decide alone; then the low one */
function conditionCode({ index, op, value, valueTwo }: Condition, narrow: boolean): Instruction[] {
  const low = OFFSET_ARGS + index * 8;
  const high = low + 4;
  const [valueHigh, valueLow] = halves(value);
  const compare = (code: number, k: number, jt: number, jf: number): Instruction => ({ code, jt, jf, k });
  const greater = [load(high), compare(JGT, valueHigh, PASS, 0), compare(JEQ, valueHigh, 0, FAIL)];
  const less = [load(high), compare(JGT, valueHigh, FAIL, 0), compare(JEQ, valueHigh, 0, PASS)];
  // The 32-bit ABIs pass 32-bit arguments: neither the filter nor the kernel looks at the bits above.
  const wide = (instructions: Instruction[]) => (narrow ? [] : instructions);
  switch (op) {
    case 'SCMP_CMP_EQ':
      return [...wide([load(high), compare(JEQ, valueHigh, 0, FAIL)]), load(low), compare(JEQ, valueLow, PASS, FAIL)];
    case 'SCMP_CMP_NE':
      return [...wide([load(high), compare(JEQ, valueHigh, 0, PASS)]), load(low), compare(JEQ, valueLow, FAIL, PASS)];
    case 'SCMP_CMP_GT':
      return [...wide(greater), load(low), compare(JGT, valueLow, PASS, FAIL)];
    case 'SCMP_CMP_GE':
      return [...wide(greater), load(low), compare(JGE, valueLow, PASS, FAIL)];
    case 'SCMP_CMP_LT':
      return [...wide(less), load(low), compare(JGE, valueLow, FAIL, PASS)];
    case 'SCMP_CMP_LE':
      return [...wide(less), load(low), compare(JGT, valueLow, FAIL, PASS)];
    default: {
      // For MASKED_EQ `value` is the mask, and `valueTwo` what must remain.
      const [wantHigh, wantLow] = halves(valueTwo);
      return [
        ...wide([load(high), and(valueHigh), compare(JEQ, wantHigh, 0, FAIL)]),
        load(low),
        and(valueLow),
        compare(JEQ, wantLow, PASS, FAIL),
      ];
    }
  }
}

function halves(value: bigint): [high: number, low: number] {
  return [Number(value >> 32n), Number(value & 0xffffffffn)];
}
