/**
 * Container config + request + host facts → OCI spec, with Docker's defaults: the one place where flags become a spec.
 * Everything below the engine runs the spec. Pure: what it must know of the host stands in SpecFacts. Done at every
 * start, for facts change.
 */
import { processCapabilities, tweakCapabilities } from '../../../container/capabilities.ts';
import { seccompFor } from '../../../container/seccomp/profile.ts';
import type { Device, IdMapping, Mount, ProcessSpec, Spec } from '../../../spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import type { ContainerConfig, ExecOptions } from '../../contract.ts';
import { processEnv } from './command.ts';
import { defaultMounts, DEFAULT_SHM_SIZE, DOCKERENV, MASKED_PATHS, READONLY_PATHS, thermalPath } from './defaults.ts';
import type { CdiEdits } from './cdi.ts';
import { deviceNodes, isOfAnyLinux } from './devices.ts';
import { resources, type LimitFacts } from './limits.ts';
import {
  etcMounts,
  mergeMounts,
  readMounts,
  tmpfsMount,
  volumeMounts,
  type EtcFiles,
  type ReadMount,
} from './mounts.ts';
import { namespacesFor, type JoinFacts } from './namespaces.ts';
import { checkSysctls } from './sysctls.ts';
import { rlimits } from './ulimits.ts';
import type { NetworkMode } from '../../../notation/modes.ts';
import { propagates } from '../../../notation/mount-options.ts';
import type { CreateRequest } from '../../request/request.ts';

export interface SpecFacts extends JoinFacts, LimitFacts {
  /** generated files to bind over the image's */
  etc: EtcFiles;
  /**
   * a folder for /dev/shm that other containers may share (`--ipc shareable`), this container's or that of the one
   * joined
   */
  shm?: string;
  /** does the host have this path; asked for what `--ipc host` shares; @default yes */
  hostHas?(path: string): boolean;
  /** the maps of a container with `--userns keep-id`, with host ids as the runtime spec has them */
  idMaps?: { uid: IdMapping[]; gid: IdMapping[] };
  /** edits of the CDI devices that were asked for */
  cdi?: readonly CdiEdits[];
  /**
   * value of net.ipv4.ping_group_range that has every group of the container, icmp(7); absent: it stays as the kernel
   * has it
   */
  pingGroups?: string;
  /** the host's name, for `--network host` and `--uts host` */
  hostHostname: string;
  /** names of the container whose network is joined: Docker gives them to who joins it */
  joinedNames?: { hostname: string; domainname?: string };
  /** uname(2) release of the kernel the container will run on: os.release(), or the guest's */
  kernel: string;
  /** mount_setattr(2) is there (Linux 5.12) */
  recursiveReadonly: boolean;
  /** CPUs that have a thermal_throttle folder */
  thermalCpus: readonly number[];
  /** the caller's own oom_score_adj; only the host's root may go below it */
  oomScoreAdj: number;
  /** the caller's own hard limits by ulimit name; absent where anything goes */
  hardLimit?: (name: string) => number | undefined;
  /** the same of this process, also where root may ask for more */
  reach?: (name: string) => number | undefined;
  defaultUlimits: readonly { name: string; soft: number; hard: number }[];
  /** device nodes at a host path: one for a node, all below for a folder, undefined for none */
  devicesAt(path: string): Device[] | undefined;
  /** what `--privileged` brings in; a guest finds its own */
  allDevices(): Device[] | 'of the machine it runs on';
}

/** A container as it stands in its record, and what it asks for, read. */
export interface SpecRequest {
  config: ContainerConfig;
  request: CreateRequest;
}

/**
 * @param id 64 hex digits
 * @throws HuskError `invalid` or `unsupported`, in Docker's words where it has any
 */
export function buildSpec(
  id: string,
  { config, request }: SpecRequest,
  facts: SpecFacts,
): { spec: Spec; warnings: string[] } {
  const warnings: string[] = [];
  const { privileged, security, network, uts } = request;
  const cdi = facts.cdi ?? [];
  const unconfined = privileged || security.unconfinedPaths;
  const capabilities = tweakCapabilities({ add: request.capAdd, drop: request.capDrop, privileged });
  checkSysctls(request);

  const seccomp = seccompFor(security.seccomp, { capabilities, kernel: facts.kernel, privileged });
  const hostname = hostnameFor({ config, request }, facts);
  const domainname = facts.joinedNames ? facts.joinedNames.domainname : request.domainname;
  const given = readMounts(config.mounts);
  const spec: Spec = {
    ociVersion: '1.2.0',
    ...(uts.kind !== 'host' && { hostname }),
    ...(uts.kind !== 'host' && domainname && { domainname }),
    root: {
      path: 'rootfs',
      readonly: request.readOnly,
      emptyFiles: [DOCKERENV],
      ...(request.storageSize !== undefined && { size: request.storageSize }),
    },
    process: {
      terminal: request.tty,
      ...(request.consoleSize && {
        consoleSize: { width: request.consoleSize.columns, height: request.consoleSize.rows },
      }),
      user: user(config.user, [...request.groupAdd, ...cdi.flatMap(({ groups }) => groups.map(String))]),
      args: [config.path, ...config.args],
      env: processEnv({ env: [...config.env, ...cdi.flatMap(({ env }) => env)], hostname, terminal: request.tty }),
      cwd: config.workdir || '/',
      capabilities: processCapabilities(capabilities, { nonRoot: isNonRoot(config.user) }),
      rlimits: rlimits(request.ulimits, facts.defaultUlimits, facts.hardLimit, facts.reach),
      noNewPrivileges: security.noNewPrivileges,
      ...oomScoreAdj(request.oomScoreAdj, facts, warnings),
    },
    mounts: mounts(request, given, facts),
    annotations: request.annotations,
    linux: {
      namespaces: namespacesFor(request, facts),
      ...(facts.idMaps && { uidMappings: facts.idMaps.uid, gidMappings: facts.idMaps.gid }),
      ...devices(request, facts),
      resources: {
        ...resources(request.resources, facts),
        ...(request.deviceRules.length > 0 && { devices: request.deviceRules.map(({ rule }) => rule) }),
      },
      ...(seccomp && { seccomp }),
      sysctl: sysctls(request.sysctls, network, facts),
      maskedPaths: unconfined ? [] : [...MASKED_PATHS, ...facts.thermalCpus.map(thermalPath)],
      readonlyPaths: unconfined ? [] : [...READONLY_PATHS],
      ...(request.cgroupParent && { cgroupsPath: `${request.cgroupParent}/${id}` }),
      ...(given.some(({ settings }) => propagates(settings)) && { rootfsPropagation: 'rslave' as const }),
    },
  };
  return { spec, warnings };
}

/** The process of `exec`: the container's own, with the flags of exec. */
export function buildExec(config: ContainerConfig, spec: Spec, options: ExecOptions): ProcessSpec {
  if (options.command.length === 0) throw new HuskError('No exec command specified', { kind: 'invalid' });
  const name = options.user ?? config.user;
  const names = options.privileged
    ? tweakCapabilities({ add: [], drop: [], privileged: true })
    : (spec.process.capabilities?.bounding ?? []);
  return {
    ...spec.process,
    terminal: options.tty,
    consoleSize: options.consoleSize && { width: options.consoleSize.columns, height: options.consoleSize.rows },
    user: user(name, config.options.groupAdd),
    args: options.command,
    env: processEnv({
      env: config.env,
      hostname: spec.hostname ?? config.hostname,
      terminal: options.tty,
      more: options.env,
    }),
    cwd: options.workdir ?? spec.process.cwd,
    capabilities: processCapabilities(names, { nonRoot: isNonRoot(name) }),
  };
}

function hostnameFor({ config, request: { hostname, network, uts } }: SpecRequest, facts: SpecFacts): string {
  if (hostname) return hostname;
  if (facts.joinedNames && uts.kind !== 'host') return facts.joinedNames.hostname;
  return network.kind === 'host' || uts.kind === 'host' ? facts.hostHostname : config.hostname;
}

function user(name: string, groups: readonly string[]): ProcessSpec['user'] {
  return { uid: 0, gid: 0, username: name, ...(groups.length && { additionalGroups: [...groups] }) };
}

/** Certainly not root: a number that is not 0. A name is known only to the image; the `setuser` step settles it. */
function isNonRoot(name: string): boolean {
  return /^\d+(:|$)/.test(name) && !/^0+(:|$)/.test(name);
}

export function oomScoreAdj(
  asked: number | undefined,
  facts: Pick<SpecFacts, 'oomScoreAdj' | 'userNamespace'>,
  warnings: string[],
): { oomScoreAdj?: number } {
  if (asked === undefined || asked === 0) return {};
  if (asked >= facts.oomScoreAdj || !facts.userNamespace) return { oomScoreAdj: asked };
  // only the host's root may make a process less likely to be killed; Podman takes its own value then, too
  warnings.push(
    `oom score adj ${asked} is below your own ${facts.oomScoreAdj}, which only the host's root may set: ${facts.oomScoreAdj} is used`,
  );
  return { oomScoreAdj: facts.oomScoreAdj };
}

function mounts(request: CreateRequest, given: readonly ReadMount[], facts: SpecFacts): Mount[] {
  const { ipc, privileged, readOnly, security } = request;
  const shmSize = request.shmSize || DEFAULT_SHM_SIZE;
  let defaults = defaultMounts({ shmSize, writableSystem: privileged && !readOnly });
  if (security.writableCgroups)
    defaults = defaults.map((mount) =>
      mount.type === 'cgroup' ? { ...mount, options: mount.options!.filter((option) => option !== 'ro') } : mount,
    );
  if (ipc.kind === 'none') defaults = defaults.filter(({ destination }) => destination !== '/dev/shm');
  const own: Mount[] = [...etcMounts(facts.etc, { readonly: readOnly })];
  if (ipc.kind === 'host') {
    // neither may be mounted anew: they show the ipc namespace, which is the host's
    defaults = defaults.filter(({ destination }) => destination !== '/dev/mqueue' && destination !== '/dev/shm');
    for (const path of ['/dev/shm', '/dev/mqueue'])
      if (facts.hostHas?.(path) ?? true)
        own.push({ destination: path, type: 'bind', source: path, options: ['rbind', 'rprivate'] });
  } else if ((ipc.kind === 'shareable' || ipc.kind === 'container') && facts.shm)
    own.push({
      destination: '/dev/shm',
      type: 'bind',
      source: facts.shm,
      options: ['bind', 'nosuid', 'nodev', 'noexec', 'rprivate'],
    });
  for (const { destination, options } of request.tmpfs) own.push(tmpfsMount(destination, options));
  own.push(...(facts.cdi ?? []).flatMap((edits) => edits.mounts));
  own.push(...volumeMounts(given, { recursiveReadonly: facts.recursiveReadonly }));
  return mergeMounts(defaults, own);
}

function devices(request: CreateRequest, facts: SpecFacts): { devices: Device[]; allDevices?: true } {
  const requests = [...request.devices, ...(facts.cdi ?? []).flatMap(({ nodes }) => nodes)];
  const asked = deviceNodes(requests, (path) => facts.devicesAt(path));
  const hosts = facts.userNamespace ? undefined : asked.find((device) => !isOfAnyLinux(device));
  if (hosts)
    throw new HuskError(
      `cannot give ${hosts.source} to a virtual machine: it is a device of this host's kernel, and the machine has a kernel of its own`,
      { kind: 'unsupported', exitCode: EXIT_HUSK_FAILED, fix: 'use --isolation=userns' },
    );
  const all = request.privileged ? facts.allDevices() : [];
  return typeof all === 'string' ? { devices: asked, allDevices: true } : { devices: [...all, ...asked] };
}

/** Docker lets every user of a container bind low ports, and ping. */
function sysctls(asked: Record<string, string>, network: NetworkMode, facts: SpecFacts): Record<string, string> {
  const own = network.kind !== 'host' && network.kind !== 'container';
  return {
    ...(own && {
      'net.ipv4.ip_unprivileged_port_start': '0',
      ...(facts.pingGroups && { 'net.ipv4.ping_group_range': facts.pingGroups }),
    }),
    ...asked,
  };
}
