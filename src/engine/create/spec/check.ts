/**
 * What a request cannot mean whose every part can be read (src/engine/request/), said at create and not only when it is
 * started: conflicts, unknown names, and what its isolation cannot give. Reads nothing of the host but what `facts`
 * tells. Source of texts and conflicts: moby runconfig/hostconfig_unix.go, docker/cli parse.go.
 */
import { tweakCapabilities } from '../../../container/capabilities.ts';
import { seccompFor } from '../../../container/seccomp/profile.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import type { Isolation } from '../../../sandbox.ts';
import type { DeviceRequest } from '../../../notation/devices.ts';
import type { CreateRequest } from '../../request/request.ts';
import { checkLabels } from '../../request/security.ts';
import { checkSysctls } from './sysctls.ts';
import { rlimits } from './ulimits.ts';

export interface CheckFacts {
  /** this host's kernel confines by SELinux */
  selinux: boolean;
}

/** What no isolation can give. @throws HuskError in Docker's words */
export function checkRequest(request: CreateRequest, facts: CheckFacts): void {
  checkPorts(request);
  checkRestart(request);
  checkConflicts(request);
  const { privileged, security } = request;
  const capabilities = tweakCapabilities({ add: request.capAdd, drop: request.capDrop, privileged });
  if (security.apparmor !== undefined && security.apparmor !== 'unconfined')
    throw unsupported(
      `--security-opt apparmor=${security.apparmor}: husk confines by namespaces, capabilities and seccomp, and loads no AppArmor profile`,
      'leave it out, or use apparmor=unconfined',
    );
  checkLabels(security.labels, facts);
  // the kernel's version decides about single rules only, never about what a profile may say
  if (security.seccomp !== undefined) seccompFor(security.seccomp, { capabilities, kernel: '6.1', privileged });
  checkSysctls(request);
  rlimits(request.ulimits, []);
}

/** What this isolation cannot give. @throws HuskError `unsupported` with the fix */
export function checkForIsolation(request: CreateRequest, isolation: Isolation): void {
  checkNamespaces(request, isolation);
  for (const device of request.devices) checkDevice(device.text, device, isolation);
  for (const { text } of request.deviceRules)
    if (isolation === 'userns')
      throw unsupported(
        `--device-cgroup-rule "${text}": a rule for devices is a program that only the host's root may load`,
        'use --isolation=vm, or --device',
      );
  checkStorageSize(request.storageSize, isolation);
}

function checkPorts({ publish }: CreateRequest): void {
  const sctp = publish.find(({ container }) => container.endsWith('/sctp'));
  if (sctp)
    throw unsupported(
      `--publish ${sctp.container}: ports are published by a process of yours, which takes TCP and UDP`,
      'publish a port of tcp or udp',
    );
}

function checkRestart({ autoRemove, restart }: CreateRequest): void {
  const wrong =
    autoRemove && restart.name !== 'no'
      ? "can't create 'AutoRemove' container with restart policy"
      : restart.maximumRetryCount > 0 && restart.name !== 'on-failure'
        ? "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        : undefined;
  if (wrong !== undefined) throw new HuskError(wrong, { kind: 'invalid', exitCode: EXIT_HUSK_FAILED });
}

/** bytes of a container's writable disk, as its template has them (guest/writable-disk/build) */
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

/** Who shares the host's or another's namespace has the names, addresses and ports of that one. */
function checkConflicts({ hostname, network, uts, links, ...request }: CreateRequest): void {
  const conflicts: [unknown, string][] = [[uts.kind === 'host' && hostname, 'hostname and the UTS mode']];
  if (links.length > 0 && (network.kind === 'host' || network.kind === 'container'))
    throw new HuskError(
      `conflicting options: ${network.kind} type ${network.kind === 'host' ? 'networking' : 'network'} can't be used with links. This would result in undefined behavior`,
      { kind: 'invalid' },
    );
  if (network.kind === 'host' && request.egress.length > 0)
    throw unsupported(
      `--egress ${request.egress[0]!.text}: the host's network has no rules of containers`,
      'leave --network host out',
    );
  if (network.kind === 'container')
    conflicts.push(
      [request.egress.length, 'egress rules and the container type network mode'],
      [hostname, 'hostname and the network mode'],
      [request.dns.length, 'dns and the network mode'],
      [request.extraHosts.length, 'custom host-to-IP mapping and the network mode'],
      [request.publish.length || request.publishAll, 'port publishing and the container type network mode'],
      [request.expose.length, 'port exposing and the container type network mode'],
    );
  for (const [given, what] of conflicts)
    if (given) throw new HuskError(`conflicting options: ${what}`, { kind: 'invalid' });
}

function checkNamespaces({ userns, cgroupns }: CreateRequest, isolation: Isolation): void {
  if (userns.kind === 'host')
    throw unsupported(
      '--userns host: root of a container is never root of the host, so each container has a user namespace (or a kernel) of its own',
      'leave --userns out',
    );
  if (cgroupns.kind === 'host' && isolation === 'vm')
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
