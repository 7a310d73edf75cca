/**
 * Compiles the rules for which devices a container's processes may make, read and write into a program of the kernel's
 * cgroup device hook, because cgroup v2 has no file for such rules. Only real root may install a program: in the VM's
 * guest, where mknod(2) works and a made-up node would be the machine's own disks. On the host, in a user namespace,
 * mknod(2) fails and a bound node has the host's permissions. Nothing here touches the system; src/host/kernel/bpf.ts
 * installs the program.
 *
 * Source: linux include/uapi/linux/bpf.h (struct bpf_cgroup_dev_ctx, opcodes); the default rules are Docker's (moby
 * daemon/pkg/oci/defaults.go).
 */
import type { Device, Resources } from '../spec.ts';

export interface DeviceRule {
  type: 'c' | 'b';
  /** absent: any number */
  major?: number;
  minor?: number;
  /** letters out of r, w, m */
  access: string;
}

const DEFAULT_RULES: readonly DeviceRule[] = [
  // A process may make any node; the rules below decide whether it may open one.
  { type: 'c', access: 'm' },
  { type: 'b', access: 'm' },
  // null, zero, full, random, urandom
  ...[3, 5, 7, 8, 9].map((minor): DeviceRule => ({ type: 'c', major: 1, minor, access: 'rwm' })),
  // tty, console, ptmx, and the container's own terminals
  ...[0, 1, 2].map((minor): DeviceRule => ({ type: 'c', major: 5, minor, access: 'rwm' })),
  { type: 'c', major: 136, access: 'rwm' },
];

/**
 * @returns Docker's defaults, what `--device` gives, and those of the spec's own rules (`--device-cgroup-rule`) that
 * allow something: a rule that denies adds nothing to a list that denies by default
 */
export function deviceRules(devices: readonly Device[], more: NonNullable<Resources['devices']> = []): DeviceRule[] {
  const asked = more
    .filter(({ allow }) => allow)
    .flatMap(({ type, major, minor, access = 'rwm' }): DeviceRule[] => {
      const types: DeviceRule['type'][] = type === 'b' || type === 'c' ? [type] : ['b', 'c'];
      return types.map((one) => ({
        type: one,
        ...(major !== undefined && { major }),
        ...(minor !== undefined && { minor }),
        access,
      }));
    });
  return [
    ...DEFAULT_RULES,
    ...asked,
    ...devices.flatMap(({ type, major, minor, access }): DeviceRule[] =>
      type === 'p' ? [] : [{ type: type === 'b' ? 'b' : 'c', major, minor, access: access ?? 'rwm' }],
    ),
  ];
}

/** BPF_DEVCG_DEV_*, BPF_DEVCG_ACC_* */
const TYPE = { b: 1, c: 2 } as const;
const ACCESS: Record<string, number> = { m: 1, r: 2, w: 4 };
/** offsets in struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor */
const CTX_ACCESS_TYPE = 0;
const CTX_MAJOR = 4;
const CTX_MINOR = 8;
/**
 * opcodes: BPF_LDX|BPF_MEM|BPF_W; BPF_ALU|BPF_AND, BPF_RSH, BPF_MOV with an immediate (K) or a register (X);
 * BPF_JMP32|BPF_JNE|BPF_K; BPF_JMP|BPF_EXIT
 */
const LOAD_WORD = 0x61;
const AND_K = 0x54;
const RSH_K = 0x74;
const MOV_K = 0xb4;
const MOV_X = 0xbc;
const JNE_K = 0x56;
const EXIT = 0x95;
/** registers: the result, the context, the request's fields, and a scratch register */
const [RESULT, CONTEXT, KIND, WANTED, MAJOR, MINOR, REST] = [0, 1, 2, 3, 4, 5, 6];
/** bytes of struct bpf_insn */
const INSTRUCTION = 8;

type Instruction = [code: number, target: number, source: number, offset: number, immediate: number];

/** @returns struct bpf_insn[], which allows an access when a single rule allows the whole of it, and no other access */
export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const program: Instruction[] = [
    [LOAD_WORD, KIND, CONTEXT, CTX_ACCESS_TYPE, 0],
    [MOV_X, WANTED, KIND, 0, 0],
    [AND_K, KIND, 0, 0, 0xffff],
    [RSH_K, WANTED, 0, 0, 16],
    [LOAD_WORD, MAJOR, CONTEXT, CTX_MAJOR, 0],
    [LOAD_WORD, MINOR, CONTEXT, CTX_MINOR, 0],
  ];
  for (const { type, major, minor, access } of rules) {
    const granted = [...access].reduce((bits, letter) => bits | (ACCESS[letter] ?? 0), 0);
    // A jump's offset leads to the next rule, over the rest of this one.
    const checks: Instruction[] = [[JNE_K, KIND, 0, 0, TYPE[type]]];
    checks.push([MOV_X, REST, WANTED, 0, 0], [AND_K, REST, 0, 0, ~granted], [JNE_K, REST, 0, 0, 0]);
    if (major !== undefined) checks.push([JNE_K, MAJOR, 0, 0, major]);
    if (minor !== undefined) checks.push([JNE_K, MINOR, 0, 0, minor]);
    const block: Instruction[] = [...checks, [MOV_K, RESULT, 0, 0, 1], [EXIT, 0, 0, 0, 0]];
    program.push(
      ...block.map((instruction, index): Instruction =>
        instruction[0] === JNE_K ? [JNE_K, instruction[1], 0, block.length - index - 1, instruction[4]] : instruction,
      ),
    );
  }
  program.push([MOV_K, RESULT, 0, 0, 0], [EXIT, 0, 0, 0, 0]);
  const bytes = new Uint8Array(program.length * INSTRUCTION);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, target, source, offset, immediate], index) => {
    const at = index * INSTRUCTION;
    view.setUint8(at, code);
    view.setUint8(at + 1, target | (source << 4));
    view.setInt16(at + 2, offset, true);
    view.setInt32(at + 4, immediate, true);
  });
  return bytes;
}
