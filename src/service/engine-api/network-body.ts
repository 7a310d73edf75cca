/**
 * Bodies of `POST /networks/create`, `/connect` and `/disconnect`, read field by field: what is only a Swarm's is
 * refused by its name, and what is not read here is told by the engine and sent back by clients. Pure.
 */
import type { EndpointRequest } from '../../engine/contract.ts';
import { readNetworks } from '../../engine/request/networks.ts';
import { HuskError } from '../../errors.ts';
import { BodyFields } from '../http/body-fields.ts';
import { readEndpoint } from './containers/create/networks.ts';

const OF_A_SWARM = "networks of a Swarm are not husk's";

export interface NetworkRequest {
  name: string;
  driver?: string;
  options: Record<string, string>;
  labels: Record<string, string>;
  internal: boolean;
  attachable: boolean;
  ipv4?: boolean;
  ipv6: boolean;
  ipam?: { subnet: string; gateway?: string; range?: string; auxiliary?: Record<string, string> }[];
}

/** @throws HuskError `invalid`, `unsupported` */
export function readNetwork(body: unknown): NetworkRequest {
  const fields = new BodyFields(body ?? {});
  refuseElsewhere(fields);
  const driver = fields.optional('Driver');
  const ipam = fields.object('IPAM');
  return {
    name: fields.text('Name'),
    ...(driver !== undefined && { driver }),
    options: fields.map('Options'),
    labels: fields.map('Labels'),
    internal: fields.flag('Internal'),
    attachable: fields.flag('Attachable'),
    // absent is on, as the engine has it
    ...(fields.has('EnableIPv4') && { ipv4: fields.flag('EnableIPv4') }),
    ipv6: fields.flag('EnableIPv6'),
    ...(ipam && readIpam(ipam)),
  };
}

/** `CheckDuplicate` is no more: two networks have never one name here. */
function refuseElsewhere(fields: BodyFields): void {
  for (const name of ['Ingress', 'ConfigOnly', 'ConfigFrom.Network'])
    if (name === 'ConfigFrom.Network' ? fields.object('ConfigFrom')?.asks('Network') : fields.asks(name))
      throw unsupported(`${name}: ${OF_A_SWARM}`, `leave ${name} out`);
  const scope = fields.text('Scope') || 'local';
  if (scope !== 'local') throw unsupported(`Scope ${scope}: networks are of this machine`, 'use local');
}

function readIpam(ipam: BodyFields): Pick<NetworkRequest, 'ipam'> {
  const driver = ipam.text('Driver') || 'default';
  if (driver !== 'default') throw unsupported(`IPAM.Driver ${driver}: plugin "${driver}" not found`, 'use default');
  if (ipam.asks('Options'))
    throw unsupported('IPAM.Options: the driver of addresses has no options', 'leave IPAM.Options out');
  const asked = ipam
    .objects('Config')
    .filter((each) => ['Subnet', 'IPRange', 'Gateway', 'AuxiliaryAddresses'].some((name) => each.asks(name)))
    .map((each) => {
      const [gateway, range] = [each.optional('Gateway'), each.optional('IPRange')];
      return {
        subnet: each.text('Subnet'),
        ...(gateway !== undefined && { gateway }),
        ...(range !== undefined && { range }),
        ...(each.asks('AuxiliaryAddresses') && { auxiliary: each.map('AuxiliaryAddresses') }),
      };
    });
  return asked.length === 0 ? {} : { ipam: asked };
}

/** @throws HuskError `invalid`, `unsupported` */
export function readConnection(network: string, body: unknown): { container: string; wanted: EndpointRequest } {
  const fields = new BodyFields(body ?? {});
  const [{ wanted } = { wanted: {} }] = readNetworks({
    network,
    networks: [readEndpoint(network, fields.object('EndpointConfig'))],
  });
  return { container: containerOf(fields), wanted };
}

/** @throws HuskError `invalid` */
export function readDisconnection(body: unknown): { container: string; force: boolean } {
  const fields = new BodyFields(body ?? {});
  return { container: containerOf(fields), force: fields.flag('Force') };
}

function containerOf(fields: BodyFields): string {
  const container = fields.text('Container');
  if (container === '')
    throw new HuskError('invalid container name or ID: value is empty', { kind: 'invalid', fix: 'set Container' });
  return container;
}

function unsupported(message: string, fix: string): HuskError {
  return new HuskError(message, { kind: 'unsupported', fix });
}
