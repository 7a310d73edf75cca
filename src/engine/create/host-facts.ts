/**
 * What the spec builder must know of this host and of other containers (SpecFacts). Read at every start, each fact only
 * when the config can ask for it.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { availableParallelism, hostname, release } from 'node:os';
import { join } from 'node:path';
import { devicesAt } from '../../container/device-nodes.ts';
import { namespaceHolder } from '../../container/processes/tree.ts';
import { HuskError } from '../../errors.ts';
import { makeFolder } from '../../host/files/make-folder.ts';
import { readOptional } from '../../host/files/read-optional.ts';
import { idMaps, type IdMaps } from '../../rootless/idmap.ts';
import { keepIdMaps } from '../../rootless/keep-id.ts';
import { cdiDevices } from './cdi-files.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container } from '../contract.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { parseIpcMode, type IpcMode, type NetworkMode, type PidMode } from '../../notation/modes.ts';
import type { CreateRequest } from '../request/request.ts';
import { joinedNames, writeEtcFiles } from './etc-files.ts';
import type { SpecFacts } from './spec/build.ts';
import type { LimitFacts } from './spec/limits.ts';
import { ALL_GROUPS, pingGroupRange } from './spec/ping-groups.ts';
import { DEFAULT_ULIMITS } from './spec/ulimits.ts';
import { isUlimitName, type UlimitName } from '../../notation/ulimits.ts';
import { resolve } from '../record/reconcile.ts';

/** release of the guest's kernel (guest/kernel-config), as far as a spec depends on it */
export const GUEST_RELEASE = '6.12';
export function hostFacts(context: EngineContext, container: Container, request: CreateRequest): SpecFacts {
  const userNamespace = container.config.isolation === 'userns';
  const kernel = userNamespace ? release() : GUEST_RELEASE;
  return {
    userNamespace,
    joined: {
      network: joinedPid(context, container, { type: 'network', mode: request.network }),
      ipc: joinedPid(context, container, { type: 'ipc', mode: request.ipc }),
      pid: joinedPid(context, container, { type: 'pid', mode: request.pid }),
    },
    userNamespaceOf: (pid) => readlinkSync(`/proc/${pid}/ns/user`),
    etc: writeEtcFiles(context, container, request),
    shm: sharedMemory(context, container, request.ipc),
    hostHas: existsSync,
    hostHostname: hostname(),
    joinedNames: joinedNames(context, container),
    idMaps: ownMaps(container),
    cdi: cdiDevices(request.cdiDevices),
    pingGroups: pingGroups(container, request.network),
    kernel,
    recursiveReadonly: isAtLeast(kernel, 5, 12),
    // a guest has no such thing
    thermalCpus: userNamespace ? thermalCpus() : [],
    oomScoreAdj: request.oomScoreAdj === undefined ? 0 : ownOomScoreAdj(),
    hardLimit: process.getuid!() === 0 || !userNamespace ? undefined : hardLimit,
    ...(userNamespace && { reach: hardLimit }),
    defaultUlimits: [
      ...DEFAULT_ULIMITS,
      ...Object.values(context.config['default-ulimits'] ?? {}).map(({ Name, Soft, Hard }) => ({
        name: Name,
        soft: Soft,
        hard: Hard,
      })),
    ],
    devicesAt: (path) => devicesAt(path),
    allDevices: () => (userNamespace ? (devicesAt('/dev') ?? []) : 'of the machine it runs on'),
    ...limitFacts(),
  };
}

/** what the flags of limits are checked against */
export function limitFacts(): LimitFacts {
  return {
    cpus: availableParallelism(),
    availableCpus: readOptional('/sys/devices/system/cpu/online')?.trim(),
    availableMems: readOptional('/sys/devices/system/node/online')?.trim(),
    blockDevice: (path) => {
      const found = devicesAt(path)?.find(({ type }) => type === 'b');
      return found && { major: found.major, minor: found.minor };
    },
  };
}

export function ownOomScoreAdj(): number {
  return Number(readFileSync('/proc/self/oom_score_adj', 'latin1'));
}

/** @throws HuskError with Docker's texts when the container named is not there or not running */
function joinedPid(
  context: EngineContext,
  container: Container,
  { type, mode }: { type: 'network' | 'ipc' | 'pid'; mode: NetworkMode | IpcMode | PidMode },
): number | undefined {
  if (mode.kind !== 'container') return undefined;
  const other = resolve(context, mode.name);
  // the process that a VM container has on this host is its VMM, whose pid namespace is the host's
  if (other.config.isolation === 'vm')
    throw new HuskError(
      `cannot join the ${type} namespace of container ${other.name}: it runs in a virtual machine, whose namespaces are its own`,
      { kind: 'unsupported', exitCode: 125, fix: 'start both with --isolation=userns' },
    );
  if (!isRunning(other))
    throw new HuskError(
      `cannot join ${type} namespace of a non running container: container ${other.id} is not running`,
      { kind: 'conflict', exitCode: 125 },
    );
  if (other.state.status === 'restarting')
    throw new HuskError(`Container ${other.id} is restarting, wait until the container is running`, {
      kind: 'conflict',
      exitCode: 125,
    });
  const [own, theirs] = [container.config.keptIds, other.config.keptIds];
  // it would see the image's files with the owners of the other map
  if (own?.uid !== theirs?.uid || own?.gid !== theirs?.gid)
    throw new HuskError(
      `cannot join the ${type} namespace of container ${other.name}: its user namespace has another map of ids`,
      {
        kind: 'unsupported',
        exitCode: 125,
        fix: theirs ? `use --userns keep-id:uid=${theirs.uid},gid=${theirs.gid}` : 'leave --userns out',
      },
    );
  return namespaceHolder(other.state.pid);
}

/** A VM has every group; a user namespace those of its map, and the kernel takes no others. */
function pingGroups(container: Container, network: NetworkMode): string | undefined {
  if (network.kind === 'host' || network.kind === 'container') return undefined;
  return container.config.isolation === 'userns' ? pingGroupRange((ownMaps(container) ?? idMaps()).gid) : ALL_GROUPS;
}

/** @returns the maps of a container with `--userns keep-id` */
function ownMaps({ config: { keptIds } }: Pick<Container, 'config'>): IdMaps | undefined {
  return keptIds && keepIdMaps(idMaps(), keptIds);
}

/** The folder behind /dev/shm of a shareable container, or of the one whose IPC namespace is joined. */
function sharedMemory(context: EngineContext, container: Container, ipc: IpcMode): string | undefined {
  if (container.config.isolation === 'vm') return undefined;
  if (ipc.kind === 'shareable') {
    const own = join(context.paths.container(container.id), 'shm');
    makeFolder(own, 0o1777);
    return own;
  }
  if (ipc.kind !== 'container') return undefined;
  const other = resolve(context, ipc.name);
  if (parseIpcMode(other.config.options.ipc).kind !== 'shareable')
    throw new HuskError(
      `cannot join IPC of container ${other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      { kind: 'invalid', exitCode: 125 },
    );
  return join(context.paths.container(other.id), 'shm');
}

function isAtLeast(kernel: string, major: number, minor: number): boolean {
  const [have = 0, low = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  return have > major || (have === major && low >= minor);
}

export function thermalCpus(): number[] {
  try {
    statSync('/sys/devices/system/cpu/cpu0/thermal_throttle');
  } catch {
    return [];
  }
  return readdirSync('/sys/devices/system/cpu').flatMap((name) =>
    /^cpu\d+$/.test(name) ? [Number(name.slice(3))] : [],
  );
}

/** Docker's ulimit name → row of proc_pid_limits(5) */
const LIMIT_ROWS: Record<UlimitName, string> = {
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  rttime: 'Max realtime timeout',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
};

export function hardLimit(name: string): number | undefined {
  const row = isUlimitName(name) ? LIMIT_ROWS[name] : undefined;
  const line =
    row === undefined
      ? undefined
      : readFileSync('/proc/self/limits', 'latin1')
          .split('\n')
          .find((text) => text.startsWith(row));
  const hard = line && /\s(\S+)\s+(\S+)(\s+\S+)?\s*$/.exec(line.slice(row!.length))?.[2];
  return hard === undefined || hard === '' || hard === 'unlimited' ? undefined : Number(hard);
}
