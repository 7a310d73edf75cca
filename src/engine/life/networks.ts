/**
 * `network connect` and `disconnect`: what a container is to be on. Of one that does not run only its rows change; of
 * one that runs the kernel's side first. Source of texts and conflicts: moby daemon/container_operations.go.
 */
import { HuskError } from '../../errors.ts';
import { modeText, readNetworkMode } from '../../notation/modes.ts';
import type { EndpointRequest, Network, Networks } from '../../network/records/contract.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import { transaction } from '../../state/database.ts';
import { appendEvent } from '../../state/events.ts';
import type { Container } from '../contract.ts';
import { checkWanted, notWithNone, sharing } from '../create/endpoints.ts';
import type { EngineContext } from '../record/context.ts';
import { resolve } from '../record/reconcile.ts';
import { isRunning } from '../record/supervisor-link.ts';

interface Named {
  network: string;
  container: string;
}

export async function connect(context: EngineContext, named: Named, wanted: EndpointRequest = {}): Promise<void> {
  const container = resolve(context, named.container);
  const networks = await context.networks();
  const network = networks.get(named.network);
  checkWanted(network, wanted);
  checkTogether(context, container, { network, networks });
  checkFree(container);
  const records = new NetworkRecords(context.database);
  const endpoint = { networkId: network.id, network: network.name, containerId: container.id, wanted };
  // of `none` and `host` there is nothing to lay
  if (isRunning(container) && network.driver === 'bridge')
    await context.liveNetworks.attach(container, network, wanted);
  transaction(context.database, () => {
    // another command may have been faster
    if (!records.want(endpoint)) throw alreadyThere(container, network);
    // of one that does not run its start tells
    if (isRunning(container)) tell(context, 'connect', { container, network });
  });
}

export async function disconnect(
  context: EngineContext,
  named: Named,
  options: { force?: boolean } = {},
): Promise<void> {
  const container = resolve(context, named.container);
  const networks = await context.networks();
  const network = networks.find(named.network);
  const records = new NetworkRecords(context.database);
  const running = isRunning(container);
  if (!network && running && !options.force)
    throw new HuskError(`network ${named.network} not found`, { kind: 'not-found' });
  const name = network?.name ?? named.network;
  const endpoint = records
    .wantedBy(container.id)
    .find((each) => (network ? each.networkId === network.id : [each.network, each.networkId].includes(name)));
  if (!endpoint)
    throw new HuskError(`container ${container.id} is not connected to the network ${name}`, { kind: 'conflict' });
  if (network?.driver === 'host' && running) throw ofTheHost();
  checkFree(container);
  if (network?.driver === 'bridge' && running) await context.liveNetworks.detach(container, network);
  transaction(context.database, () => {
    records.unwant(endpoint.networkId, container.id);
    if (network) tell(context, 'disconnect', { container, network });
  });
}

/** Which networks go together. @throws HuskError in Docker's words */
function checkTogether(
  context: EngineContext,
  container: Container,
  { network, networks }: { network: Network; networks: Networks },
): void {
  if (readNetworkMode(container.config.options.network).kind === 'container') throw sharing();
  const present = new NetworkRecords(context.database)
    .wantedBy(container.id)
    .flatMap(({ networkId }) => networks.find(networkId) ?? []);
  if (present.some(({ id }) => id === network.id)) throw alreadyThere(container, network);
  const hasHost = present.some(({ driver }) => driver === 'host');
  if ((network.driver === 'host') !== hasHost && (hasHost || present.length > 0 || !isOfHost(container)))
    throw hasHost ? sharing() : ofTheHost();
  if (present.length > 0 && [network, ...present].some(({ driver }) => driver === 'null')) throw notWithNone();
}

/** A container is made for the host's network, or is not: Docker's rule as well. */
function isOfHost({ config }: Container): boolean {
  return modeText(readNetworkMode(config.options.network)) === 'host';
}

function checkFree(container: Container): void {
  if (container.state.claim === undefined) return;
  throw new HuskError(
    `container ${container.id} is being ${container.state.claim.operation === 'remove' ? 'removed' : 'worked on'} by another command`,
    { kind: 'conflict' },
  );
}

function tell(
  context: EngineContext,
  action: 'connect' | 'disconnect',
  { container, network }: { container: Container; network: Network },
): void {
  appendEvent(context.database, {
    Type: 'network',
    Action: action,
    Actor: { ID: network.id, Attributes: { container: container.id, name: network.name, type: network.driver } },
  });
}

function alreadyThere(container: Container, network: Network): HuskError {
  return new HuskError(`endpoint with name ${container.name} already exists in network ${network.name}`, {
    kind: 'conflict',
  });
}

function ofTheHost(): HuskError {
  return new HuskError('container cannot be disconnected from host network or connected to host network', {
    kind: 'conflict',
  });
}
