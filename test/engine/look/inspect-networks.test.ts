/** What `inspect` shows of a container's networks, beside Docker's: the default one has no names. */
import test from 'ava';
import type { Container } from '../../../src/engine/contract.ts';
import { networkSettings } from '../../../src/engine/look/inspect-networks.ts';
import type { EngineContext } from '../../../src/engine/record/context.ts';
import type { EndpointState } from '../../../src/state/containers.ts';
import { network, openRecords } from '../../network/records/fixture.ts';

test('names, priority and addresses of each network that it is on', (t) => {
  const { database, records } = openRecords();
  const [bridge, own] = [network('bridge'), network('own')];
  const id = 'c'.repeat(64);
  for (const one of [bridge, own]) if (!records.byName(one.name)) records.insert(one);
  const wanted = { bridge: {}, own: { aliases: ['db'], gatewayPriority: 3, ipv4: '10.0.0.9' } };
  const networkId = (name: string) => records.byName(name)!.id;
  const endpoints = (['bridge', 'own'] as const).map((name, index): EndpointState => {
    records.want({ networkId: networkId(name), network: name, containerId: id, wanted: wanted[name] });
    return {
      networkId: networkId(name),
      network: name,
      endpointId: 'e'.repeat(64),
      interface: `eth${index}`,
      mac: '02:42:0a:00:00:09',
      ipv4: { address: '10.0.0.9', prefix: 16, gateway: '10.0.0.1' },
      names: name === 'bridge' ? [] : ['web', 'db'],
    };
  });
  const container = {
    id,
    config: { options: { network: 'own', expose: [] }, exposed: [] },
    state: { status: 'running', pid: 7, endpoints },
  } as unknown as Container;
  const shown = networkSettings({ database } as EngineContext, container) as {
    IPAddress: string;
    Networks: Record<string, Record<string, unknown>>;
  };
  t.is(shown.IPAddress, '10.0.0.9');
  t.like(shown.Networks['bridge'], { DNSNames: null, Aliases: null, GwPriority: 0, IPAMConfig: null });
  t.like(shown.Networks['own'], {
    DNSNames: ['web', 'db'],
    Aliases: ['db'],
    GwPriority: 3,
    IPAMConfig: { IPv4Address: '10.0.0.9' },
    IPPrefixLen: 16,
    Gateway: '10.0.0.1',
  });
});
