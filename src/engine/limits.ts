/** What `create` learns about limits before anything runs: what this host cannot enforce is refused, what it must leave out is told. */
import { checkLimits } from '../container/cgroup.ts';
import { findDelegation } from '../container/cgroup-delegation.ts';
import type { ContainerConfig } from './contract.ts';
import { limitFacts, ownOomScoreAdj } from './host-facts.ts';
import { oomScoreAdj } from './spec/build.ts';
import { resources } from './spec/limits.ts';

/**
 * @returns warnings in the daemon's words
 * @throws HuskError `invalid` in Docker's words, `unsupported` naming the flag that cannot be enforced and the fix
 */
export function limitWarnings({ options, isolation }: Pick<ContainerConfig, 'options' | 'isolation'>): string[] {
  const asked = resources(options.resources, limitFacts());
  const userNamespace = isolation === 'userns';
  const warnings: string[] = [];
  oomScoreAdj(options.oomScoreAdj, { userNamespace, oomScoreAdj: ownOomScoreAdj() }, warnings);
  // a machine of its own has whole cgroups
  return userNamespace ? [...warnings, ...checkLimits(asked, findDelegation({ runtimeDir: process.env['XDG_RUNTIME_DIR'] }))] : warnings;
}
