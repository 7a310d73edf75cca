/**
 * A classic BPF interpreter over struct seccomp_data, for tests: as much of it as seccomp filters use. Source: linux
 * kernel/bpf/core.c.
 */

export const ARCH_X86_64 = 0xc000003e;
export const ARCH_I386 = 0x40000003;

export interface SeccompData {
  arch: number;
  nr: number;
  args: bigint[];
}

/** @returns SECCOMP_RET_* value; throws on what the kernel's checker would refuse */
export function run(filter: Uint8Array, data: SeccompData): number {
  const view = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  const input = new DataView(new ArrayBuffer(64));
  input.setUint32(0, data.nr, true);
  input.setUint32(4, data.arch, true);
  data.args.forEach((arg, index) => input.setBigUint64(16 + index * 8, arg, true));
  let a = 0;
  for (let pc = 0, steps = 0; ; steps++) {
    if (pc * 8 >= filter.byteLength || steps > 4096) throw new Error(`jump out of the program to ${pc}`);
    const code = view.getUint16(pc * 8, true);
    const jt = view.getUint8(pc * 8 + 2);
    const jf = view.getUint8(pc * 8 + 3);
    const k = view.getUint32(pc * 8 + 4, true);
    pc++;
    if (code === 0x20) a = input.getUint32(k, true);
    else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x05) pc += k;
    else if (code === 0x15) pc += a === k ? jt : jf;
    else if (code === 0x25) pc += a > k ? jt : jf;
    else if (code === 0x35) pc += a >= k ? jt : jf;
    else if (code === 0x45) pc += (a & k) !== 0 ? jt : jf;
    else if (code === 0x06) return k;
    else throw new Error(`instruction ${code.toString(16)} at ${pc - 1}`);
  }
}

export function show(value: number): string {
  const high = value - (value & 0xffff);
  const names: Record<number, string> = {
    0x7fff0000: 'allow',
    0x00050000: `errno ${value & 0xffff}`,
    0: 'kill thread',
    0x80000000: 'kill process',
    0x00030000: 'trap',
    0x7ffc0000: 'log',
    0x7ff00000: `trace ${value & 0xffff}`,
  };
  return names[high >>> 0] ?? value.toString(16);
}
