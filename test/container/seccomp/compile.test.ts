/**
 * Our compiler's decisions against those of libseccomp's own output for the same profile: another implementation, not
 * our opinion.
 */
import test from 'ava';
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from '../../../src/container/capabilities.ts';
import { compileSeccomp } from '../../../src/container/seccomp/compile.ts';
import { parseProfile, resolveProfile, seccompFor } from '../../../src/container/seccomp/profile.ts';
import { syscallTable, X32_SYSCALL_BIT, type Abi } from '../../../src/container/seccomp/syscalls.ts';
import type { Seccomp } from '../../../src/spec.ts';
import { ARCH_I386, ARCH_X86_64, run, show, type SeccompData } from './bpf.ts';
import { libseccomp, libseccompMissing } from './libseccomp.ts';

const ARCHES = ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'];
const ENOSYS = 0x00050000 + 38;

/** Every call of every ABI, with arguments around every value the profile compares with. */
function* calls(seccomp: Seccomp): Generator<SeccompData> {
  const values = new Set([0n, 1n, 2n, 0xffffffffn, 1n << 32n, (1n << 64n) - 1n]);
  for (const { args } of seccomp.syscalls ?? [])
    for (const { value, valueTwo = 0 } of args ?? [])
      for (const one of [BigInt(value), BigInt(valueTwo)])
        for (const near of [one - 1n, one, one + 1n, one | (1n << 40n), one | 0x11n]) if (near >= 0n) values.add(near);
  for (const [arch, base] of [
    [ARCH_X86_64, 0],
    [ARCH_X86_64, X32_SYSCALL_BIT],
    [ARCH_I386, 0],
  ] as const) {
    for (let nr = 0; nr < 560; nr++)
      for (const first of values) yield { arch, nr: base + nr, args: [first, 0n, first, 5n, 0n, 0n] };
  }
  for (const first of values) yield { arch: ARCH_X86_64, nr: 41, args: [5n, first, 7n, first, 0n, 0n] };
}

function highest(abi: Abi, seccomp: Seccomp): number {
  const table = syscallTable(abi);
  return Math.max(...seccomp.syscalls!.flatMap(({ names }) => names.map((name) => table.get(name) ?? 0)));
}

const macro = test.macro<[Seccomp]>((t, seccomp) => {
  const missing = libseccompMissing();
  if (missing) {
    t.log(`skipped: ${missing}`);
    t.pass();
    return;
  }
  const golden = libseccomp(seccomp);
  // what Debian's libseccomp has never heard of, it cannot judge
  const known = {
    ...seccomp,
    syscalls: seccomp.syscalls!.map((rule) => ({
      ...rule,
      names: rule.names.filter((name) => !golden.unknown.has(name)),
    })),
  };
  const ours = compileSeccomp(known).filter;
  const tops: Record<string, number> = {
    long: highest('SCMP_ARCH_X86_64', known),
    x32: highest('SCMP_ARCH_X32', known),
    i386: highest('SCMP_ARCH_X86', known),
  };
  const wrong: string[] = [];
  let compared = 0;
  for (const call of calls(known)) {
    const mine = run(ours, call);
    const theirs = run(golden.filter, call);
    compared++;
    if (mine === theirs) continue;
    const top = tops[call.arch === ARCH_I386 ? 'i386' : call.nr >= X32_SYSCALL_BIT ? 'x32' : 'long']!;
    // runc's addition to libseccomp: calls newer than the profile answer ENOSYS
    if (call.nr > top && mine === ENOSYS) continue;
    wrong.push(
      `${call.arch.toString(16)} ${call.nr} (${call.args.join(', ')}): ${show(mine)}, libseccomp ${show(theirs)}`,
    );
  }
  t.true(compared > 10_000);
  t.deepEqual(wrong.slice(0, 20), []);
});

const facts = (capabilities: readonly string[]) => ({ capabilities, kernel: '6.1.0', privileged: false });
const profile = (syscalls: object[], more: object = {}) =>
  resolveProfile(
    parseProfile(JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', architectures: ARCHES, syscalls, ...more })),
    facts([]),
  );
const allowing = (syscalls: object[]) => profile(syscalls, { defaultAction: 'SCMP_ACT_ALLOW' });
const arg = (index: number, op: string, value: number, valueTwo = 0) => ({
  index,
  op: `SCMP_CMP_${op}`,
  value,
  valueTwo,
});

test('as libseccomp: default profile, 14 capabilities', macro, seccompFor(undefined, facts(DEFAULT_CAPABILITIES))!);
test('as libseccomp: default profile, no capabilities', macro, seccompFor(undefined, facts([]))!);
test('as libseccomp: default profile, every capability', macro, seccompFor(undefined, facts(ALL_CAPABILITIES))!);
for (const op of ['EQ', 'NE', 'LT', 'LE', 'GT', 'GE'])
  for (const value of [0, 7, 0x7fffffff, 0xffffffff])
    test(
      `as libseccomp: allow when arg 0 ${op} ${value}`,
      macro,
      profile([{ names: ['socket', 'read', 'ioctl'], action: 'SCMP_ACT_ALLOW', args: [arg(0, op, value)] }]),
    );
test(
  'as libseccomp: masked',
  macro,
  profile([{ names: ['clone', 'personality'], action: 'SCMP_ACT_ALLOW', args: [arg(0, 'MASKED_EQ', 0xff0, 0x10)] }]),
);
test(
  'as libseccomp: several args are and-ed',
  macro,
  profile([
    { names: ['read', 'mmap'], action: 'SCMP_ACT_ALLOW', args: [arg(0, 'EQ', 1), arg(2, 'GE', 1), arg(3, 'LE', 5)] },
  ]),
);
test(
  'as libseccomp: several on one arg are or-ed',
  macro,
  profile([{ names: ['read'], action: 'SCMP_ACT_ALLOW', args: [arg(0, 'EQ', 1), arg(0, 'EQ', 2)] }]),
);
test(
  'as libseccomp: rules are or-ed',
  macro,
  profile([
    { names: ['read'], action: 'SCMP_ACT_ALLOW', args: [arg(0, 'EQ', 1)] },
    { names: ['read'], action: 'SCMP_ACT_ALLOW', args: [arg(2, 'GT', 7)] },
  ]),
);
test(
  'as libseccomp: an unconditional rule wins over a later condition',
  macro,
  profile([
    { names: ['read'], action: 'SCMP_ACT_ALLOW' },
    { names: ['read'], action: 'SCMP_ACT_KILL', args: [arg(0, 'EQ', 1)] },
  ]),
);
test(
  'as libseccomp: an unconditional rule wins over an earlier condition',
  macro,
  profile([
    { names: ['read'], action: 'SCMP_ACT_KILL', args: [arg(0, 'EQ', 1)] },
    { names: ['read'], action: 'SCMP_ACT_ALLOW' },
  ]),
);
test(
  'as libseccomp: the first of two unconditional rules wins',
  macro,
  profile([
    { names: ['read'], action: 'SCMP_ACT_ALLOW' },
    { names: ['read'], action: 'SCMP_ACT_KILL' },
  ]),
);
test(
  'as libseccomp: every action',
  macro,
  profile(
    ['ERRNO', 'KILL', 'KILL_PROCESS', 'TRAP', 'LOG', 'TRACE', 'ALLOW'].map((action, index) => ({
      names: [['read', 'write', 'open', 'close', 'stat', 'fstat', 'lseek'][index]],
      action: `SCMP_ACT_${action}`,
      errnoRet: action === 'ERRNO' || action === 'TRACE' ? 13 : undefined,
    })),
  ),
);
test(
  'as libseccomp: deny list',
  macro,
  allowing([{ names: ['mkdir', 'mount', 'ptrace'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }]),
);
test(
  'as libseccomp: a denied socket is denied in socketcall',
  macro,
  allowing([{ names: ['socket', 'shmget'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }]),
);
test(
  'as libseccomp: a denied socket family',
  macro,
  allowing([{ names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: 1, args: [arg(0, 'EQ', 38)] }]),
);
test(
  'as libseccomp: x86_64 alone',
  macro,
  profile([{ names: ['read'], action: 'SCMP_ACT_ALLOW' }], { architectures: ['SCMP_ARCH_X86_64'] }),
);
test(
  'as libseccomp: no i386',
  macro,
  profile([{ names: ['read'], action: 'SCMP_ACT_ALLOW' }], { architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'] }),
);

/** Calls newer than Debian's libseccomp: [capabilities, ABI, name, decision] by the profile's text. */
const newer: [readonly string[], Abi, string, string][] = [
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'cachestat', 'allow'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'fchmodat2', 'allow'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'mseal', 'allow'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86', 'setxattrat', 'allow'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'uretprobe', 'allow'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'lsm_set_self_attr', 'errno 1'],
  [ALL_CAPABILITIES, 'SCMP_ARCH_X86_64', 'lsm_set_self_attr', 'allow'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'file_setattr', 'errno 38'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'clone3', 'errno 38'],
  [ALL_CAPABILITIES, 'SCMP_ARCH_X86_64', 'clone3', 'allow'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86_64', 'io_uring_setup', 'errno 1'],
  // the number of the call within it is the first argument: 0 here, and every one below
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86', 'socketcall', 'errno 38'],
  [ALL_CAPABILITIES, 'SCMP_ARCH_X86', 'socketcall', 'errno 38'],
  [DEFAULT_CAPABILITIES, 'SCMP_ARCH_X86', 'sendmsg', 'allow'],
];
for (const [capabilities, abi, name, decision] of newer)
  test(`${name} with ${capabilities.length} capabilities on ${abi}: ${decision}`, (t) => {
    const { filter } = compileSeccomp(seccompFor(undefined, facts(capabilities))!);
    t.is(
      show(
        run(filter, {
          arch: abi === 'SCMP_ARCH_X86' ? ARCH_I386 : ARCH_X86_64,
          nr: syscallTable(abi).get(name)!,
          args: [0n, 0n, 0n, 0n, 0n, 0n],
        }),
      ),
      decision,
    );
  });

const SYS_SOCKET = 1n;
const SYS_SOCKETPAIR = 8n;
for (const code of [SYS_SOCKET, SYS_SOCKETPAIR])
  test(`i386's socketcall makes no socket of a family that socket(2) refuses: ${code}`, (t) => {
    const { filter } = compileSeccomp(seccompFor(undefined, facts(DEFAULT_CAPABILITIES))!);
    t.is(
      show(
        run(filter, {
          arch: ARCH_I386,
          nr: syscallTable('SCMP_ARCH_X86').get('socketcall')!,
          args: [code, 0n, 0n, 0n, 0n, 0n],
        }),
      ),
      'errno 38',
    );
  });

test('every jump of the default filter stays inside, and it is small', (t) => {
  const { filter } = compileSeccomp(seccompFor(undefined, facts(DEFAULT_CAPABILITIES))!);
  const count = filter.length / 8;
  t.true(count <= 4096, `${count} instructions`);
  const view = new DataView(filter.buffer);
  for (let pc = 0; pc < count; pc++) {
    const code = view.getUint16(pc * 8, true);
    if ((code & 7) === 5)
      t.true(
        pc + 1 + (code === 5 ? view.getUint32(pc * 8 + 4, true) : Math.max(filter[pc * 8 + 2]!, filter[pc * 8 + 3]!)) <
          count,
      );
  }
});

test('the same profile compiles to the same bytes', (t) => {
  const one = seccompFor(undefined, facts(DEFAULT_CAPABILITIES))!;
  t.deepEqual(compileSeccomp(one), compileSeccomp(structuredClone(one)));
});
