/**
 * Makes the end of every plan: limits, terminal, user, capabilities, no_new_privs, seccomp, exec. The order is runc's,
 * and matters: without no_new_privs a filter can be installed only while the process still has CAP_SYS_ADMIN; with
 * no_new_privs the filter goes last, so that it need not allow the calls before it. Source: runc
 * libcontainer/standard_init_linux.go; seccomp(2).
 */
import { HuskError } from '../errors.ts';
import { capabilityMask } from './capabilities.ts';
import type { Step } from '../launch/plan.ts';
import type { CompiledFilter } from './seccomp/compile.ts';
import type { ProcessSpec, Rlimit, User } from '../spec.ts';

/** first fd a container must not inherit */
const FIRST_FOREIGN_FD = 3;
const DEFAULT_UMASK = 0o022;

/** linux include/uapi/asm-generic/resource.h */
const RLIMITS = [
  'RLIMIT_CPU',
  'RLIMIT_FSIZE',
  'RLIMIT_DATA',
  'RLIMIT_STACK',
  'RLIMIT_CORE',
  'RLIMIT_RSS',
  'RLIMIT_NPROC',
  'RLIMIT_NOFILE',
  'RLIMIT_MEMLOCK',
  'RLIMIT_AS',
  'RLIMIT_LOCKS',
  'RLIMIT_SIGPENDING',
  'RLIMIT_MSGQUEUE',
  'RLIMIT_NICE',
  'RLIMIT_RTPRIO',
  'RLIMIT_RTTIME',
];
const RLIM_INFINITY = 2n ** 64n - 1n;

export interface ProcessOptions {
  /** whether the terminal is bound over /dev/console: for the container's first process, not for an exec */
  console: boolean;
  /** whether a missing working folder is made; that of an exec must exist */
  makeFolder: boolean;
  /** BPF of the seccomp profile; absent: no filter */
  filter?: CompiledFilter;
  /** whether the plan waits for the parent before it takes on the command's identity */
  awaitExec: boolean;
  /** whether the process stays as PID 1 and reaps, the command being its child */
  reaper: boolean;
  /** the signal at the parent's death; 0: none */
  parentDeathSignal: number;
}

/** @returns the steps inside the container's root, from rlimits to exec */
export function processSteps(process: ProcessSpec, options: ProcessOptions): Step[] {
  if (process.args.length === 0) throw new HuskError('no command specified', { kind: 'invalid' });
  const steps: Step[] = rlimitSteps(process.rlimits ?? []);
  if (process.terminal)
    steps.push({
      op: 'openPty',
      columns: process.consoleSize?.width ?? 0,
      rows: process.consoleSize?.height ?? 0,
      console: options.console,
    });
  steps.push({ op: 'umask', mask: process.user.umask ?? DEFAULT_UMASK });
  if (options.awaitExec) steps.push({ op: 'await', tag: 'exec' });

  const seccomp: Step[] = options.filter ? [{ op: 'seccomp', ...options.filter }] : [];
  if (process.noNewPrivileges) steps.push({ op: 'noNewPrivileges' });
  else steps.push(...seccomp);
  // The folder is entered before the user changes: it need not be open to the command's user (runc does the same).
  steps.push({ op: 'chdir', path: process.cwd, create: options.makeFolder, uid: 0, gid: 0 });
  // The environment comes before `setuser`, which adds HOME.
  steps.push({ op: 'environment', env: process.env });
  // `chownStdio` takes effect when the user changes.
  steps.push({ op: 'chownStdio' }, ...userSteps(process.user));
  const sets = process.capabilities ?? { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  steps.push({
    op: 'capabilities',
    bounding: capabilityMask(sets.bounding),
    effective: capabilityMask(sets.effective),
    permitted: capabilityMask(sets.permitted),
    inheritable: capabilityMask(sets.inheritable),
    ambient: capabilityMask(sets.ambient),
    rootOnly: process.user.username !== undefined,
  });
  if (process.noNewPrivileges) steps.push(...seccomp);
  steps.push({ op: 'closeFrom', fd: FIRST_FOREIGN_FD });
  if (options.reaper) steps.push({ op: 'reaper' });
  // The death signal comes last, because a change of credentials clears it (prctl(2) PR_SET_PDEATHSIG).
  if (options.parentDeathSignal) steps.push({ op: 'parentDeathSignal', signal: options.parentDeathSignal });
  steps.push({ op: 'exec', args: process.args });
  return steps;
}

function userSteps(user: User): Step[] {
  if (user.username !== undefined)
    return [
      {
        op: 'setuser',
        user: user.username === '' ? '0' : user.username,
        additionalGroups: user.additionalGroups ?? [],
      },
    ];
  return [
    { op: 'setgroups', gids: user.additionalGids ?? [] },
    { op: 'setgid', gid: user.gid },
    { op: 'setuid', uid: user.uid },
  ];
}

function rlimitSteps(rlimits: readonly Rlimit[]): Step[] {
  return rlimits.map(({ type, soft, hard }) => {
    const resource = RLIMITS.indexOf(type);
    if (resource < 0) throw new HuskError(`the spec has an unknown rlimit "${type}"`, { kind: 'invalid' });
    return { op: 'rlimit', resource, soft: limit(soft), hard: limit(hard) };
  });
}

/** @returns the limit; -1 and any value that does not fit 63 bits mean "unlimited" */
function limit(value: number): bigint {
  if (value < 0 || value >= 2 ** 63) return RLIM_INFINITY;
  return BigInt(Math.trunc(value));
}
