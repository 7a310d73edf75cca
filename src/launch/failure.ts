/**
 * Explains a plan that failed, in the words that users and scripts know from Docker, with what to change on this host
 * where that is known. The explanation reads facts and changes nothing.
 */
import { constants } from 'node:os';
import { EXIT_HUSK_FAILED, EXIT_NOT_EXECUTABLE, HuskError } from '../errors.ts';
import { readOptional } from '../host/files/read-optional.ts';
import { LaunchError } from './error.ts';

const { EACCES, EINVAL, ENOSPC, EPERM } = constants.errno;

export type Stage = 'create' | 'exec';

/** runc's words before its own reason; Docker's CLI adds "docker: Error response from daemon: " */
const HEAD: Record<Stage, string> = {
  create:
    'failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process: ',
  exec: 'OCI runtime exec failed: exec failed: unable to start container process: ',
};

export function explainLaunchError(error: unknown, stage: Stage): Error {
  if (!(error instanceof LaunchError)) return error as Error;
  if (error.op === 'unshare' || error.op === 'setns' || error.op === 'mapUsers') return namespaceError(error);
  // Docker resolves users before it asks runc, so these errors come without runc's words.
  const exitCode = stage === 'exec' && error.exitCode === EXIT_HUSK_FAILED ? EXIT_NOT_EXECUTABLE : error.exitCode;
  if (error.op === 'setuser' && error.call === 'setuser')
    return new HuskError(error.message, { kind: 'start-failed', exitCode, cause: error });
  if (error.op === 'mount' && error.path?.endsWith('/merged')) return overlayError(error);
  return new HuskError(`${HEAD[stage]}${error.message}: unknown`, {
    kind: 'start-failed',
    exitCode,
    fix: error.fix,
    cause: error,
  });
}

/** Explains the failed mount of the root: the kernel's overlay has refused it. */
function overlayError(error: LaunchError): HuskError {
  return new HuskError(`cannot mount the container's root: ${error.message}`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix: 'HUSK_OVERLAY=fuse uses fuse-overlayfs; or a data root on ext4, xfs, btrfs or tmpfs (husk doctor tries it)',
    cause: error,
  });
}

/** @param read gives a sysctl's text; tests pass their own */
function namespaceError(
  error: Pick<LaunchError, 'errno' | 'message' | 'op'>,
  read: (path: string) => string | undefined = readOptional,
): HuskError {
  const fix = namespaceFix(error.errno, read);
  return new HuskError(`cannot make the container's namespaces: ${error.message}`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix,
    cause: error,
  });
}

/** Finds which of the host's switches for user namespaces is off, user_namespaces(7). @returns what turns it on */
export function namespaceFix(
  errno: number,
  read: (path: string) => string | undefined = readOptional,
): string | undefined {
  if (errno === ENOSPC || read('/proc/sys/user/max_user_namespaces')?.trim() === '0')
    return 'sudo sysctl user.max_user_namespaces=15000';
  // Debian's own switch
  if (read('/proc/sys/kernel/unprivileged_userns_clone')?.trim() === '0')
    return 'sudo sysctl kernel.unprivileged_userns_clone=1';
  // the switch of Ubuntu 23.10 and later
  if (read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns')?.trim() === '1')
    return 'sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0';
  if (errno === EINVAL) return 'the kernel has no user namespaces (CONFIG_USER_NS)';
  if (errno === EPERM || errno === EACCES)
    return 'inside another container: it must allow user namespaces (its seccomp profile, or --privileged)';
  return undefined;
}
