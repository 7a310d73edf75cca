/** The networks of a container that runs are its supervisor's to change: asks it. */
import { HuskError } from '../../errors.ts';
import type { EndpointRequest, Network } from '../../network/records/contract.ts';
import type { Container } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { ask } from '../record/supervisor-link.ts';
import { readRequest } from '../request/request.ts';
import { taskNetworks } from './task-networks.ts';

export async function attach(
  context: EngineContext,
  container: Container,
  network: Network,
  wanted: EndpointRequest,
): Promise<void> {
  refuseMachine(container, network);
  const networks = await taskNetworks(context, container, {
    request: readRequest(container.config.options),
    wanted: [],
  });
  await ask(context, container, { type: 'connect-network', network, wanted, networks });
}

export async function detach(context: EngineContext, container: Container, network: Network): Promise<void> {
  refuseMachine(container, network);
  await ask(context, container, { type: 'disconnect-network', networkId: network.id });
}

function refuseMachine({ id, config }: Container, { name }: Network): void {
  if (config.isolation !== 'vm') return;
  throw new HuskError(
    `cannot change whether container ${id} is on network ${name}: it runs in a virtual machine, whose interfaces are those of its start`,
    { kind: 'unsupported', fix: 'stop it, connect or disconnect it, start it again' },
  );
}
