/** Whether containers on this host can have a way out, asked without trying: cheap enough for every `create`. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { parseResolvConf } from '../container/etc-files.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { readOptional } from '../host/files/read-optional.ts';
import { findProgram } from '../rootless/programs.ts';

/** tun(4): pasta's interface is one, and a machine's */
export const TUN = '/dev/net/tun';

export interface MissingWayOut {
  reason: string;
  fix: string;
}

/** What is missing for pasta, with the fix; undefined when nothing is. */
export function missingWayOut(path: string = process.env['PATH'] ?? ''): MissingWayOut | undefined {
  if (findProgram('pasta', `${path}:/usr/bin:/bin`) === undefined)
    return { reason: 'pasta is not installed', fix: 'apt install passt (or use --network none or host)' };
  const reason = tunProblem();
  return reason === undefined ? undefined : { reason: `${TUN}: ${reason}`, fix: tunFix() };
}

/** The same, as an error of a container. */
export function wayOutProblem(path?: string): HuskError | undefined {
  const missing = missingWayOut(path);
  return missing && unconnected(missing.reason, missing.fix);
}

/**
 * What is missing for a virtual machine on these networks, which a container in user namespaces may do without: each of
 * its interfaces is a tap, and no machine is started with less than it was asked to have.
 */
export function machineProblem(
  networks: readonly { internal: boolean }[],
  path: string = process.env['PATH'] ?? '',
): HuskError | undefined {
  const reason = tunProblem();
  if (reason !== undefined) return unconnected(`${TUN}: ${reason}`, `${tunFix()} (or use --network none)`);
  return networks.every(({ internal }) => internal) ? undefined : wayOutProblem(path);
}

/** Why this process cannot open tun(4). */
function tunProblem(): string | undefined {
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such device' : 'permission denied';
  }
}

function unconnected(reason: string, fix: string): HuskError {
  return new HuskError(`cannot connect the container to the network: ${reason}`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix,
  });
}

/** The driver is there, then the device's mode is what is wrong (udev makes it 0666); or it is not. */
export function tunFix(): string {
  try {
    return readFileSync('/proc/misc', 'latin1').includes(' tun\n')
      ? 'sudo chmod 0666 /dev/net/tun'
      : 'sudo modprobe tun';
  } catch {
    return 'sudo modprobe tun';
  }
}

/**
 * Answered by pasta from the host's first resolver, where that is on the host's loopback; link-local (RFC
 * 3927), Podman's choice too.
 */
export const DNS_FORWARDER = '169.254.1.1';

/**
 * Arguments of pasta. Only where the container is told of the forwarder: once there is one, pasta (as of 2023) puts its
 * address on every answer of the host's resolver, also to a program that asked that resolver by its own.
 * @param resolvConf the host's resolv.conf(5)
 */
export function dnsForward(resolvConf: string): string[] {
  const first = parseResolvConf(resolvConf).nameservers.find((address) => isIPv4(address));
  return first?.startsWith('127.') ? ['--dns-forward', DNS_FORWARDER] : [];
}

export const hostResolvConf = (): string => readOptional('/etc/resolv.conf') ?? '';
