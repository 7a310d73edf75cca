/** `husk doctor`: what this host can do, of both isolations. The facts are the isolations' own. */
import { existsSync } from 'node:fs';
import { HuskError } from '../../errors.ts';
import type { MissingPart } from '../../network/trial.ts';
import type { Paths } from '../../paths.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../../program.ts';
import type { Fact } from '../../rootless/doctor.ts';
import { tmpPath } from '../../state/tmp-folder.ts';
import { tcpListeners } from './tcp-listeners.ts';

/** what networks can do without, by the modules that it takes; each is a fact of its own */
const EXTRAS: { name: string; modules: readonly string[]; well: string; ill: string }[] = [
  {
    name: 'client addresses',
    modules: ['nft_socket'],
    well: 'containers see who comes by a published port',
    ill: "containers see the network's gateway as the client of every published port: ",
  },
  {
    name: 'egress log',
    modules: ['nft_limit', 'nft_log nfnetlink_log'],
    well: '`husk network log` tells what --egress refuses',
    ill: 'what --egress refuses cannot be logged: ',
  },
];

export async function doctor(paths: Paths): Promise<Fact[]> {
  const facts = await (await import('../../rootless/doctor.ts')).doctor(paths, () => tmpPath(paths, 'probe'));
  const device = facts.findIndex(({ name }) => name === '/dev/kvm');
  const ofVm = facts[device]?.status === 'ok' ? [await capabilities(), await speed()] : [];
  const all = facts.toSpliced(device + 1, 0, ...ofVm, parts(), await verdict(paths));
  const pasta = all.findIndex(({ name }) => name === 'pasta');
  return [...all.toSpliced(pasta, 0, ...(await networks())), ...apiListeners(paths)];
}

/** Ports at which `husk serve` listens: whoever reaches one is the user. No fact where there is none. */
export function apiListeners({ runtimeDir }: Pick<Paths, 'runtimeDir'>): Fact[] {
  const listeners = tcpListeners(runtimeDir);
  if (listeners.length === 0) return [];
  const lines = listeners.map(
    ({ url, tls, pid }) => `${url}, ${tls ? 'for clients with a certificate' : 'without TLS'} (pid ${pid})`,
  );
  const value = `whoever reaches it is you: ${lines.join('\n')}`;
  if (listeners.every(({ tls }) => tls)) return [{ name: 'api over tcp', status: 'ok', value }];
  const fix = 'end it where a unix socket does (husk serve), or serve with --tlsverify';
  return [{ name: 'api over tcp', status: 'warn', value, fix }];
}

/** @param attempt tests have kernels of their own */
export async function networks(attempt?: () => Promise<MissingPart[]>): Promise<Fact[]> {
  const name = 'network trial';
  try {
    const missing = await (attempt ?? (await import('../../network/trial.ts')).tryNetwork)();
    const isExtra = ({ modules }: MissingPart) => EXTRAS.some((extra) => extra.modules.includes(modules));
    const trial = fact(
      name,
      missing.filter((part) => !isExtra(part)),
      { well: 'bridge, veth and packet filter: made, and gone again', ill: '' },
    );
    // nothing is known of the others where there is no packet filter
    if (missing.some(({ modules }) => modules === 'nf_tables')) return [trial];
    const extras = EXTRAS.map((extra) =>
      fact(
        extra.name,
        missing.filter(({ modules }) => extra.modules.includes(modules)),
        extra,
      ),
    );
    return [trial, ...extras];
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    return [{ name, status: 'warn', value: error.message, ...(error.fix !== undefined && { fix: error.fix }) }];
  }
}

function fact(name: string, missing: readonly MissingPart[], { well, ill }: { well: string; ill: string }): Fact {
  if (missing.length === 0) return { name, status: 'ok', value: well };
  const value = `${ill}the kernel has no ${missing.map(({ modules, reason }) => `${modules} (${reason})`).join(', ')}`;
  const all = missing.map(({ modules }) => modules).join(' ');
  return { name, status: 'warn', value, fix: `sudo modprobe -a ${all} (if there is none: a kernel that has them)` };
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
