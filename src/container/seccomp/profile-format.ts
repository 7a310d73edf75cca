/**
 * Docker's seccomp profile format as types: profile.ts parses it, default-profile.ts is one. Source: moby
 * profiles/seccomp/seccomp.go.
 */

export interface ProfileFilter {
  caps?: string[];
  /** Go's names: amd64, arm64 */
  arches?: string[];
  /** `4.8` */
  minKernel?: string;
}

export interface ProfileRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: string }[];
  includes?: ProfileFilter;
  excludes?: ProfileFilter;
}

export interface Profile {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  archMap?: { architecture: string; subArchitectures?: string[] | null }[];
  flags?: string[];
  syscalls: ProfileRule[];
}
