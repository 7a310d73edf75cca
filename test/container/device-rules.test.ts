/**
 * What the device program decides, by an interpreter of the few eBPF instructions it is made of. The kernel's own
 * verdict: test/vmm/storage.test.ts.
 */
import test from 'ava';
import { deviceProgram, deviceRules } from '../../src/container/device-rules.ts';

/** Instruction set: linux Documentation/bpf/standardization/instruction-set.rst. @returns r0 */
function run(program: Uint8Array, context: readonly [accessType: number, major: number, minor: number]): number {
  const view = new DataView(program.buffer);
  const registers = new Uint32Array(11);
  for (let at = 0; ; at++) {
    const [code, target, source] = [
      view.getUint8(at * 8),
      view.getUint8(at * 8 + 1) & 15,
      view.getUint8(at * 8 + 1) >>> 4,
    ];
    const [offset, immediate] = [view.getInt16(at * 8 + 2, true), view.getInt32(at * 8 + 4, true)];
    if (code === 0x61) registers[target] = context[offset / 4]!;
    else if (code === 0x54) registers[target]! &= immediate;
    else if (code === 0x74) registers[target]! >>>= immediate;
    else if (code === 0xb4) registers[target] = immediate;
    else if (code === 0xbc) registers[target] = registers[source]!;
    else if (code === 0x56) at += registers[target] === immediate >>> 0 ? 0 : offset;
    else if (code === 0x95) return registers[0]!;
    else throw new Error(`opcode ${code.toString(16)}`);
  }
}

const BITS: Record<string, number> = { m: 1, r: 2, w: 4 };
const asks = (what: string) => {
  const [type, major, minor, access] = what.split(' ') as [string, string, string, string];
  return [
    ([...access].reduce((bits, letter) => bits | BITS[letter]!, 0) << 16) | (type === 'b' ? 1 : 2),
    Number(major),
    Number(minor),
  ] as const;
};
const program = deviceProgram(
  deviceRules([
    { path: '/dev/fuse', type: 'c', major: 10, minor: 229 },
    { path: '/dev/read', type: 'b', major: 8, minor: 1, access: 'r' },
    { path: '/dev/pipe', type: 'p', major: 0, minor: 0 },
  ]),
);

for (const what of [
  'c 1 3 rw',
  'c 1 9 r',
  'c 5 0 w',
  'c 5 2 rw',
  'c 136 17 rw',
  'c 10 229 rwm',
  'b 8 1 r',
  'b 254 0 m',
  'c 1 1 m',
])
  test(`allowed: ${what}`, (t) => t.is(run(program, asks(what)), 1));
for (const what of [
  'c 1 1 r',
  'c 1 11 w',
  'b 254 0 r',
  'b 254 16 w',
  'b 1 3 r',
  'c 8 1 r',
  'b 8 1 w',
  'b 8 1 rw',
  'b 8 1 rm',
  'c 10 228 r',
  'c 4 1 r',
  'c 5 3 rw',
  'b 254 0 rm',
  'c 65537 3 r',
])
  test(`refused: ${what}`, (t) => t.is(run(program, asks(what)), 0));
const own = deviceProgram(
  deviceRules(
    [],
    [
      { allow: true, type: 'c', major: 42, access: 'rmw' },
      { allow: true, type: 'a', major: 8, minor: 7, access: 'r' },
      { allow: false, type: 'c', major: 1, minor: 3 },
    ],
  ),
);
for (const [what, verdict] of [
  ['c 42 9 rw', 1],
  ['b 42 9 r', 0],
  ['c 8 7 r', 1],
  ['b 8 7 r', 1],
  ['b 8 7 w', 0],
  ['c 1 3 rw', 1],
] as const)
  test(`by --device-cgroup-rule: ${what} ${verdict}`, (t) => t.is(run(own, asks(what)), verdict));
test('without rules nothing is allowed', (t) => t.is(run(deviceProgram([]), asks('c 1 3 r')), 0));
