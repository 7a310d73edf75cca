/** `husk doctor`: what this host can do, of both isolations. The facts are the isolations' own. */
import { existsSync } from 'node:fs';
import type { Paths } from '../../paths.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../../program.ts';
import type { Fact } from '../../rootless/doctor.ts';

export async function doctor(paths: Paths): Promise<Fact[]> {
  const facts = await (await import('../../rootless/doctor.ts')).doctor(paths);
  const device = facts.findIndex(({ name }) => name === '/dev/kvm');
  const ofVm = facts[device]?.status === 'ok' ? [await capabilities(), await speed()] : [];
  return facts.toSpliced(device + 1, 0, ...ofVm, parts(), await verdict(paths));
}

/** The two facts that `info` is about; cheap, and nothing is tried. */
export async function hostFacts(paths: Paths): Promise<{ limits: Fact; machines: Fact }> {
  const { limitsFact } = await import('../../rootless/doctor.ts');
  return { limits: limitsFact(), machines: await verdict(paths) };
}

/** What KVM says of itself, one by one. */
async function capabilities(): Promise<Fact> {
  const name = 'kvm capabilities';
  try {
    const { kvmCapabilities } = await import('../../vmm/kvm/system.ts');
    const all = kvmCapabilities();
    const list = all.map((one) => (one.value > 1 ? `${one.name}=${one.value}` : one.name));
    const missing = all.filter(({ needed, value }) => needed && value === 0);
    if (missing.length === 0) return { name, status: 'ok', value: list.filter((_, i) => all[i]!.value > 0).join(' ') };
    return {
      name,
      status: 'warn',
      value: `not ${missing.map((one) => one.name).join(', ')}`,
      fix: 'a kernel of 4.12 or later has them',
    };
  } catch (error) {
    return { name, status: 'warn', value: error instanceof Error ? error.message : String(error) };
  }
}

/** How fast guest supervisor code runs, measured now: a KVM that interprets its guests opens like any other. */
async function speed(): Promise<Fact> {
  const name = 'kvm speed';
  try {
    const { fit, reason } = (await import('../../vmm/boot/verdict.ts')).judged(
      await (await import('../../vmm/boot/probe.ts')).measureKvm(),
    );
    if (fit) return { name, status: 'ok', value: reason };
    return {
      name,
      status: 'warn',
      value: reason,
      fix: 'use a host with hardware virtualisation (or nested virtualisation switched on); until then --isolation=userns',
    };
  } catch (error) {
    return {
      name,
      status: 'warn',
      value: error instanceof Error ? error.message : String(error),
      fix: 'use --isolation=userns',
    };
  }
}

function parts(): Fact {
  const missing = [GUEST_KERNEL, AGENT_DISK, WRITABLE_DISK].filter((path) => !existsSync(path));
  if (missing.length === 0) return { name: 'vm parts', status: 'ok', value: 'guest kernel, agent disk, writable disk' };
  return { name: 'vm parts', status: 'warn', value: `missing: ${missing.join(', ')}`, fix: 'make set-up-vm vm' };
}

/** What `--isolation=auto` goes by: the same answer, from the same cache. */
async function verdict(paths: Paths): Promise<Fact> {
  const { fit, reason } = await (await import('../../vmm/boot/verdict.ts')).kvmVerdict(paths);
  return {
    name: 'virtual machines',
    status: fit ? 'ok' : 'warn',
    value: `${fit ? 'fit for containers' : 'not for containers'}: ${reason}`,
  };
}
