/**
 * Does a container get a way out of its network namespace. Asked at create, to warn, and at each start, for hosts
 * change.
 */
import { wayOutProblem } from '../../network/way-out.ts';
import { networkName } from '../../notation/modes.ts';
import type { Isolation } from '../../sandbox.ts';
import type { CreateRequest } from '../request/request.ts';

/**
 * Who asked for the bridge by name gets it, or the error of the start. Who asked for nothing gets a container with
 * loopback alone where this host has no way out, and is told so: most commands do without a network.
 */
export function outbound(
  { network }: Pick<CreateRequest, 'network'>,
  isolation: Isolation,
): { outbound: boolean; warning?: string } {
  if (networkName(network) !== 'bridge') return { outbound: false };
  const problem = network.kind === 'default' ? wayOutProblem(isolation) : undefined;
  if (problem === undefined) return { outbound: true };
  return { outbound: false, warning: `${problem.message}: it has only its loopback (fix: ${problem.fix})` };
}
