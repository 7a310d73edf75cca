/**
 * OCI seccomp → classic BPF for seccomp(2). Checks the architecture, finds the call by binary search over ranges of
 * equal decision, then the arguments. Deterministic; reads and writes nothing.
 *
 * Meaning, as libseccomp under runc has it: a rule without conditions beats those with; conditions of a rule are
 * and-ed, but several on one argument stand for a rule each; rules are or-ed, the first that matches decides; a rule
 * equal to the default action is skipped; a name this table does not know is skipped. Numbers above every call the
 * profile names answer ENOSYS where the default would deny: a libc that tries a new call then falls back to an old one
 * (runc's libcontainer/seccomp/patchbpf).
 */
import { constants } from 'node:os';
import { HuskError } from '../../errors.ts';
import type { Seccomp } from '../../spec.ts';
import { multiplexed } from './multiplexed.ts';
import { syscallTable, X32_SYSCALL_BIT, type Abi } from './syscalls.ts';

/** struct seccomp_data, linux include/uapi/linux/seccomp.h: nr at 0, arch at 4, args[6] of 64 bits at 16 */
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
const OFFSET_ARGS = 16;
const ARGS = 6;

/** linux include/uapi/linux/audit.h */
const AUDIT_ARCH_X86_64 = 0xc000003e;
const AUDIT_ARCH_I386 = 0x40000003;

/** linux include/uapi/linux/bpf_common.h: class | size/operation | mode/source */
const LD_W_ABS = 0x20;
const JA = 0x05;
const JEQ = 0x15;
const JGT = 0x25;
const JGE = 0x35;
const RET = 0x06;
const AND = 0x54;

/** linux include/uapi/linux/bpf_common.h BPF_MAXINSNS */
const MAX_INSTRUCTIONS = 4096;
/** bytes of struct sock_filter: u16 code, u8 jt, u8 jf, u32 k */
const INSTRUCTION_SIZE = 8;
/** jt and jf are one byte */
const MAX_JUMP = 255;

/** linux include/uapi/linux/seccomp.h SECCOMP_RET_* */
const RET_KILL_PROCESS = 0x80000000;
const RET_KILL_THREAD = 0;
const RET_TRAP = 0x00030000;
const RET_ERRNO = 0x00050000;
const RET_TRACE = 0x7ff00000;
const RET_LOG = 0x7ffc0000;
const RET_ALLOW = 0x7fff0000;

const { ENOSYS, EPERM } = constants.errno;
/** linux include/linux/err.h MAX_ERRNO */
const MAX_ERRNO = 4095;

/**
 * SECCOMP_FILTER_FLAG_*; runc sets SPEC_ALLOW unless the profile has flags: no store-bypass mitigation, as for any
 * other process
 */
const FLAGS: Record<string, number> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

interface Instruction {
  code: number;
  jt: number;
  jf: number;
  k: number;
}

/** One condition on a 64-bit argument. */
interface Condition {
  index: number;
  op: string;
  value: bigint;
  valueTwo: bigint;
}

interface Rule {
  conditions: Condition[];
  action: number;
}

/** What happens to a call number: a constant, or rules and then the default. */
type Decision = number | Rule[];

export interface CompiledFilter {
  /** array of struct sock_filter, little-endian */
  filter: Uint8Array;
  /** for seccomp(2) */
  flags: number;
}

/**
 * @throws HuskError `invalid` for what has no meaning, `unsupported` for user notification, `limit` over 4096
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
  // runc adds the native one itself
  return new Set(['SCMP_ARCH_X86_64', ...(seccomp.architectures ?? []).filter((name) => known.includes(name))]);
}

function filterFlags(names: readonly string[] | undefined): number {
  if (names === undefined || names.length === 0) return FLAGS['SECCOMP_FILTER_FLAG_SPEC_ALLOW']!;
  return names.reduce((flags, name) => {
    const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined;
    if (flag === undefined)
      throw new HuskError(`the seccomp profile has an unknown flag "${name}"`, { kind: 'invalid' });
    return flags | flag;
  }, 0);
}

function actionValue(action: string, errno: number | undefined): number {
  if (errno !== undefined && !(Number.isInteger(errno) && errno >= 0 && errno <= MAX_ERRNO))
    throw new HuskError(`the seccomp profile has an errno out of range: ${errno}`, { kind: 'invalid' });
  switch (action) {
    case 'SCMP_ACT_ALLOW':
      return RET_ALLOW;
    case 'SCMP_ACT_ERRNO':
      return RET_ERRNO + (errno ?? EPERM);
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return RET_KILL_THREAD;
    case 'SCMP_ACT_KILL_PROCESS':
      return RET_KILL_PROCESS;
    case 'SCMP_ACT_TRAP':
      return RET_TRAP;
    case 'SCMP_ACT_LOG':
      return RET_LOG;
    case 'SCMP_ACT_TRACE':
      return RET_TRACE + (errno ?? EPERM);
    case 'SCMP_ACT_NOTIFY':
      throw new HuskError('the seccomp action SCMP_ACT_NOTIFY is not supported: nothing listens', {
        kind: 'unsupported',
      });
    default:
      throw new HuskError(`the seccomp profile has an unknown action "${action}"`, { kind: 'invalid' });
  }
}

/** Code that decides a call of one ABI; the accumulator has its number. */
function abiSection(abi: Abi, seccomp: Seccomp, fallback: number): Instruction[] {
  const decisions = collect(abi, seccomp, fallback);
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
  if (highest !== undefined && denies(fallback)) append(highest + 1, RET_ERRNO + ENOSYS);
  return tree(merged(ranges), { fallback, narrow: abi !== 'SCMP_ARCH_X86_64' });
}

/** `append` may leave neighbours of equal decision where a range was overwritten. */
function merged(ranges: { from: number; decision: Decision }[]): { from: number; decision: Decision }[] {
  return ranges.filter((range, index) => index === 0 || range.decision !== ranges[index - 1]!.decision);
}

function denies(action: number): boolean {
  return (
    action !== RET_ALLOW &&
    action !== RET_LOG &&
    action - (action & 0xffff) !== RET_TRACE &&
    action !== RET_ERRNO + ENOSYS
  );
}

/**
 * number → decision, for every call that is not simply the default. The default for numbers the profile names stays in
 * the map, for `highest`.
 */
function collect(abi: Abi, seccomp: Seccomp, fallback: number): Map<number, Decision> {
  const table = syscallTable(abi);
  const result = new Map<number, Decision>();
  const put = (number: number, rules: Rule[]) => {
    const known = result.get(number);
    // a call decided without conditions stays so
    if (typeof known === 'number' && known !== fallback) return;
    const plain = rules.find(({ conditions }) => conditions.length === 0);
    if (plain) result.set(number, plain.action);
    else result.set(number, [...(typeof known === 'object' ? known : []), ...rules]);
  };
  for (const { names, action, errnoRet, args } of seccomp.syscalls ?? []) {
    const value = actionValue(action, errnoRet);
    const rules = ruleConditions(args ?? []).map((conditions) => ({ conditions, action: value }));
    for (const name of names) {
      const number = table.get(name);
      if (number !== undefined) {
        if (value === fallback) {
          if (!result.has(number)) result.set(number, fallback);
        } else put(number, rules);
      }
      if (abi !== 'SCMP_ARCH_X86' || value === fallback) continue;
      const inner = multiplexed(name);
      if (inner)
        put(table.get(inner.call)!, [
          { conditions: [{ index: 0, op: 'SCMP_CMP_EQ', value: BigInt(inner.code), valueTwo: 0n }], action: value },
        ]);
    }
  }
  return result;
}

type Arg = NonNullable<NonNullable<Seccomp['syscalls']>[number]['args']>[number];

function ruleConditions(args: readonly Arg[]): Condition[][] {
  const conditions = args.map(condition);
  const repeated = new Set(conditions.map(({ index }) => index)).size < conditions.length;
  return repeated ? conditions.map((one) => [one]) : [conditions];
}

const OPERATORS = new Set([
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
]);

function condition({ index, op, value, valueTwo = 0 }: Arg): Condition {
  if (!Number.isInteger(index) || index < 0 || index >= ARGS)
    throw new HuskError(`the seccomp profile has an argument index out of range: ${index}`, { kind: 'invalid' });
  if (!OPERATORS.has(op))
    throw new HuskError(`the seccomp profile has an unknown operator "${op}"`, { kind: 'invalid' });
  return { index, op, value: word(value), valueTwo: word(valueTwo) };
}

function word(value: number): bigint {
  // beyond 2^53 JSON has already rounded it: a filter that is nearly what was meant is worse than none
  if (!Number.isSafeInteger(value) || value < 0)
    throw new HuskError(`the seccomp profile has a value out of range: ${value}`, { kind: 'invalid' });
  return BigInt(value);
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

/** The rule's conditions one after another, then its action; a condition that fails jumps behind it. */
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

/** placeholders of a jump until the rule's length is known; anything else is a real distance */
const PASS = -1;
const FAIL = -2;

function resolve(jump: number, toEnd: number, toFail: number): number {
  return jump === PASS ? toEnd : jump === FAIL ? toEnd + toFail : jump;
}

/** Tests of one 32-bit half: the high one first, which may settle it; then the low one. */
function conditionCode({ index, op, value, valueTwo }: Condition, narrow: boolean): Instruction[] {
  const low = OFFSET_ARGS + index * 8;
  const high = low + 4;
  const [valueHigh, valueLow] = halves(value);
  const compare = (code: number, k: number, jt: number, jf: number): Instruction => ({ code, jt, jf, k });
  const greater = [load(high), compare(JGT, valueHigh, PASS, 0), compare(JEQ, valueHigh, 0, FAIL)];
  const less = [load(high), compare(JGT, valueHigh, FAIL, 0), compare(JEQ, valueHigh, 0, PASS)];
  // the 32-bit ABIs pass 32-bit arguments: what stands above is not looked at, as the kernel does not
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
      // MASKED_EQ: value is the mask, valueTwo what must remain
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

/** `whenFalse` follows at once, `whenTrue` behind it; a distance over one byte takes an unconditional jump. */
function branch(code: number, k: number, whenTrue: Instruction[], whenFalse: Instruction[]): Instruction[] {
  const head: Instruction[] =
    whenFalse.length <= MAX_JUMP
      ? [{ code, jt: whenFalse.length, jf: 0, k }]
      : [
          { code, jt: 0, jf: 1, k },
          { code: JA, jt: 0, jf: 0, k: whenFalse.length },
        ];
  return [...head, ...whenFalse, ...whenTrue];
}

function load(offset: number): Instruction {
  return { code: LD_W_ABS, jt: 0, jf: 0, k: offset };
}

function and(mask: number): Instruction {
  return { code: AND, jt: 0, jf: 0, k: mask };
}

function ret(value: number): Instruction {
  return { code: RET, jt: 0, jf: 0, k: value };
}

function encode(program: readonly Instruction[]): Uint8Array {
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
