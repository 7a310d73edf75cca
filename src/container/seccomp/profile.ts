/**
 * Docker's seccomp profile format (`--security-opt seccomp=FILE`): a profile is parsed with bounds, then resolved
 * against the container's capabilities, the kernel and the processor into the OCI form. Nothing here touches the
 * system. Source: moby profiles/seccomp/seccomp.go, seccomp_linux.go.
 */
import { HuskError } from '../../errors.ts';
import type { Seccomp } from '../../spec.ts';
import { defaultProfile } from './default-profile.ts';
import type { Profile, ProfileFilter, ProfileRule } from './profile-format.ts';

/** most bytes of JSON; Docker's own profile has 13 KiB */
const MAX_PROFILE = 1 << 20;
/** most rules, and most names over all rules */
const MAX_RULES = 4096;
const MAX_NAMES = 65_536;
/** most conditions of a rule: two for each of a call's six arguments */
const MAX_ARGS = 12;
const NATIVE = { go: 'amd64', seccomp: 'SCMP_ARCH_X86_64' };

/**
 * @param text JSON of a profile file
 * @throws HuskError `invalid` naming what is wrong and where
 */
export function parseProfile(text: string): Profile {
  if (text.length > MAX_PROFILE) throw invalid(`it has ${text.length} bytes, more than ${MAX_PROFILE}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid((error as Error).message);
  }
  const json = object(value, 'the profile');
  const profile: Profile = {
    defaultAction: string(json['defaultAction'], 'defaultAction'),
    defaultErrnoRet: optional(json['defaultErrnoRet'], 'defaultErrnoRet', number),
    architectures: optional(json['architectures'], 'architectures', strings),
    archMap: optional(json['archMap'], 'archMap', (item, at) =>
      array(item, at).map((entry, index) => {
        const map = object(entry, `${at}[${index}]`);
        return {
          architecture: string(map['architecture'], `${at}[${index}].architecture`),
          subArchitectures: optional(map['subArchitectures'], `${at}[${index}].subArchitectures`, strings),
        };
      }),
    ),
    flags: optional(json['flags'], 'flags', strings),
    syscalls: (optional(json['syscalls'], 'syscalls', array) ?? []).map((item, index) =>
      rule(item, `syscalls[${index}]`),
    ),
  };
  if (profile.architectures?.length && profile.archMap?.length)
    throw invalid(
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  if (profile.syscalls.length > MAX_RULES) throw invalid(`it has more than ${MAX_RULES} rules`);
  if (profile.syscalls.reduce((sum, { names }) => sum + names.length, 0) > MAX_NAMES)
    throw invalid(`it names more than ${MAX_NAMES} calls`);
  return profile;
}

function rule(value: unknown, at: string): ProfileRule {
  const json = object(value, at);
  const name = optional(json['name'], `${at}.name`, string);
  const names = optional(json['names'], `${at}.names`, strings);
  if (name !== undefined && names?.length)
    throw invalid("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'");
  const args = optional(json['args'], `${at}.args`, array)?.map((item, index) => {
    const arg = object(item, `${at}.args[${index}]`);
    const valueTwo = optional(arg['valueTwo'], `${at}.args[${index}].valueTwo`, number);
    return {
      index: number(arg['index'], `${at}.args[${index}].index`),
      value: number(arg['value'] ?? 0, `${at}.args[${index}].value`),
      ...(valueTwo !== undefined && { valueTwo }),
      op: string(arg['op'], `${at}.args[${index}].op`),
    };
  });
  if (args && args.length > MAX_ARGS) throw invalid(`${at} has more than ${MAX_ARGS} args`);
  return {
    names: name !== undefined ? [name] : (names ?? []),
    action: string(json['action'], `${at}.action`),
    errnoRet: optional(json['errnoRet'], `${at}.errnoRet`, number),
    args,
    includes: optional(json['includes'], `${at}.includes`, filter),
    excludes: optional(json['excludes'], `${at}.excludes`, filter),
  };
}

function filter(value: unknown, at: string): ProfileFilter {
  const json = object(value, at);
  return {
    caps: optional(json['caps'], `${at}.caps`, strings),
    arches: optional(json['arches'], `${at}.arches`, strings),
    minKernel: optional(json['minKernel'], `${at}.minKernel`, (item, where) => {
      const text = string(item, where);
      if (!/^\d{1,4}\.\d{1,4}$/.test(text)) throw invalid(`${where} is not a kernel version "major.minor": "${text}"`);
      return text;
    }),
  };
}

export interface ProfileFacts {
  /** the container's bounding set */
  capabilities: readonly string[];
  /** uname(2) release */
  kernel: string;
}

/** @returns the OCI form, with the rules whose conditions hold, in the profile's order */
export function resolveProfile(profile: Profile, facts: ProfileFacts): Seccomp {
  const map = profile.archMap?.find(({ architecture }) => architecture === NATIVE.seccomp);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet !== undefined && { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: map ? [map.architecture, ...(map.subArchitectures ?? [])] : (profile.architectures ?? []),
    ...(profile.flags?.length && { flags: profile.flags }),
    syscalls: profile.syscalls
      .filter((entry) => applies(entry, facts))
      .map(({ names, action, errnoRet, args }) => ({
        names,
        action,
        ...(errnoRet !== undefined && { errnoRet }),
        ...(args?.length && { args }),
      })),
  };
}

/**
 * @returns the filter for `seccomp=unconfined`, for a profile's text, or for Docker's default; undefined for none,
 * which a privileged container has unless it names a profile
 */
export function seccompFor(
  option: string | undefined,
  facts: ProfileFacts & { privileged: boolean },
): Seccomp | undefined {
  if (option === 'unconfined' || (option === undefined && facts.privileged)) return undefined;
  return resolveProfile(option === undefined ? defaultProfile() : parseProfile(option), facts);
}

function applies({ includes, excludes }: ProfileRule, facts: ProfileFacts): boolean {
  const has = (capability: string) => facts.capabilities.includes(capability);
  if (includes?.caps && !includes.caps.every(has)) return false;
  if (includes?.arches?.length && !includes.arches.includes(NATIVE.go)) return false;
  if (includes?.minKernel && !kernelAtLeast(facts.kernel, includes.minKernel)) return false;
  if (excludes?.caps?.some(has)) return false;
  if (excludes?.arches?.includes(NATIVE.go)) return false;
  return !(excludes?.minKernel && kernelAtLeast(facts.kernel, excludes.minKernel));
}

function kernelAtLeast(release: string, wanted: string): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const [wantMajor = 0, wantMinor = 0] = wanted.split('.').map(Number);
  return major > wantMajor || (major === wantMajor && minor >= wantMinor);
}

function invalid(why: string): HuskError {
  return new HuskError(`decoding seccomp profile failed: ${why}`, { kind: 'invalid' });
}

function object(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${at} is not an object`);
  return value as Record<string, unknown>;
}

function array(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(`${at} is not a list`);
  return value;
}

function string(value: unknown, at: string): string {
  if (typeof value !== 'string') throw invalid(`${at} is not a string`);
  return value;
}

function strings(value: unknown, at: string): string[] {
  return array(value, at).map((item, index) => string(item, `${at}[${index}]`));
}

function number(value: unknown, at: string): number {
  // JSON has lost digits of a number from 2^53 on: it is refused, not guessed.
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw invalid(`${at} is not a whole number between 0 and 2^53`);
  return value as number;
}

/** Go's decoder takes null for absent. */
function optional<T>(value: unknown, at: string, parse: (value: unknown, at: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : parse(value, at);
}
