/**
 * What `create` learns about limits before anything runs: what this host cannot enforce is refused, what it must leave
 * out is told.
 */
import { checkCgroupParent, checkLimits } from '../../container/cgroup/cgroup.ts';
import { findDelegation } from '../../container/cgroup/delegation.ts';
import { parseCpuList } from '../../container/cgroup/cpu-list.ts';
import { HuskError } from '../../errors.ts';
import type { Isolation } from '../../sandbox.ts';
import type { CreateRequest } from '../request/request.ts';
import { limitFacts, ownOomScoreAdj } from './host-facts.ts';
import { oomScoreAdj } from './spec/build.ts';
import { checkMachineLimits } from './machine-limits.ts';
import { resources, type LimitFacts } from './spec/limits.ts';

type AskedLimits = Pick<CreateRequest, 'resources' | 'cgroupParent' | 'oomScoreAdj'>;

/**
 * @returns warnings in the daemon's words
 * @throws HuskError `invalid` in Docker's words, `unsupported` naming the flag that cannot be enforced and the fix
 */
export function limitWarnings(request: AskedLimits, isolation: Isolation): string[] {
  const facts = limitFacts();
  const asked = resources(request.resources, facts);
  const userNamespace = isolation === 'userns';
  const warnings: string[] = [];
  oomScoreAdj(request.oomScoreAdj, { userNamespace, oomScoreAdj: ownOomScoreAdj() }, warnings);
  if (!userNamespace) return [...warnings, ...checkMachineLimits(request, asked, { memoryNodes: memoryNodes(facts) })];
  const delegation = findDelegation({ runtimeDir: process.env['XDG_RUNTIME_DIR'] });
  if (request.cgroupParent) checkCgroupParent(request.cgroupParent, delegation);
  return [...warnings, ...checkLimits(asked, delegation)];
}

const memoryNodes = ({ availableMems }: LimitFacts) => parseCpuList(availableMems ?? '0')?.length ?? 1;

/** Why a VM cannot be held to these limits; undefined when it can, or when they are wrong in any isolation. */
export function machineLimitProblem(request: Omit<AskedLimits, 'oomScoreAdj'>): string | undefined {
  const facts = limitFacts();
  try {
    checkMachineLimits(request, resources(request.resources, facts), { memoryNodes: memoryNodes(facts) });
    return undefined;
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'unsupported') return error.message;
    if (error instanceof HuskError && error.kind === 'invalid') return undefined; // told when they are checked
    throw error;
  }
}
