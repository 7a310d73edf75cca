/**
 * What a supervisor is told of the networks its container is to be on: the networks as they are now, names, ports, and
 * whom its name server asks. Loaded only for containers that are on one of husk's.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { hostResolvConf } from '../../network/way-out.ts';
import type { PortMapping } from '../../network/ports/bind.ts';
import type { WantedEndpoint } from '../../network/records/contract.ts';
import { ownResolvConf } from '../../network/resolv-conf.ts';
import { isLoopback } from '../../notation/ip.ts';
import { eachPort, readPorts } from '../../notation/ports.ts';
import type { TaskNetworks } from '../../supervisor/protocol/protocol.ts';
import type { Container } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { resolverSettings } from '../create/resolver-settings.ts';
import type { CreateRequest } from '../request/request.ts';

export async function taskNetworks(
  context: EngineContext,
  container: Container,
  { request, wanted }: { request: CreateRequest; wanted: readonly WantedEndpoint[] },
): Promise<TaskNetworks> {
  const networks = await context.networks();
  const { text: resolvConf, ...own } = ownResolvConf(hostResolvConf(), resolverSettings(request, context.config));
  const hasRules = request.egress.length > 0;
  const names = hasRules ? { ...own, resolvers: askedFromHost(own.resolvers) } : own;
  const { hostname } = container.config;
  const { domainname } = request;
  return {
    known: wanted.map(({ networkId, network }) => {
      const found = networks.find(networkId);
      if (!found)
        throw new HuskError(`network ${network} not found`, { kind: 'not-found', exitCode: EXIT_HUSK_FAILED });
      return found;
    }),
    hostname,
    ...(domainname !== undefined && { domainname }),
    hosts: [],
    publish: portMappings(request, container.config.exposed ?? []),
    ...(hasRules && { egress: request.egress.map(({ text }) => text) }),
    names: { ...names, resolvConf },
  };
}

type Resolvers = TaskNetworks['names']['resolvers'];

/**
 * Where `--egress` has rules all resolvers are asked from the host. One that the container reaches by its rules could
 * be asked anything, and one that it is itself would decide which addresses its rules let through.
 * @throws HuskError for a resolver on the container's own loopback
 */
export function askedFromHost(resolvers: Resolvers): Resolvers {
  return resolvers.map(({ from, ...resolver }) => {
    const { address } = resolver;
    if (from === 'container' && isLoopback(address))
      throw new HuskError(`--egress: the resolver ${address} is the container itself, which has no say in its rules`, {
        kind: 'invalid',
        exitCode: EXIT_HUSK_FAILED,
        fix: 'name another resolver by --dns, or none',
      });
    return { ...resolver, from: 'host' };
  });
}

/** Pure. @param exposed `80/tcp`: of `--publish-all` */
export function portMappings(
  { publish, publishAll }: Pick<CreateRequest, 'publish' | 'publishAll'>,
  exposed: readonly string[],
): PortMapping[] {
  const asked = publish.map(({ container, hostIp, hostPort }): PortMapping => {
    const range = hostPort === '' ? undefined : readPorts(hostPort);
    const hostPorts = range && { first: range.first, last: range.last };
    return { ...portOf(container), hostAddress: hostIp, ...(hostPorts && { hostPorts }) };
  });
  if (!publishAll) return asked;
  const others = exposed
    .flatMap((text) => {
      const range = readPorts(text);
      return range ? eachPort(range) : [];
    })
    .filter((text) => !publish.some(({ container }) => container === text) && !text.endsWith('/sctp'));
  return [...asked, ...others.map((text): PortMapping => ({ ...portOf(text), hostAddress: '' }))];
}

/** `80/tcp` */
function portOf(text: string): { protocol: 'tcp' | 'udp'; containerPort: number } {
  const [port, protocol] = text.split('/');
  return { protocol: protocol === 'udp' ? 'udp' : 'tcp', containerPort: Number(port) };
}
