/** Builds and runs libseccomp.c: the golden side of the seccomp tests. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Seccomp } from '../../../src/spec.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

let program: string | undefined;

/** @returns why it cannot be built here, or undefined */
export function libseccompMissing(): string | undefined {
  if (program) return undefined;
  const output = join(temporaryFolder('husk-libseccomp-'), 'libseccomp');
  const result = spawnSync('cc', ['-o', output, join(import.meta.dirname, 'libseccomp.c'), '-lseccomp'], {
    encoding: 'utf8',
  });
  if (result.status !== 0)
    return `libseccomp-dev and a C compiler are needed: ${result.error?.message ?? result.stderr}`;
  program = output;
  return undefined;
}

/** seccomp.h SCMP_ARCH_*: audit tokens; x32 has libseccomp's own */
const ARCH: Record<string, number> = {
  SCMP_ARCH_X86_64: 0xc000003e,
  SCMP_ARCH_X86: 0x40000003,
  SCMP_ARCH_X32: 0x4000003e,
};
const OPERATOR: Record<string, number> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};
const ACTION: Record<string, number> = {
  SCMP_ACT_ALLOW: 0x7fff0000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_TRACE: 0x7ff00000,
};

function action(name: string, errno: number | undefined): number {
  return ACTION[name]! + (name === 'SCMP_ACT_ERRNO' || name === 'SCMP_ACT_TRACE' ? (errno ?? 1) : 0);
}

/** As runc feeds libseccomp: rules equal to the default are left out, conditions on one argument become a rule each. */
export function libseccomp(seccomp: Seccomp): { filter: Uint8Array; unknown: Set<string> } {
  const fallback = action(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const lines = [`default ${fallback}`, ...(seccomp.architectures ?? []).map((name) => `arch ${ARCH[name]}`)];
  for (const rule of seccomp.syscalls ?? []) {
    const value = action(rule.action, rule.errnoRet);
    if (value === fallback) continue;
    const args = rule.args ?? [];
    const sets = new Set(args.map(({ index }) => index)).size < args.length ? args.map((arg) => [arg]) : [args];
    for (const name of rule.names)
      for (const set of sets)
        lines.push(
          `rule ${name} ${value} ${set.length} ${set.map(({ index, op, value, valueTwo = 0 }) => `${index} ${OPERATOR[op]} ${value} ${valueTwo}`).join(' ')}`,
        );
  }
  const result = spawnSync(program!, { input: `${lines.join('\n')}\n`, maxBuffer: 1 << 20 });
  if (result.status !== 0) throw new Error(`libseccomp: ${result.stderr}`);
  const unknown = new Set([...result.stderr.toString().matchAll(/^unknown (\S+)$/gm)].map((match) => match[1]!));
  return { filter: result.stdout, unknown };
}
