/**
 * Facts of the test host into the tables of docs/performance.md. Times arrive in ms of a clock of 2 ns an instruction;
 * they leave as 1 ns.
 */
import { median } from '../measure.ts';

/** template: husk, whose machine goes on from one */
type Vmm = 'husk' | 'template' | 'qemu' | 'userns';

export interface Row {
  operations: number;
  bytes: number;
  nanoseconds: number;
  /** the guest's to the device */
  requests?: number;
}

export interface Fact {
  section: string;
  vmm: Vmm;
  /** ms of the monotonic clock; container.ts prints its own at the top level */
  times?: Record<string, number>;
  marks: { entry?: number; init?: number; agent?: number };
  kernelClock?: number;
  /** memory: KiB */
  what?: string;
  pss?: { own: number; guest: number; parts: Record<string, number> };
  /** page faults of the monitor's process so far, at the same moments as `times` */
  pages?: Record<string, number>;
  /** KiB, PSS of all of husk's processes */
  all?: number;
  /** of machines out of one template, this one's */
  number?: number;
  rows?: Record<string, Row>;
  [time: string]: unknown;
}

/** -icount shift=1: two nanoseconds an instruction */
const CLOCK = 2;
const ms = (value: number) => (value / CLOCK).toFixed(1);

/** A stage's median over the runs of one VMM, formatted; '' where a VMM has no such stage. */
function stage(facts: Fact[], vmm: Vmm, length: (fact: Fact) => number): string {
  const values = facts
    .filter((fact) => fact.vmm === vmm)
    .map(length)
    .filter((value) => Number.isFinite(value));
  return values.length === 0 ? '' : ms(median(values));
}

function stages(
  facts: Fact[],
  rows: [what: string, length: (fact: Fact) => number][],
  [first, second]: readonly (readonly [vmm: Vmm, title: string])[] = [
    ['husk', 'husk'],
    ['qemu', 'QEMU microvm'],
  ],
): string[] {
  return [
    `| ms | ${first![1]} | ${second![1]} |`,
    '|---|---:|---:|',
    ...rows.map(
      ([what, length]) => `| ${what} | ${stage(facts, first![0], length)} | ${stage(facts, second![0], length)} |`,
    ),
  ];
}

const time = (fact: Fact, name: string) => Number(fact.times?.[name] ?? fact[name]);

export function bootTable(facts: Fact[]): string[] {
  return stages(facts, [
    [
      'VMM: Node starts, bundle loads',
      (fact) => (fact.vmm === 'husk' ? time(fact, 'loaded') - time(fact, 'start') : NaN),
    ],
    [
      "VMM (husk: Node already runs) to the kernel's entry",
      (fact) => Number(fact.marks.entry) - time(fact, fact.vmm === 'husk' ? 'loaded' : 'made'),
    ],
    ["kernel's entry to init", (fact) => Number(fact.marks.init) - Number(fact.marks.entry)],
    ["guest kernel's own clock at init", (fact) => Number(fact.kernelClock)],
    ["init to the VMM's end, by reboot", (fact) => time(fact, 'ended') - Number(fact.marks.init)],
  ]);
}

export function containerTable(facts: Fact[]): string[] {
  return stages(facts, [
    [
      'VMM: Node starts, bundle loads',
      (fact) => (fact.vmm === 'husk' ? time(fact, 'loaded') - time(fact, 'start') : NaN),
    ],
    ["VMM (husk: Node already runs) to the kernel's entry", (fact) => Number(fact.marks.entry) - time(fact, 'begun')],
    ["kernel's entry to init", (fact) => Number(fact.marks.init) - Number(fact.marks.entry)],
    ["init to the agent's exec", (fact) => Number(fact.marks.agent) - Number(fact.marks.init)],
    ['agent: Node starts, loads, connects', (fact) => time(fact, 'ready') - Number(fact.marks.agent)],
    ['disks mounted, container made up to its exec', (fact) => time(fact, 'created') - time(fact, 'ready')],
    ['exec to the first output', (fact) => time(fact, 'output') - time(fact, 'created')],
    ['output to exit', (fact) => time(fact, 'exited') - time(fact, 'output')],
    ["exit to the machine's end", (fact) => time(fact, 'gone') - time(fact, 'exited')],
    ['all', (fact) => time(fact, 'gone') - time(fact, fact.vmm === 'husk' ? 'start' : 'begun')],
  ]);
}

export function templateTable(facts: Fact[]): string[] {
  const columns = [
    ['husk', 'boot'],
    ['template', 'template'],
  ] as const;
  const between = (from: string, to: string) => (fact: Fact) => time(fact, to) - time(fact, from);
  const pages = (from: string, to: string) => (fact: Fact) => Number(fact.pages?.[to]) - Number(fact.pages?.[from]);
  const counts = (what: string, count: (fact: Fact) => number) => {
    const found = columns.map(([vmm]) => facts.filter((fact) => fact.vmm === vmm && fact.pages).map(count));
    return `| ${what} | ${found.map((values) => (values.length === 0 ? '' : median(values))).join(' | ')} |`;
  };
  return [
    ...stages(
      facts,
      [
        ['VMM: Node starts, bundle loads', between('start', 'loaded')],
        ['Node already runs: the machine is made', between('begun', 'made')],
        ["the machine runs, to the agent's first answer", between('made', 'answer')],
        ['disks mounted, container made up to its exec', between('answer', 'created')],
        ['exec to the first output', between('created', 'output')],
        ["boot or resume to the agent's first answer, Node already runs", between('begun', 'answer')],
        ['to the first output, Node already runs', between('begun', 'output')],
        ["to the first output, with Node's own start", between('start', 'output')],
        ['`husk run`, the command itself, to the first output', (fact) => time(fact, 'command')],
      ],
      columns,
    ),
    counts("page faults of the monitor: the machine runs, to the agent's first answer", pages('made', 'answer')),
    counts('from there to the first output', pages('answer', 'output')),
  ];
}

export function deviceTable(facts: Fact[]): string[] {
  const [husk, qemu] = [facts.find(({ vmm }) => vmm === 'husk')!.rows!, facts.find(({ vmm }) => vmm === 'qemu')!.rows!];
  const lines = ['| | husk | QEMU | husk / QEMU, time |', '|---|---:|---:|---:|'];
  for (const [name, own] of Object.entries(husk)) {
    const other = qemu[name];
    lines.push(
      `| ${name.replaceAll('-', ' ')} | ${figure(own)} | ${other === undefined ? '' : figure(other)} | ${other === undefined ? '' : (own.nanoseconds / other.nanoseconds).toFixed(2)} |`,
    );
  }
  return lines;
}

/** By the wall clock: a counted host stands still with a shared folder. */
export function gitTable(facts: Fact[]): string[] {
  const rows = (vmm: Vmm) => facts.find((fact) => fact.vmm === vmm)!.rows!;
  const [husk, userns, qemu] = [rows('husk'), rows('userns'), rows('qemu')];
  return [
    '| ms | husk VM | user namespace | QEMU, virtiofsd | husk / user namespace | husk / QEMU | requests to husk |',
    '|---|---:|---:|---:|---:|---:|---:|',
    ...Object.keys(husk).map((name) => {
      const [own, none, other] = [husk[name]!, userns[name]!, qemu[name]!];
      const [ours, ...others] = [own, none, other].map(({ nanoseconds }) => nanoseconds / 1e6);
      const ratios = others.map((value) => (ours! / value).toFixed(2));
      const figures = [ours!, ...others].map((value) => value.toFixed(0));
      return `| ${[name.replaceAll('-', ' '), ...figures, ...ratios, own.requests].join(' | ')} |`;
    }),
  ];
}

/** Streams as a rate, single operations as a time. */
function figure({ operations, bytes, nanoseconds }: Row): string {
  const each = nanoseconds / CLOCK / operations / 1000;
  return bytes / operations > 4096
    ? `${(bytes / 2 ** 20 / (nanoseconds / CLOCK / 1e9)).toFixed(0)} MiB/s`
    : `${each.toFixed(1)} µs`;
}

export function memoryTable(facts: Fact[]): string[] {
  const mib = (kib: number) => (kib / 1024).toFixed(1);
  return [
    '| MiB, PSS | beyond the guest | of it | guest |',
    '|---|---:|---|---:|',
    ...facts.map(({ what, vmm, pss }) => {
      const parts = Object.entries(pss!.parts)
        .toSorted(([, a], [, b]) => b - a)
        .filter(([, kib]) => kib >= 512);
      return `| ${vmm === 'husk' ? 'husk' : 'QEMU'}, ${what} | ${mib(pss!.own)} | ${parts.map(([name, kib]) => `${name} ${mib(kib)}`).join(', ')} | ${mib(pss!.guest)} |`;
    }),
  ];
}

/** Each copy's own row: the first finds a monitor that has copied nothing before. */
export function forkTable(facts: Fact[]): string[] {
  return [
    '| ms | the container stands still | `husk fork`, the command |',
    '|---|---:|---:|',
    ...facts.map(({ what, times }) => `| ${what} | ${ms(times!['standstill']!)} | ${ms(times!['all']!)} |`),
  ];
}

/** What a machine of a template adds, on average over those since the row before. */
export function tenthTable(facts: Fact[]): string[] {
  const mib = (kib: number) => (kib / 1024).toFixed(1);
  const added = ({ all, number }: Fact, before: Fact | undefined) =>
    before === undefined ? '' : mib((all! - before.all!) / (number! - before.number!));
  return [
    '| MiB, PSS | all of husk | a machine adds | beyond its guest | its guest |',
    '|---|---:|---:|---:|---:|',
    ...facts.map((fact, index) => {
      const { what, all, pss } = fact;
      const own = [all!, pss!.own, pss!.guest].map(mib);
      return `| ${what} | ${own[0]} | ${added(fact, facts[index - 1])} | ${own[1]} | ${own[2]} |`;
    }),
  ];
}
