/**
 * Decides whether a container should run in a VM on this host, for `--isolation=auto` and `husk doctor`. The
 * measurement behind the decision (probe.ts) has to load koffi and takes up to a quarter of a second, so its result is
 * kept for this boot and this device; everything that can change without a reboot is checked each time. The decision
 * never throws: a host that cannot be measured is unfit, and the reason says why.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Paths } from '../../paths.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../../program.ts';
import { writeWholeFile } from '../../whole-file.ts';
import type { KvmSpeed } from './probe.ts';

export interface KvmVerdict {
  fit: boolean;
  /** one line for a person: why the host is fit or not */
  reason: string;
  /** guest instructions a second; 0 when there was nothing to measure */
  instructionsPerSecond: number;
}

const DEVICE = '/dev/kvm';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** raised whenever the loop, its bound or the file's format changes */
const VERSION = 1;
const MILLION = 1e6;

export interface VerdictHost {
  device: string;
  bootId: string;
  /** the files that a VM is made of, see src/program.ts */
  parts: readonly string[];
  measure: () => Promise<KvmSpeed>;
}

const HERE: VerdictHost = {
  device: DEVICE,
  bootId: BOOT_ID,
  parts: [GUEST_KERNEL, AGENT_DISK, WRITABLE_DISK],
  measure: async () => (await import('./probe.ts')).measureKvm(),
};

/** The decision reads two small files when this boot's answer is known. @param host tests pass their own */
export async function kvmVerdict(paths: Pick<Paths, 'dataRoot'>, host: VerdictHost = HERE): Promise<KvmVerdict> {
  const unfit = (reason: string): KvmVerdict => ({ fit: false, reason, instructionsPerSecond: 0 });
  try {
    accessSync(host.device, constants.R_OK | constants.W_OK);
  } catch (error) {
    return unfit(
      (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? `this host has no ${host.device}`
        : `${host.device} may not be opened by you (sudo usermod -aG kvm $USER)`,
    );
  }
  const missing = host.parts.filter((part) => !existsSync(part));
  if (missing.length > 0) return unfit(`the VM's parts are not built: ${missing.join(', ')} (make set-up-vm vm)`);
  const file = join(paths.dataRoot, 'cache/kvm.json');
  const key = keyOf(host);
  const known = read(file, key);
  if (known !== undefined) return judged(known);
  let speed: KvmSpeed;
  try {
    speed = await host.measure();
  } catch (error) {
    return unfit(error instanceof Error ? error.message : String(error));
  }
  write(file, key, speed);
  return judged(speed);
}

export function judged({ instructionsPerSecond, exact, fit }: KvmSpeed): KvmVerdict {
  const speed = `${exact ? '' : 'under '}${Math.round(instructionsPerSecond / MILLION)} million guest instructions a second`;
  return { fit, reason: fit ? speed : `${speed}: this KVM interprets its guests`, instructionsPerSecond };
}

/**
 * The key names this boot and this device node: loading the KVM module again, with other parameters, makes another
 * node.
 */
function keyOf({ bootId, device }: VerdictHost): string {
  const { ino, rdev, ctimeMs } = statSync(device);
  return `${VERSION} ${readFileSync(bootId, 'latin1').trim()} ${rdev} ${ino} ${ctimeMs}`;
}

/** @returns undefined for another boot's result, or for a damaged file */
function read(file: string, key: string): KvmSpeed | undefined {
  try {
    const {
      key: known,
      instructionsPerSecond,
      exact,
      fit,
    } = JSON.parse(readFileSync(file, 'utf8')) as Partial<KvmSpeed> & { key?: unknown };
    if (
      known !== key ||
      typeof instructionsPerSecond !== 'number' ||
      typeof exact !== 'boolean' ||
      typeof fit !== 'boolean'
    )
      return undefined;
    return { instructionsPerSecond, exact, fit };
  } catch {
    return undefined;
  }
}

function write(file: string, key: string, speed: KvmSpeed): void {
  try {
    mkdirSync(join(file, '..'), { recursive: true, mode: 0o711 });
    writeWholeFile(file, JSON.stringify({ key, ...speed }), { mode: 0o600 });
  } catch {
    // The disk is full or read-only: the result is known all the same, and the next command measures again.
  }
}
