/**
 * Whether a network's way out is there, waited for by a container that starts: its first connection must not fail
 * because pasta came later. Where it does not come, the container starts all the same.
 */
import { readFileSync } from 'node:fs';
import { after, elapsed } from '../../long-timer.ts';
import { reasonOfKeeper } from '../readiness.ts';
import { OUT } from '../rules.ts';
import { wayOutProblem } from '../way-out.ts';
import type { ActiveNetwork } from './active-network.ts';

/** ms: as long as a start waits */
const PATIENCE = 10_000;
/**
 * ms: pasta has failed once by then, and is tried again behind the container's back; longer where it had failed before
 * this container came, which may be over
 */
const AFTER_FAILURE = { now: 300, before: 1000 };
/** ms; pasta sets its interface up in some 10 ms */
const POLL = 3;
/** husk-net, `keep`, its numbers: what comes behind is pasta's command */
const KEEPER_ARGUMENTS = 8;
const WITHOUT =
  'there was none to be had when its first container started (fix: stop those on it, and start them again)';

/** @returns why there is no way out; undefined when there is, or none was meant to be */
export async function untilWayOut(active: ActiveNetwork): Promise<string | undefined> {
  if (active.network.internal) return undefined;
  const { pid } = active.keeper;
  const words = commandOf(pid);
  if (words === undefined) return undefined; // it has ended; whoever watches it makes another
  // where there still is a reason for it, whoever made the container has said that one
  if (words.length <= KEEPER_ARGUMENTS) return wayOutProblem() === undefined ? WITHOUT : undefined;
  const began = elapsed();
  const patience = reasonOfKeeper(pid) === undefined ? AFTER_FAILURE.now : AFTER_FAILURE.before;
  let failedAt: number | undefined;
  for (;;) {
    if (isUp(active)) return undefined;
    const waited = elapsed() - began;
    const reason = reasonOfKeeper(pid);
    if (reason !== undefined) failedAt ??= waited;
    if (failedAt !== undefined && waited - failedAt > patience) return reason ?? 'pasta failed';
    if (waited > PATIENCE) return `pasta made no interface in ${PATIENCE / 1000} s`;
    await after(POLL);
  }
}

function isUp({ sockets: { route } }: ActiveNetwork): boolean {
  const index = route.linkIndex(OUT);
  return index !== undefined && route.link(index)?.up === true;
}

/** @returns undefined when it has ended */
function commandOf(pid: number): string[] | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').slice(0, -1);
    return words.length === 0 ? undefined : words;
  } catch {
    return undefined;
  }
}
