/**
 * What the flags of a container cannot mean, said at create and not only when it is started: conflicts, unknown names, and what its isolation cannot
 * give. Reads nothing of the host but what `facts` tells. Source of texts and conflicts: moby runconfig/hostconfig_unix.go, docker/cli parse.go.
 */
import { tweakCapabilities } from '../../../container/capabilities.ts';
import { seccompFor } from '../../../container/seccomp/profile.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import type { Isolation } from '../../../sandbox.ts';
import type { CreateOptions } from '../../contract.ts';
import { isCdiDevice } from './cdi.ts';
import { parseDevice, parseDeviceRule, type DeviceRequest } from './devices.ts';
import { tmpfsMount } from './mounts.ts';
import { parseModes, type Modes } from './modes.ts';
import { checkLabels, parseSecurityOptions } from './security.ts';
import { checkSysctls } from './sysctls.ts';
import { rlimits } from './ulimits.ts';

export interface CheckFacts {
  /** this host's kernel confines by SELinux */
  selinux: boolean;
}

/** @throws HuskError `invalid` in Docker's words; `unsupported` for what the isolation cannot give */
export function checkOptions(options: CreateOptions, isolation: Isolation, facts: CheckFacts): void {
  const modes = parseModes(options);
  checkNetworkConflicts(options, modes);
  checkNamespaces(options, isolation);
  const { privileged } = options;
  const capabilities = tweakCapabilities({ add: options.capAdd, drop: options.capDrop, privileged });
  const security = parseSecurityOptions(options.securityOpt);
  if (security.apparmor !== undefined && security.apparmor !== 'unconfined')
    throw unsupported(
      `--security-opt apparmor=${security.apparmor}: husk confines by namespaces, capabilities and seccomp, and loads no AppArmor profile`,
      'leave it out, or use apparmor=unconfined',
    );
  checkLabels(security.labels, facts);
  // the kernel's version decides about single rules only, never about what a profile may say
  if (security.seccomp !== undefined) seccompFor(security.seccomp, { capabilities, kernel: '6.1', privileged });
  checkSysctls(options.sysctls, {
    network: modes.network.kind !== 'host',
    ipc: modes.ipc.kind !== 'host',
    uts: modes.uts.kind !== 'host',
  });
  for (const text of options.devices) if (!isCdiDevice(text)) checkDevice(text, parseDevice(text), isolation);
  for (const text of options.deviceRules ?? []) {
    parseDeviceRule(text);
    if (isolation === 'userns')
      throw unsupported(
        `--device-cgroup-rule "${text}": a rule for devices is a program that only the host's root may load`,
        'use --isolation=vm, or --device',
      );
  }
  checkStorageSize(options.storageSize, isolation);
  rlimits(options.ulimits, []);
  for (const [destination, text] of Object.entries(options.tmpfs))
    tmpfsMount(destination, text.split(',').filter(Boolean));
  if ((options.shmSize ?? 0) < 0) throw new HuskError('SHM size can not be less than 0', { kind: 'invalid' });
  const { oomScoreAdj = 0 } = options;
  if (oomScoreAdj < -1000 || oomScoreAdj > 1000)
    throw new HuskError(`Invalid value ${oomScoreAdj}, range for oom score adj is [-1000, 1000]`, { kind: 'invalid' });
}

/** of the template, guest/writable-disk/build */
const DISK = 64 * 2 ** 30;
/** below it a file system of that size is mostly its own */
const LEAST_STORAGE = 16 * 2 ** 20;

function checkStorageSize(size: number | undefined, isolation: Isolation): void {
  if (size === undefined) return;
  if (isolation === 'userns')
    throw unsupported(
      '--storage-opt size: in user namespaces a container writes to the disk of the data root, on which husk can set no limit',
      'use --isolation=vm, or leave it out',
    );
  if (size < LEAST_STORAGE || size > DISK)
    throw new HuskError(`--storage-opt size=${size}: the disk of a virtual machine has from 16 MiB to 64 GiB`, {
      kind: 'invalid',
    });
}

/** Who shares another's network has its addresses, names and ports. */
function checkNetworkConflicts(options: CreateOptions, { network }: Modes): void {
  if (network.kind !== 'container') return;
  const conflicts: [unknown[], string][] = [
    [options.dns, 'dns and the network mode'],
    [options.extraHosts, 'custom host-to-IP mapping and the network mode'],
    [options.publish, 'port publishing and the container type network mode'],
    [options.publishAll ? [true] : [], 'port publishing and the container type network mode'],
    [options.expose, 'port exposing and the container type network mode'],
  ];
  for (const [given, what] of conflicts)
    if (given.length > 0) throw new HuskError(`conflicting options: ${what}`, { kind: 'invalid' });
}

function checkNamespaces({ userns = '', cgroupns = '' }: CreateOptions, isolation: Isolation): void {
  if (!['', 'private', 'host', 'keep-id'].includes(userns.split(':')[0]!) || userns.startsWith('private:'))
    throw new HuskError('--userns: invalid USER mode', { kind: 'invalid', fix: 'use keep-id or private' });
  if (userns === 'host')
    throw unsupported(
      '--userns host: root of a container is never root of the host, so each container has a user namespace (or a kernel) of its own',
      'leave --userns out',
    );
  if (!['', 'private', 'host'].includes(cgroupns))
    throw new HuskError('--cgroupns: invalid CGROUP mode', { kind: 'invalid' });
  if (cgroupns === 'host' && isolation === 'vm')
    throw unsupported(
      '--cgroupns host is not possible with --isolation=vm: a virtual machine shares no namespace with the host',
      'use --isolation=userns',
    );
}

/** Rules for the use of devices are BPF programs, which only the host's root may load. */
export function checkDevice(text: string, { host, access }: DeviceRequest, isolation: Isolation): void {
  if (isolation === 'userns' && !(access.includes('r') && access.includes('w')))
    throw unsupported(
      `--device ${text}: a user namespace cannot narrow the use of a device to "${access}": ${host} is used with the rights its node gives you`,
      `use --device ${host}, and the node's own permissions`,
    );
}

function unsupported(message: string, fix: string): HuskError {
  return new HuskError(message, { kind: 'unsupported', exitCode: EXIT_HUSK_FAILED, fix });
}
