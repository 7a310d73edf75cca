/**
 * Decides what a seccomp profile does with each call number of an ABI. A profile may come from a person's file: an
 * action, number or operator without meaning is refused here. This file makes no code.
 *
 * The meaning is that of libseccomp under runc: a rule without conditions beats those with; conditions of a rule are
 * and-ed, but several on one argument stand for a rule each; rules are or-ed, and the first that matches decides; a
 * rule equal to the default action is skipped; a name that this table does not know is skipped. Numbers above every
 * call that the profile names answer ENOSYS where the default would deny: a libc that tries a new call then falls back
 * to an old one (runc's libcontainer/seccomp/patchbpf).
 */
import { constants } from 'node:os';
import { HuskError } from '../../errors.ts';
import type { Seccomp } from '../../spec.ts';
import { multiplexed } from './multiplexed.ts';
import { syscallTable, type Abi } from './syscalls.ts';

/** the number of arguments in struct seccomp_data, linux include/uapi/linux/seccomp.h */
const ARGS = 6;

/** linux include/uapi/linux/seccomp.h SECCOMP_RET_* */
const RET_KILL_PROCESS = 0x80000000;
export const RET_KILL_THREAD = 0;
const RET_TRAP = 0x00030000;
const RET_ERRNO = 0x00050000;
const RET_TRACE = 0x7ff00000;
const RET_LOG = 0x7ffc0000;
const RET_ALLOW = 0x7fff0000;

const { ENOSYS, EPERM } = constants.errno;
/** the answer to a libc that tries a call which the profile does not know: libc then falls back to an older call */
export const NO_SUCH_CALL = RET_ERRNO + ENOSYS;
/** linux include/linux/err.h MAX_ERRNO */
const MAX_ERRNO = 4095;

/**
 * SECCOMP_FILTER_FLAG_*. runc sets SPEC_ALLOW unless the profile has flags: the container's processes then have no
 * store-bypass mitigation, like any other process.
 */
const FLAGS: Record<string, number> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

/** One condition on a 64-bit argument. */
export interface Condition {
  index: number;
  op: string;
  value: bigint;
  valueTwo: bigint;
}

export interface Rule {
  conditions: Condition[];
  action: number;
}

/** What happens to a call number: a constant action, or rules and then the default. */
export type Decision = number | Rule[];

export function filterFlags(names: readonly string[] | undefined): number {
  if (names === undefined || names.length === 0) return FLAGS['SECCOMP_FILTER_FLAG_SPEC_ALLOW']!;
  return names.reduce((flags, name) => {
    const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined;
    if (flag === undefined)
      throw new HuskError(`the seccomp profile has an unknown flag "${name}"`, { kind: 'invalid' });
    return flags | flag;
  }, 0);
}

export function actionValue(action: string, errno: number | undefined): number {
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

export function denies(action: number): boolean {
  return (
    action !== RET_ALLOW && action !== RET_LOG && action - (action & 0xffff) !== RET_TRACE && action !== NO_SUCH_CALL
  );
}

/**
 * @returns the decision for each number of a call that the profile treats other than by the default; numbers that it
 * names only to give them the default stay in the map, for `highest`
 */
export function decide(abi: Abi, seccomp: Seccomp, fallback: number): Map<number, Decision> {
  const table = syscallTable(abi);
  const result = new Map<number, Decision>();
  const put = (number: number, rules: Rule[]) => {
    const known = result.get(number);
    // A call that is decided without conditions stays so.
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
  // JSON has already rounded a number above 2^53: a filter that is nearly what was meant is worse than none.
  if (!Number.isSafeInteger(value) || value < 0)
    throw new HuskError(`the seccomp profile has a value out of range: ${value}`, { kind: 'invalid' });
  return BigInt(value);
}
