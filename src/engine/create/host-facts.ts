/**
 * What the spec builder must know of this host and of other containers (SpecFacts), and the files of /etc it binds in.
 * Read at every start, each fact only when the config can ask for it.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { availableParallelism, hostname, release } from 'node:os';
import { join } from 'node:path';
import { hostnameFile, hostsFile, resolveExtraHost, resolvConfFile } from '../../container/etc-files.ts';
import { devicesAt } from '../../container/device-nodes.ts';
import { namespaceHolder } from '../../container/processes/tree.ts';
import { HuskError } from '../../errors.ts';
import { makeFolder, writeFileOfMode } from '../../host/files/make-folder.ts';
import { readOptional } from '../../host/files/read-optional.ts';
import { DNS_FORWARDER, hostResolvConf } from '../../network/way-out.ts';
import { idMaps, type IdMaps } from '../../rootless/idmap.ts';
import { keepIdMaps } from '../../rootless/keep-id.ts';
import { cdiDevices } from './cdi-files.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container } from '../contract.ts';
import { isRunning } from '../record/supervisor-link.ts';
import {
  joinedContainer,
  networkName,
  parseIpcMode,
  parseUtsMode,
  readNetworkMode,
  type IpcMode,
  type NetworkMode,
  type PidMode,
} from '../../notation/modes.ts';
import type { CreateRequest } from '../request/request.ts';
import type { SpecFacts } from './spec/build.ts';
import type { LimitFacts } from './spec/limits.ts';
import { ALL_GROUPS, pingGroupRange } from './spec/ping-groups.ts';
import { DEFAULT_ULIMITS } from './spec/ulimits.ts';
import type { EtcFiles } from './spec/mounts.ts';
import { isUlimitName, type UlimitName } from '../../notation/ulimits.ts';
import { resolve } from '../record/reconcile.ts';

/** of the guest's kernel (guest/kernel-config), as far as a spec depends on it */
const GUEST_RELEASE = '6.12';
/** of hosts, hostname and resolv.conf: every user of the container reads them */
const ETC_MODE = 0o644;

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
  // its process here is the VMM, whose pid namespace is the host's
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

function writeEtcFiles(context: EngineContext, container: Container, request: CreateRequest): EtcFiles {
  const folder = etcFolder(context, container);
  const files = {
    hosts: join(folder, 'hosts'),
    hostname: join(folder, 'hostname'),
    resolvConf: join(folder, 'resolv.conf'),
  };
  const shared = networkOwner(context, container);
  if (shared !== undefined) {
    // the files of the one joined: Docker shares them as well
    const other = etcFolder(context, shared);
    return { hosts: join(other, 'hosts'), hostname: join(other, 'hostname'), resolvConf: join(other, 'resolv.conf') };
  }
  const hostNetwork = request.network.kind === 'host';
  const name = ownHostname(container);
  makeFolder(folder, 0o755);
  writeFileOfMode(
    files.hosts,
    hostsFile({
      hostname: name,
      domainname: request.domainname,
      extraHosts: request.extraHosts.map((extra) => resolveExtraHost(extra)),
      hostHosts: hostNetwork ? (readOptional('/etc/hosts') ?? '') : undefined,
    }),
    ETC_MODE,
  );
  writeFileOfMode(files.hostname, hostnameFile(name), ETC_MODE);
  const config = context.config;
  const or = (asked: string[], configured: string[] | undefined) => (asked.length > 0 ? asked : (configured ?? []));
  const resolver = resolvConfFile(hostResolvConf(), {
    dns: or(request.dns, config.dns),
    search: or(request.dnsSearch, config['dns-search']),
    options: or(request.dnsOptions, config['dns-opts']),
    hostNetwork,
    fallback: networkName(request.network) === 'bridge' ? [DNS_FORWARDER] : [],
  });
  writeFileOfMode(files.resolvConf, resolver, ETC_MODE);
  return files;
}

/** how many containers may join one another's network in a row; more is a circle */
const MAX_JOINS = 64;

/**
 * The container whose network this one has by `--network container:X`, through any that have joined it in turn;
 * undefined: its own.
 * @throws HuskError with Docker's text when one of them is not there
 */
function networkOwner(context: EngineContext, container: Pick<Container, 'config'>): Container | undefined {
  let owner: Container | undefined;
  let name = joinedContainer(container.config.options.network);
  for (let joins = 0; name !== undefined; joins++) {
    if (joins === MAX_JOINS)
      throw new HuskError(`cannot join the network of ${name}: containers join one another in a circle`, {
        kind: 'invalid',
        exitCode: 125,
      });
    owner = resolve(context, name);
    name = joinedContainer(owner.config.options.network);
  }
  return owner;
}

/** Docker gives who joins a network the names of the container that has it. */
function joinedNames(context: EngineContext, container: Container): SpecFacts['joinedNames'] {
  const owner = networkOwner(context, container);
  return owner && { hostname: ownHostname(owner), domainname: owner.config.options.domainname };
}

function ownHostname({ config: { hostname: own, options } }: Container): string {
  const isHosts = readNetworkMode(options.network).kind === 'host' || parseUtsMode(options.uts).kind === 'host';
  return options.hostname ?? (isHosts ? hostname() : own);
}

/** A VM has every group; a user namespace those of its map, and the kernel takes no others. */
function pingGroups(container: Container, network: NetworkMode): string | undefined {
  if (network.kind === 'host' || network.kind === 'container') return undefined;
  return container.config.isolation === 'userns' ? pingGroupRange((ownMaps(container) ?? idMaps()).gid) : ALL_GROUPS;
}

/** of `--userns keep-id` */
function ownMaps({ config: { keptIds } }: Pick<Container, 'config'>): IdMaps | undefined {
  return keptIds && keepIdMaps(idMaps(), keptIds);
}

/** containers/<id>/etc */
export function etcFolder(context: EngineContext, container: Container): string {
  return join(context.paths.container(container.id), 'etc');
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

function thermalCpus(): number[] {
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

function hardLimit(name: string): number | undefined {
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
