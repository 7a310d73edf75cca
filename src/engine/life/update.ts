/**
 * `update`: other limits or another restart policy for a container that is there, running or not. Checked as at create;
 * a running one's supervisor changes what runs, then the record is changed in one transaction that reads it again, so
 * that two updates at once both hold. Source of the conflicts: moby container/container_unix.go UpdateContainer.
 */
import type { Resources } from '../../spec.ts';
import { HuskError } from '../../errors.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container, CreateOptions, Engine, ResourceRequest } from '../contract.ts';
import { ask, isRunning } from '../record/supervisor-link.ts';
import { keepContainerCopy } from '../record/record-copies.ts';
import { recordEvent } from '../record/events.ts';
import { limitFacts } from '../create/host-facts.ts';
import { limitWarnings } from '../create/unenforceable-limits.ts';
import { resources } from '../create/spec/limits.ts';
import { readLimits, type LimitRequest } from '../request/request.ts';
import { resolve } from '../record/reconcile.ts';

type Change = Parameters<Engine['update']>[1];

/** @returns warnings in the daemon's words */
export async function update(context: EngineContext, reference: string, asked: Change): Promise<string[]> {
  const container = resolve(context, reference);
  if (container.state.status === 'removing' || container.state.status === 'dead')
    throw cannot(container.id, 'container is marked for removal and cannot be "update"');
  const { change, discarded } = await enforceable(context, container, asked);
  const options = changed(container, change);
  const limits = readLimits(options.resources);
  const warnings = change.resources ? limitWarnings({ ...options, resources: limits }, container.config.isolation) : [];
  if (isRunning(container))
    await ask(context, container, {
      type: 'update',
      ...(change.resources && { resources: live(limits) }),
      restart: change.restart,
    });
  context.store.setConfig(container.id, (config) => {
    recordEvent(context, container, 'update');
    return { ...config, options: changed({ ...container, config }, change) };
  });
  keepContainerCopy(context, container.id);
  return [...discarded, ...warnings];
}

/** Limits that cannot be enforced are refused, unless the config has them discarded. */
async function enforceable(
  { config }: EngineContext,
  container: Container,
  change: Change,
): Promise<{ change: Change; discarded: string[] }> {
  if (config['unenforceable-limits'] !== 'warn' || !change.resources) return { change, discarded: [] };
  const { discardLimits, enforcedHere } = await import('../create/discard-limits.ts');
  const { options, isolation } = container.config;
  const { resources: kept, warnings } = discardLimits(change.resources, enforcedHere(options, isolation));
  return { change: { ...change, resources: kept }, discarded: warnings };
}

/** @throws HuskError `conflict` or `invalid` in Docker's words */
function changed(container: Container, { resources: asked, restart }: Change): CreateOptions {
  const { options } = container.config;
  if (restart && restart.name !== 'no' && options.autoRemove)
    throw cannot(container.id, 'Restart policy cannot be updated because AutoRemove is enabled for the container');
  return {
    ...options,
    ...(restart && { restart }),
    ...(asked && { resources: mergeResources(container.id, options.resources, asked) }),
  };
}

/** @throws HuskError `conflict` in Docker's words */
export function mergeResources(id: string, before: ResourceRequest, asked: ResourceRequest): ResourceRequest {
  if (asked.cpus && before.cpuPeriod)
    throw cannot(id, 'Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set');
  if (asked.cpus && before.cpuQuota)
    throw cannot(id, 'Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set');
  if (asked.cpuPeriod && before.cpus)
    throw cannot(id, 'Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set');
  if (asked.cpuQuota && before.cpus)
    throw cannot(id, 'Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set');
  if (asked.memory && !asked.memorySwap && (before.memorySwap ?? 0) > 0 && asked.memory > before.memorySwap!)
    throw cannot(
      id,
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    );
  // Docker: 0 leaves a limit as it is, but for --pids-limit, where it is "unlimited"
  return {
    ...before,
    ...Object.fromEntries(
      Object.entries(asked).filter(([name, value]) => value !== undefined && (value !== 0 || name === 'pidsLimit')),
    ),
  };
}

/** What stands in the running cgroup must go where the request only says "none any more". */
function live(request: LimitRequest): Resources {
  const all = resources(request, limitFacts());
  return request.pidsLimit !== undefined && all.pids === undefined ? { ...all, pids: { limit: -1 } } : all;
}

function cannot(id: string, why: string): HuskError {
  return new HuskError(`Cannot update container ${id}: ${why}`, { kind: 'conflict' });
}
