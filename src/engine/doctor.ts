/** `husk doctor`: what this host can do, of both isolations. The facts are the isolations' own. */
import { existsSync } from 'node:fs';
import type { Paths } from '../paths.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../program.ts';
import type { Fact } from '../rootless/doctor.ts';

export async function doctor(paths: Paths): Promise<Fact[]> {
  const facts = await (await import('../rootless/doctor.ts')).doctor(paths);
  const device = facts.findIndex(({ name }) => name === '/dev/kvm');
  const ofVm = facts[device]?.status === 'ok' ? [await speed(), parts()] : [parts()];
  return facts.toSpliced(device + 1, 0, ...ofVm);
}

/** How fast guest supervisor code runs: a KVM that interprets its guests opens like any other. */
async function speed(): Promise<Fact> {
  const name = 'kvm speed';
  const { measureKvm } = await import('../vmm/kvm/probe.ts');
  try {
    const { instructionsPerSecond, exact, fit } = await measureKvm();
    const value = `${exact ? '' : 'under '}${Math.round(instructionsPerSecond / 1e6)} million guest instructions a second`;
    if (fit) return { name, status: 'ok', value };
    return { name, status: 'warn', value: `${value}: this KVM interprets its guests`, fix: 'use a host with hardware virtualisation (or nested virtualisation switched on); until then --isolation=userns' };
  } catch (error) {
    return { name, status: 'warn', value: error instanceof Error ? error.message : String(error), fix: 'use --isolation=userns' };
  }
}

function parts(): Fact {
  const missing = [GUEST_KERNEL, AGENT_DISK, WRITABLE_DISK].filter((path) => !existsSync(path));
  if (missing.length === 0) return { name: 'vm parts', status: 'ok', value: 'guest kernel, agent disk, writable disk' };
  return { name: 'vm parts', status: 'warn', value: `missing: ${missing.join(', ')}`, fix: 'make set-up-vm vm' };
}
