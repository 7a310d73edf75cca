/**
 * Loads programs for a cgroup's device hook and attaches them; from then on the kernel keeps them. bpf(2); only for
 * real root (CAP_BPF, CAP_NET_ADMIN).
 */
import { Fd } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { Mapping } from '../memory/mapping.ts';

/** linux/bpf.h */
const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;
/** bytes of struct bpf_insn, and of union bpf_attr as much as is used here: the kernel takes the rest as zero */
const INSTRUCTION_SIZE = 8;
const LOAD_SIZE = 48;
const ATTACH_SIZE = 16;
/** BPF_MAXINSNS of linux/bpf_common.h */
const MAX_INSTRUCTIONS = 4096;
/** the program calls no helpers, so any licence will do */
const LICENCE = 'none\0';

const c_bpf = systemCall<(command: number, attributes: number, size: number) => number>(
  'int bpf(int command, int64_t attributes, unsigned int size)',
);

/**
 * @param cgroup a descriptor of the cgroup's folder
 * @param program array of struct bpf_insn
 * @throws SyscallError EINVAL where the kernel has no CONFIG_CGROUP_BPF, EPERM for all but real root
 */
export function attachDeviceProgram(cgroup: number, program: Uint8Array): void {
  const count = program.length / INSTRUCTION_SIZE;
  if (!Number.isInteger(count) || count < 1 || count > MAX_INSTRUCTIONS)
    throw new RangeError(`a device program of ${program.length} bytes`);
  const licenceAt = LOAD_SIZE;
  const programAt = LOAD_SIZE + INSTRUCTION_SIZE;
  using memory = Mapping.anonymous(programAt + program.length);
  const attributes = new DataView(memory.buffer);
  new Uint8Array(memory.buffer).set(Buffer.from(LICENCE), licenceAt);
  new Uint8Array(memory.buffer).set(program, programAt);
  attributes.setUint32(0, BPF_PROG_TYPE_CGROUP_DEVICE, true);
  attributes.setUint32(4, count, true);
  attributes.setBigUint64(8, BigInt(memory.address + programAt), true);
  attributes.setBigUint64(16, BigInt(memory.address + licenceAt), true);
  // Safety: attributes, licence and program lie in the mapping, which outlives the calls; the kernel copies them and
  // reads `count` instructions, checked above.
  using loaded = new Fd(checked(c_bpf(BPF_PROG_LOAD, memory.address, LOAD_SIZE), 'bpf(BPF_PROG_LOAD)'));
  new Uint8Array(memory.buffer, 0, LOAD_SIZE).fill(0);
  attributes.setUint32(0, cgroup, true);
  attributes.setUint32(4, loaded.number, true);
  attributes.setUint32(8, BPF_CGROUP_DEVICE, true);
  attributes.setUint32(12, BPF_F_ALLOW_MULTI, true);
  checked(c_bpf(BPF_PROG_ATTACH, memory.address, ATTACH_SIZE), 'bpf(BPF_PROG_ATTACH)');
}
