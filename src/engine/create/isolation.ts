/**
 * Which isolation a container gets. `vm` asked for by name never becomes anything else: what is missing is said, with
 * the fix. `auto` takes a VM where this host runs one well and VM isolation has what the flags ask for, else user
 * namespaces; it says so, once a boot for what is the host's, each time for what was asked for.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Paths } from '../../paths.ts';
import type { Isolation } from '../../sandbox.ts';
import { MAX_BINDS, MAX_IMAGES, notShareable } from '../../vmm/binds.ts';
import type { KvmVerdict } from '../../vmm/boot/verdict.ts';
import { modeText } from '../../notation/modes.ts';
import { propagates } from '../../notation/mount-options.ts';
import { machineProblem } from '../../network/way-out.ts';
import { needsNetwork } from '../../logs/destination.ts';
import { isNews } from './told-once.ts';
import { asksForLimits, type CreateRequest } from '../request/request.ts';
import { PATHS_OF_ANY_LINUX } from './spec/devices.ts';

export interface Choice {
  isolation: Isolation;
  /** what the person is told when `auto` did not take a VM */
  warning?: string;
}

export type AskedOptions = Pick<
  CreateRequest,
  | 'isolation'
  | 'network'
  | 'pid'
  | 'ipc'
  | 'uts'
  | 'cgroupns'
  | 'devices'
  | 'cdiDevices'
  | 'mounts'
  | 'resources'
  | 'cgroupParent'
  | 'log'
>;

export interface ChoiceHost {
  verdict: (paths: Pick<Paths, 'dataRoot'>) => Promise<KvmVerdict>;
  bootId: string;
  /** why this path of the host cannot be shared with a VM */
  notShareable: (path: string) => string | undefined;
  /** why a machine cannot be on the networks asked for, which user namespaces can */
  networkProblem: (options: AskedOptions) => string | undefined;
  /** why the limits asked for cannot be a machine's */
  limitProblem: (options: AskedOptions) => Promise<string | undefined>;
}

const HERE: ChoiceHost = {
  verdict: async (paths) => (await import('../../vmm/boot/verdict.ts')).kvmVerdict(paths),
  bootId: '/proc/sys/kernel/random/boot_id',
  notShareable,
  networkProblem,
  limitProblem,
};

/** @param host tests have their own @throws HuskError `unsupported` */
export async function chooseIsolation(
  options: AskedOptions,
  paths: Pick<Paths, 'dataRoot'>,
  host: ChoiceHost = HERE,
): Promise<Choice> {
  if (options.isolation === 'userns') return { isolation: 'userns' };
  const lacking = lackingInVms(options, host.notShareable);
  if (options.isolation === 'vm') {
    if (lacking !== undefined)
      throw unsupported(
        `${lacking.flag} is not possible with --isolation=vm: ${lacking.why}`,
        'use --isolation=userns',
      );
    const { instructionsPerSecond, reason } = await host.verdict(paths);
    // slow is no reason when it was asked for by name
    if (instructionsPerSecond === 0)
      throw unsupported(`cannot run a container in a VM: ${reason}`, 'see husk doctor, or use --isolation=userns');
    return { isolation: 'vm' };
  }
  const { fit, reason } = await host.verdict(paths);
  if (!fit) {
    const warning = `containers run in user namespaces, not in virtual machines: ${reason}`;
    return isNews(warning, paths, host.bootId) ? { isolation: 'userns', warning } : { isolation: 'userns' };
  }
  if (lacking !== undefined)
    return {
      isolation: 'userns',
      warning: `${lacking.flag}: this container runs in user namespaces, not in a virtual machine: ${lacking.why}`,
    };
  const network = host.networkProblem(options);
  if (network !== undefined) {
    const warning = `this container runs in user namespaces, not in a virtual machine: ${network}`;
    return isNews(warning, paths, host.bootId) ? { isolation: 'userns', warning } : { isolation: 'userns' };
  }
  const limit = await host.limitProblem(options);
  if (limit !== undefined)
    return {
      isolation: 'userns',
      warning: `this container runs in user namespaces, not in a virtual machine: ${limit}`,
    };
  return { isolation: 'vm' };
}

function networkProblem({ network }: AskedOptions): string | undefined {
  if (network.kind !== 'default' && network.kind !== 'named') return undefined;
  const problem = machineProblem([]);
  return problem && `${problem.message} (fix: ${problem.fix})`;
}

/** Most containers ask for no limits, and what checks them is not loaded then. */
async function limitProblem(options: AskedOptions): Promise<string | undefined> {
  return asksForLimits(options) ? (await import('./unenforceable-limits.ts')).machineLimitProblem(options) : undefined;
}

interface Lacking {
  flag: string;
  why: string;
}

/** The first thing asked for that a machine of its own cannot give. */
function lackingInVms(options: AskedOptions, whyNot: ChoiceHost['notShareable']): Lacking | undefined {
  const { network, pid, ipc, uts, cgroupns, mounts } = options;
  return (
    lackingMode('--network', network) ??
    lackingMode('--pid', pid) ??
    lackingMode('--ipc', ipc) ??
    lackingMode('--uts', uts) ??
    lackingMode('--cgroupns', cgroupns) ??
    lackingDevice(options) ??
    lackingMount(mounts, whyNot) ??
    lackingLog(options.log)
  );
}

/** A namespace that others have too. */
function lackingMode(flag: string, mode: Parameters<typeof modeText>[0]): Lacking | undefined {
  return ['host', 'shareable', 'container'].includes(mode.kind)
    ? {
        flag: `${flag} ${modeText(mode)}`,
        why: 'a virtual machine shares no namespace with the host or with other containers',
      }
    : undefined;
}

function lackingDevice({ devices, cdiDevices }: AskedOptions): Lacking | undefined {
  const device = devices.find(({ host }) => !PATHS_OF_ANY_LINUX.has(host))?.text ?? cdiDevices[0];
  return device === undefined
    ? undefined
    : { flag: `--device ${device}`, why: "a virtual machine has none of the host's devices" };
}

function lackingLog(log: AskedOptions['log']): Lacking | undefined {
  return needsNetwork(log)
    ? {
        flag: `--log-driver ${log.driver} over the network`,
        why: "what writes its log is the machine's monitor, which has no network; a unix socket of this host works",
      }
    : undefined;
}

function lackingMount(mounts: AskedOptions['mounts'], whyNot: ChoiceHost['notShareable']): Lacking | undefined {
  const shared = mounts.filter(({ type }) => type !== 'tmpfs' && type !== 'image');
  for (const { type, source, target, settings } of shared) {
    const flag = `-v ${source === undefined ? '' : `${source}:`}${target}`;
    const why = type === 'bind' && source !== undefined ? whyNot(source) : undefined;
    if (why !== undefined) return { flag, why };
    if (propagates(settings)) return { flag, why: 'mounts do not propagate into a virtual machine' };
  }
  if (shared.length > MAX_BINDS)
    return { flag: `-v (${shared.length} of them)`, why: `a virtual machine has room for ${MAX_BINDS}` };
  const images = new Set(mounts.flatMap(({ type, source }) => (type === 'image' ? [source] : [])));
  const flag = `--mount type=image (${images.size} of them)`;
  if (images.size > MAX_IMAGES) return { flag, why: `a virtual machine has disks for ${MAX_IMAGES}` };
  return undefined;
}

function unsupported(message: string, fix: string): HuskError {
  return new HuskError(message, { kind: 'unsupported', exitCode: EXIT_HUSK_FAILED, fix });
}
