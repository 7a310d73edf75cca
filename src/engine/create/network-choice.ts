/** What a container's networks will lack on this host: said when it is made. */
import { wayOutProblem } from '../../network/way-out.ts';
import type { Isolation } from '../../sandbox.ts';
import type { CreateRequest } from '../request/request.ts';

/**
 * In user namespaces a network is there without a way out as well: its containers reach one another, and its published
 * ports are reached. A machine is not started where something is missing, which its start says.
 */
export function wayOutWarning({ network }: Pick<CreateRequest, 'network'>, isolation: Isolation): string | undefined {
  if (isolation === 'vm' || !['default', 'named'].includes(network.kind)) return undefined;
  const problem = wayOutProblem();
  return problem && `${problem.message}: it reaches other containers, and nothing beyond (fix: ${problem.fix})`;
}
