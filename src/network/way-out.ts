/** Whether containers on this host can have a way out, asked without trying: cheap enough for every `create`. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { parseResolvConf } from '../container/etc-files.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { readOptional } from '../host/files/read-optional.ts';
import { findProgram } from '../rootless/programs.ts';
import type { Isolation } from '../sandbox.ts';
import { hostInterface } from './host-interface.ts';

/** What is missing for pasta, or for a machine's passt, with the fix; undefined when nothing is. */
export function wayOutProblem(isolation: Isolation, path: string = process.env['PATH'] ?? ''): HuskError | undefined {
  // one package has both
  const program = isolation === 'vm' ? 'passt' : 'pasta';
  if (findProgram(program, `${path}:/usr/bin:/bin`) === undefined) return notInstalled(program);
  if (hostInterface() === undefined) return noDefaultRoute();
  if (isolation === 'vm') return undefined;
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such device' : 'permission denied';
    return new HuskError(`cannot connect the container to the network: /dev/net/tun: ${reason}`, {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: tunFix(),
    });
  }
}

export function notInstalled(program: 'pasta' | 'passt', cause?: Error): HuskError {
  return new HuskError(`cannot connect the container to the network: ${program} is not installed`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix: 'apt install passt (or use --network none or host)',
    cause,
  });
}

export function noDefaultRoute(): HuskError {
  return new HuskError('cannot connect the container to the network: this host has no default route', {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix: 'connect the host to a network (or use --network none)',
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
 * Answered by passt and pasta from the host's first resolver, where that is on the host's loopback; link-local (RFC
 * 3927), Podman's choice too.
 */
export const DNS_FORWARDER = '169.254.1.1';

/**
 * Arguments of passt and pasta. Only where the container is told of the forwarder: once there is one, passt (as
 * of 2023) puts its address on every answer of the host's resolver, also to a program that asked that resolver by its
 * own.
 * @param resolvConf the host's resolv.conf(5)
 */
export function dnsForward(resolvConf: string): string[] {
  const first = parseResolvConf(resolvConf).nameservers.find((address) => isIPv4(address));
  return first?.startsWith('127.') ? ['--dns-forward', DNS_FORWARDER] : [];
}

export const hostResolvConf = (): string => readOptional('/etc/resolv.conf') ?? '';
