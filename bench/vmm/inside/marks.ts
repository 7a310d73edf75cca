/**
 * What a guest's boot looks like from outside, whichever VMM runs it: Linux's tracepoint kvm:kvm_cpuid. The first one
 * is the kernel's own entry (startup_64 asks for the CPU's features before anything else, and firmware does not);
 * husk-init marks its start and the agent's by a leaf of its own (guest/init/vm.c).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

const TRACING = '/sys/kernel/tracing';
const MARK_LEAF = '4855534b';
export const MARK_INIT = 0;
export const MARK_AGENT = 1;

/** Milliseconds of CLOCK_MONOTONIC, as process.hrtime's. */
export interface GuestMarks {
  entry: number | undefined;
  marks: Map<number, number>;
}

const control = (file: string, text: string) => writeFileSync(`${TRACING}/${file}`, text);

/** Begins a trace; only root can. */
export function startMarks(): void {
  if (!existsSync(`${TRACING}/trace`)) spawnSync('mount', ['-t', 'tracefs', 'tracefs', TRACING]);
  control('trace_clock', 'mono');
  control('trace', '');
  control('events/kvm/kvm_cpuid/enable', '1');
  control('tracing_on', '1');
}

export function readMarks(): GuestMarks {
  control('tracing_on', '0');
  const found: GuestMarks = { entry: undefined, marks: new Map() };
  // "  node-123  [000] .....  12.345678: kvm_cpuid: func 4855534b idx 1 rax …"
  for (const [, seconds, leaf, index] of readFileSync(`${TRACING}/trace`, 'latin1').matchAll(
    / (\d+\.\d+): kvm_cpuid: func ([0-9a-f]+) idx ([0-9a-f]+)/g,
  )) {
    const at = Number(seconds) * 1000;
    found.entry ??= at;
    if (leaf === MARK_LEAF && !found.marks.has(parseInt(index!, 16))) found.marks.set(parseInt(index!, 16), at);
  }
  return found;
}
