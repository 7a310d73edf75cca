/** `--security-opt`. Source: moby daemon/daemon_unix.go parseSecurityOpt, whose texts these are. Pure. */
import { HuskError } from '../../errors.ts';
import { parseBool } from '../../notation/scalars.ts';

export interface SecurityOptions {
  noNewPrivileges: boolean;
  /** `unconfined`, the JSON text of a profile, or absent for Docker's default */
  seccomp?: string;
  apparmor?: string;
  /** what follows `label=` */
  labels: string[];
  /** `systempaths=unconfined`: nothing masked, nothing made read-only */
  unconfinedPaths: boolean;
  writableCgroups: boolean;
}

/** @throws HuskError `invalid` in Docker's words */
export function parseSecurityOptions(options: readonly string[]): SecurityOptions {
  const result: SecurityOptions = {
    noNewPrivileges: false,
    labels: [],
    unconfinedPaths: false,
    writableCgroups: false,
  };
  for (const option of options) {
    if (option === 'no-new-privileges') {
      result.noNewPrivileges = true;
      continue;
    }
    if (option === 'disable') continue;
    const at = option.search(/[=:]/);
    if (at < 0) throw new HuskError(`invalid --security-opt 1: "${option}"`, { kind: 'invalid' });
    const key = option.slice(0, at);
    const value = option.slice(at + 1);
    if (key === 'label') result.labels.push(value);
    else if (key === 'apparmor') result.apparmor = value;
    else if (key === 'seccomp') result.seccomp = value === 'builtin' ? undefined : value;
    else if (key === 'no-new-privileges') result.noNewPrivileges = bool(value, option);
    else if (key === 'writable-cgroups') result.writableCgroups = bool(value, option);
    else if (key === 'systempaths' && value === 'unconfined') result.unconfinedPaths = true;
    else throw new HuskError(`invalid --security-opt 2: "${option}"`, { kind: 'invalid' });
  }
  return result;
}

const LABEL_KEYS = ['user', 'role', 'type', 'level', 'filetype'];

/**
 * Without SELinux labels mean nothing, with Docker neither; where it confines, one that is not set would be a wall that
 * is not there.
 */
export function checkLabels(labels: readonly string[], host: { selinux: boolean }): void {
  for (const label of labels) {
    if (label === 'disable' || label === 'nested') continue;
    const [key = '', ...value] = label.split(':');
    if (!LABEL_KEYS.includes(key) || value.length === 0)
      throw new HuskError(
        `bad label option "${label}", valid options 'disable' or 'user, role, level, type, filetype' followed by ':' and a value`,
        { kind: 'invalid' },
      );
    if (host.selinux)
      throw new HuskError(`--security-opt label=${label}: husk sets no SELinux labels`, {
        kind: 'unsupported',
        exitCode: 125,
        fix: 'use label=disable',
      });
  }
}

function bool(value: string, option: string): boolean {
  try {
    return parseBool(value);
  } catch (cause) {
    throw new HuskError(`invalid --security-opt 2: "${option}"`, { kind: 'invalid', cause });
  }
}
