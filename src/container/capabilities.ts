/**
 * Capability names and bits, Docker's default set, and `--cap-add`/`--cap-drop`. Source: linux
 * include/uapi/linux/capability.h, capabilities(7). This file only decides; the launch plan calls capset(2).
 */
import { HuskError } from '../errors.ts';
import type { Capabilities } from '../spec.ts';

/** a name's index is its bit; CAP_LAST_CAP is 40 since Linux 5.9 */
const NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
] as const;

/** all 41 capabilities, `CAP_CHOWN` first */
export const ALL_CAPABILITIES: readonly string[] = NAMES.map((name) => `CAP_${name}`);

const BITS = new Map<string, bigint>(ALL_CAPABILITIES.map((name, bit) => [name, 1n << BigInt(bit)]));

/**
 * The capabilities of a container when none is added or dropped, in Docker's order. Source: moby daemon/pkg/oci/caps.
 */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

/**
 * @returns the bit mask as capset(2) takes it
 * @throws HuskError `invalid` for a name that is no capability: a spec from elsewhere may hold any string
 */
export function capabilityMask(names: readonly string[]): bigint {
  let mask = 0n;
  for (const name of names) {
    const bit = BITS.get(name);
    if (bit === undefined) throw unknown(name);
    mask |= bit;
  }
  return mask;
}

/** @returns the names of a mask, lowest bit first; bits above CAP_LAST_CAP are left out */
export function capabilityNames(mask: bigint): string[] {
  return ALL_CAPABILITIES.filter((name) => (mask & BITS.get(name)!) !== 0n);
}

/**
 * Applies `--cap-add`, `--cap-drop` and `--privileged` by Docker's rules. ALL in add means every capability except the
 * dropped ones; ALL in drop means only the added ones; otherwise the result is the defaults without the dropped ones,
 * plus the added ones.
 * @throws HuskError `invalid` in Docker's words for an unknown name
 */
export function tweakCapabilities(options: {
  add: readonly string[];
  drop: readonly string[];
  privileged: boolean;
}): string[] {
  const add = options.add.map(normalize);
  const drop = options.drop.map(normalize);
  if (options.privileged) return [...ALL_CAPABILITIES];
  if (add.includes('ALL')) return ALL_CAPABILITIES.filter((name) => !drop.includes(name));
  if (drop.includes('ALL')) return [...new Set(add)];
  return [...new Set([...DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name)), ...add])];
}

/**
 * @returns both lists as `inspect` shows them: full names, sorted, each once. A capability that is also added is not
 * dropped, and ALL stands for every other. Source: docker/cli opts.EffectiveCapAddCapDrop
 */
export function effectiveCapabilities(options: { add: readonly string[]; drop: readonly string[] }): {
  add: string[];
  drop: string[];
} {
  const names = (texts: readonly string[]): string[] => {
    const all = [...new Set(texts.map(normalize))].sort();
    return all.includes('ALL') ? ['ALL'] : all;
  };
  const add = names(options.add);
  return { add, drop: names(options.drop).filter((name) => !add.includes(name)) };
}

function normalize(text: string): string {
  const name = text.trim().toUpperCase();
  if (name === 'ALL') return name;
  const full = name.startsWith('CAP_') ? name : `CAP_${name}`;
  if (!BITS.has(full)) throw unknown(text);
  return full;
}

function unknown(name: string): HuskError {
  return new HuskError(`invalid capability: unknown capability: "${name}"`, { kind: 'invalid' });
}

/**
 * @returns the five sets of a process. Docker makes no capability inheritable or ambient; a user who is not root gets
 * the bounding set only, which is what execve(2) would leave. A user known only by name counts as root here; the
 * `capabilities` step's `rootOnly` corrects that.
 */
export function processCapabilities(names: readonly string[], options: { nonRoot: boolean }): Capabilities {
  const active = options.nonRoot ? [] : [...names];
  return { bounding: [...names], effective: active, permitted: active, inheritable: [], ambient: [] };
}
