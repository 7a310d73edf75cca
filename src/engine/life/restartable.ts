/**
 * What is to be started again when the host has come up: containers whose policy is `always`, and those of
 * `unless-stopped` that no person stopped. What a reboot or a logout ended is among them: its record is mended as it is
 * read (../record/reconcile.ts). Decides only.
 */
import type { EngineContext } from '../record/context.ts';
import type { Container } from '../contract.ts';
import { joinedContainer } from '../../notation/modes.ts';
import { NEVER } from '../../state/containers.ts';
import { isRunning } from '../record/supervisor-link.ts';
import { resolveAll } from '../record/reconcile.ts';

/** @returns names, oldest first, in ranks: those of one rank may be started at once, and need only earlier ranks */
export function restartable(context: EngineContext): string[][] {
  return inRanks(resolveAll(context).filter(wantsStart).reverse()).map((rank) => rank.map(({ name }) => name));
}

/**
 * Docker also starts `on-failure` ones whose last exit was a failure, against its own reference; one that was never
 * started has nothing to go on with.
 */
function wantsStart({ state, config, ...rest }: Container): boolean {
  const { name } = config.options.restart;
  if (isRunning({ state, config, ...rest }) || state.claim || state.startedAt === NEVER) return false;
  return name === 'always' || (name === 'unless-stopped' && !state.stoppedByUser);
}

/**
 * A container that joins another's namespaces needs that one running. A circle (it could never have been started) is
 * one last rank.
 */
function inRanks(containers: Container[]): Container[][] {
  const ranks: Container[][] = [];
  for (let left = containers; left.length > 0;) {
    const free = left.filter(
      (container) =>
        !joins(container).some((other) => left.some((candidate) => candidate !== container && names(candidate, other))),
    );
    const rank = free.length > 0 ? free : left;
    ranks.push(rank);
    left = left.filter((container) => !rank.includes(container));
  }
  return ranks;
}

function joins({ config: { options } }: Container): string[] {
  return [options.network, options.ipc, options.pid].flatMap((mode) => joinedContainer(mode) ?? []);
}

function names(container: Container, reference: string): boolean {
  return container.name === reference || container.id.startsWith(reference);
}
