/**
 * Docker's seccomp profile format as types: profile.ts parses the format, default-profile.ts holds a profile in it.
 * Source: moby profiles/seccomp/seccomp.go.
 */

export interface ProfileFilter {
  caps?: string[];
  /** Go's names of processors: amd64, arm64 */
  arches?: string[];
  /** the oldest kernel with the rule, as `4.8` */
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
