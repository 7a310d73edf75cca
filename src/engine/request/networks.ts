/**
 * `--network` as values, with what belongs to it: `--network-alias --ip --ip6 --mac-address --link`. What the networks
 * are that it names is asked in ../create/endpoints.ts. Source of the texts: docker/cli cli/command/container/opts.go
 * parseNetworkOpts. Pure.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { EndpointRequest } from '../../network/records/contract.ts';
import { parseMac } from '../../notation/ip.ts';
import { parseNetworkMode, type NetworkMode } from '../../notation/modes.ts';
import { parseLink, type NetworkAttachment } from '../../notation/network-attachment.ts';
import type { CreateOptions } from '../contract.ts';

export interface RequestedNetwork {
  mode: NetworkMode;
  wanted: EndpointRequest;
}

/** @throws HuskError `invalid` in the words of Docker's client */
export function readNetworks(options: Pick<CreateOptions, 'network' | 'networks'>): RequestedNetwork[] {
  const asked = options.networks ?? [{ name: options.network }];
  const networks = asked.map(readNetwork);
  const names = asked.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw invalid(`network ${JSON.stringify(twice)} is specified multiple times`);
  if (networks.length > 1 && networks.some(({ mode }) => isOwn(mode)) && !networks.every(({ mode }) => isOwn(mode)))
    throw invalid('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
  return networks;
}

/** What Docker calls user-defined. */
export function isOwn(mode: NetworkMode): boolean {
  return mode.kind === 'named' && mode.name !== 'bridge';
}

function readNetwork(asked: NetworkAttachment): RequestedNetwork {
  const { name, linkLocal, aliases = [], links = [], mac, ...rest } = asked;
  if (name.trim() === '' && Object.keys(asked).length > 1) throw invalid('no name set for network');
  const mode = parseNetworkMode(name);
  if (!isOwn(mode) && aliases.length > 0)
    throw invalid('network-scoped aliases are only supported for user-defined networks');
  if (!isOwn(mode) && links.length > 0) throw invalid('links are only supported for user-defined networks');
  const address = mac === undefined ? undefined : parseMac(mac);
  if (mac !== undefined && address === undefined) throw invalid(`${mac} is not a valid mac address`);
  if (address !== undefined && mode.kind !== 'default' && mode.kind !== 'named')
    throw invalid('conflicting options: mac-address and the network mode');
  const [first] = linkLocal ?? [];
  if (first !== undefined)
    throw new HuskError(`--link-local-ip ${first}: link-local addresses lead nowhere on a network of husk's`, {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: 'leave --link-local-ip out',
    });
  return {
    mode,
    wanted: {
      ...rest,
      ...(address !== undefined && { mac: address }),
      ...(aliases.length > 0 && { aliases }),
      ...(links.length > 0 && { links: links.map(linkText) }),
    },
  };
}

/** As the record of an endpoint has it: `container:alias`. */
function linkText(text: string): string {
  const { container, alias } = readLink(text);
  return `${container}:${alias}`;
}

export function readLink(text: string): { container: string; alias: string } {
  try {
    return parseLink(text);
  } catch (error) {
    throw invalid((error as Error).message);
  }
}

function invalid(message: string): HuskError {
  return new HuskError(message, { kind: 'invalid', exitCode: EXIT_HUSK_FAILED });
}
