/** `--ulimit` → rlimits. Source: docker/go-units ulimit.go, setrlimit(2). */
import type { Rlimit } from '../../../spec.ts';
import { HuskError } from '../../../errors.ts';
import { isUlimitName, type Ulimit } from '../../../notation/ulimits.ts';

type HardLimit = (name: string) => number | undefined;

/**
 * What a container has without any flag, in both isolations: as much as Docker's service gives its own
 * (contrib/init/systemd/docker.service of moby). A guest's kernel would give 4096 files, and processes and pending
 * signals by its little memory.
 */
export const DEFAULT_ULIMITS: readonly Ulimit[] = [
  { name: 'nofile', soft: 1_048_576, hard: 1_048_576 },
  { name: 'nproc', soft: -1, hard: -1 },
  { name: 'sigpending', soft: -1, hard: -1 },
];

/**
 * @param asked by flags: one above the caller's own hard limit is refused, for only the host's root may raise it
 * @param defaults of the config and of husk: lowered to what is possible
 * @param hardLimit the caller's own hard limit by name (`nofile`), Infinity for unlimited; absent where anything goes
 * (real root, guest)
 * @param reach as hardLimit, for the defaults: a process of a user namespace cannot raise its limits, whoever made it
 * @throws HuskError `invalid` in Docker's words, `unsupported` for one too high
 */
export function rlimits(
  asked: readonly Ulimit[],
  defaults: readonly Ulimit[],
  hardLimit?: HardLimit,
  reach = hardLimit,
): Rlimit[] {
  const byName = new Map<string, Rlimit>();
  for (const ulimit of defaults) byName.set(ulimit.name, lowered(checked(ulimit), reach?.(ulimit.name)));
  for (const ulimit of asked) {
    const rlimit = checked(ulimit);
    const most = hardLimit?.(ulimit.name);
    if (most !== undefined && above(rlimit.hard, most))
      throw new HuskError(
        `cannot raise the ulimit ${ulimit.name} to ${show(rlimit.hard)}: your own hard limit is ${most}`,
        {
          kind: 'unsupported',
          fix: `raise it for your user in /etc/security/limits.conf and log in again`,
        },
      );
    byName.set(ulimit.name, rlimit);
  }
  return [...byName.values()];
}

function checked({ name, soft, hard }: Ulimit): Rlimit {
  if (!isUlimitName(name)) throw new HuskError(`invalid ulimit type: ${name}`, { kind: 'invalid' });
  if (above(soft, hard))
    throw new HuskError(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`, {
      kind: 'invalid',
    });
  return { type: `RLIMIT_${name.toUpperCase()}`, soft, hard };
}

function lowered(rlimit: Rlimit, most: number | undefined): Rlimit {
  if (most === undefined || !above(rlimit.hard, most)) return rlimit;
  return { ...rlimit, hard: most, soft: above(rlimit.soft, most) ? most : rlimit.soft };
}

function above(value: number, bound: number): boolean {
  return bound >= 0 && bound !== Infinity && (value < 0 || value > bound);
}

function show(value: number): string {
  return value < 0 ? 'unlimited' : String(value);
}
