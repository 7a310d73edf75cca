/**
 * On which networks a container is to be, and as what: `HostConfig.NetworkMode`, `.Links`, `NetworkingConfig`,
 * `NetworkDisabled`, `MacAddress`. Source: moby daemon/container_operations.go updateContainerNetworkSettings,
 * api/server/router/container handleMACAddressBC.
 */
import type { CreateOptions } from '../../../../engine/contract.ts';
import { HuskError } from '../../../../errors.ts';
import { readNetworkMode } from '../../../../notation/modes.ts';
import type { NetworkAttachment } from '../../../../notation/network-attachment.ts';
import type { ApiVersion } from '../../../http/contract.ts';
import type { BodyFields } from '../../../http/body-fields.ts';

/** API 1.44 was the first with several networks in one body. */
const SEVERAL = 44;

/** @throws HuskError `invalid` */
export function readNetworks(
  body: BodyFields,
  host: BodyFields,
  version: ApiVersion,
): Pick<CreateOptions, 'network' | 'networks' | 'links'> {
  const mode = body.flag('NetworkDisabled') ? 'none' : host.text('NetworkMode') || 'default';
  const asked = (body.object('NetworkingConfig')?.named('EndpointsConfig') ?? []).map(([name, endpoint]) =>
    readEndpoint(sameNetwork(name, mode) ? mode : name, endpoint),
  );
  if (asked.length > 1 && version.minor < SEVERAL)
    throw invalid(
      `Container cannot be connected to network endpoints: ${asked.map(({ name }) => name).join(', ')}`,
      'use version 1.44 of the API or newer, or POST /networks/NAME/connect',
    );
  const first = asked.find(({ name }) => name === mode) ?? (isAnother(mode, asked) ? undefined : { name: mode });
  const networks = [...(first ? [first] : []), ...asked.filter((each) => each !== first)];
  withMac(networks[0]!, body.text('MacAddress'));
  // On a network of one's own links are the endpoint's, and clients send them as the host's as well.
  const { kind } = readNetworkMode(networks[0]!.name);
  const links = kind === 'named' && !sameNetwork(networks[0]!.name, 'default') ? [] : host.texts('Links');
  const isPlain = networks.length === 1 && Object.keys(networks[0]!).length === 1;
  return {
    network: networks[0]!.name,
    ...(!isPlain && { networks }),
    ...(links.length > 0 && { links }),
  };
}

/** Settings of one network, as the API has them wherever there are some: also in `/networks/NAME/connect`. */
export function readEndpoint(name: string, endpoint: BodyFields | undefined): NetworkAttachment {
  const ipam = endpoint?.object('IPAMConfig');
  const attachment: NetworkAttachment = {
    name,
    aliases: endpoint?.texts('Aliases'),
    links: endpoint?.texts('Links'),
    ipv4: ipam?.optional('IPv4Address'),
    ipv6: ipam?.optional('IPv6Address'),
    mac: endpoint?.optional('MacAddress'),
    linkLocal: ipam?.texts('LinkLocalIPs'),
    gatewayPriority: endpoint?.positive('GwPriority'),
    driverOptions: endpoint?.map('DriverOpts'),
  };
  return Object.fromEntries(
    Object.entries(attachment).filter(
      ([, value]) => (value !== undefined && Object.keys(value).length !== 0) || typeof value === 'number',
    ),
  ) as unknown as NetworkAttachment;
}

/** `default` is the name by which clients mean the network `bridge`. */
function sameNetwork(one: string, other: string): boolean {
  const named = (name: string): string => (name === 'default' ? 'bridge' : name);
  return named(one) === named(other);
}

/**
 * Where endpoints are given and the mode's network is none of them, the container is on those alone, as with Docker.
 */
function isAnother(mode: string, asked: readonly NetworkAttachment[]): boolean {
  return asked.length > 0 && mode !== 'host' && mode !== 'none' && !mode.startsWith('container:');
}

/** Before 1.44 a MAC address was the container's; it is that of its first network. */
function withMac(first: NetworkAttachment, mac: string): void {
  if (mac === '') return;
  if (first.mac !== undefined && first.mac !== mac)
    throw invalid(
      'the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty',
      'leave MacAddress out',
    );
  first.mac = mac;
}

const invalid = (message: string, fix: string): HuskError => new HuskError(message, { kind: 'invalid', fix });
