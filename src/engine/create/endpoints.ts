/**
 * Which networks a new container is to be on, and as what: what was asked for beside what the networks are. Their rows
 * live as long as the container. Source of texts and conflicts: moby daemon/create.go, container_operations.go.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { spaceOf } from '../../network/ipam/addresses.ts';
import { addressSpaces } from '../../network/ipam/spaces.ts';
import type { EndpointRequest, Network, WantedEndpoint } from '../../network/records/contract.ts';
import { isPredefined } from '../../network/records/name.ts';
import { parseIp } from '../../notation/ip.ts';
import { networkName } from '../../notation/modes.ts';
import type { EngineContext } from '../record/context.ts';
import { resolve } from '../record/reconcile.ts';
import { isOwn } from '../request/networks.ts';
import type { CreateRequest } from '../request/request.ts';

/**
 * @returns none for who shares another container's network
 * @throws HuskError in Docker's words
 */
export async function wantedEndpoints(
  context: EngineContext,
  request: Pick<CreateRequest, 'networks' | 'network' | 'links'>,
): Promise<Omit<WantedEndpoint, 'containerId'>[]> {
  if (!isOwn(request.network)) for (const { container } of request.links) checkLinked(context, container);
  const networks = await context.networks();
  const asked = request.networks.filter(({ mode }) => mode.kind !== 'container');
  if (request.networks.length > 1 && asked.length < request.networks.length) throw sharing();
  const endpoints = asked.map(({ mode, wanted }) => {
    const network = networks.get(networkName(mode));
    checkWanted(network, wanted);
    return { network, wanted };
  });
  if (endpoints.length > 1) {
    if (endpoints.some(({ network }) => network.driver === 'host')) throw sharing();
    if (endpoints.some(({ network }) => network.driver === 'null')) throw notWithNone();
  }
  const ids = endpoints.map(({ network }) => network.id);
  const twice = endpoints.find(({ network }, index) => ids.indexOf(network.id) !== index);
  if (twice)
    throw new HuskError(`network "${twice.network.name}" is specified multiple times`, {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
    });
  return endpoints.map(({ network, wanted }) => ({ networkId: network.id, network: network.name, wanted }));
}

/** On a network of one's own a link is a name, and whoever has it may come later. */
function checkLinked(context: EngineContext, reference: string): void {
  try {
    resolve(context, reference);
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind !== 'not-found') throw error;
    throw new HuskError(`could not get container for ${reference}: ${error.message}`, {
      kind: 'not-found',
      exitCode: EXIT_HUSK_FAILED,
      cause: error,
    });
  }
}

/** @throws HuskError in Docker's words for what this network cannot give */
export function checkWanted(network: Network, wanted: EndpointRequest): void {
  const addresses = [wanted.ipv4, wanted.ipv6].filter((text) => text !== undefined);
  for (const [text, family] of [
    [wanted.ipv4, 4],
    [wanted.ipv6, 6],
  ] as const)
    if (text !== undefined && parseIp(text)?.family !== family)
      throw new HuskError(
        `invalid config for network ${network.name}: invalid endpoint settings: invalid IPv${family} address: ${text}`,
        { kind: 'invalid' },
      );
  if (isPredefined(network.name)) {
    if (addresses.length > 0)
      throw new HuskError('user-specified IP address is supported on user-defined networks only', { kind: 'invalid' });
    if ((wanted.aliases ?? []).length > 0)
      throw new HuskError('network-scoped aliases are only supported for user-defined networks', { kind: 'invalid' });
  }
  const [option] = Object.keys(wanted.driverOptions ?? {});
  if (option !== undefined)
    throw new HuskError(`unknown option "${option}" of a container on network ${network.name}`, {
      kind: 'unsupported',
      fix: 'the driver bridge has none for a container',
    });
  // a gateway's address and a network's own are nobody's, whoever runs
  for (const text of addresses) spaceOf(addressSpaces(network.ipam), text);
}

/** Docker's words for one that has the host's network, or another container's. */
export function sharing(): HuskError {
  return new HuskError(
    'container sharing network namespace with another container or host cannot be connected to any other network',
    { kind: 'invalid' },
  );
}

/** Docker's words for `none` beside other networks. */
export function notWithNone(): HuskError {
  return new HuskError(
    'container cannot be connected to multiple networks with one of the networks in private (none) mode',
    { kind: 'invalid' },
  );
}
