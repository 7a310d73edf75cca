/**
 * `network ls --tree` and `network inspect --tree`: a picture of which container runs on which network. This module
 * decides what is shown; tree.ts draws it. It is pure but for asking the engine.
 */
import type { Engine, Network } from '../../engine/contract.ts';
import { reachablePorts } from '../../engine/create/ports.ts';
import { displayPorts } from '../../notation/ports.ts';
import type { Context } from '../grammar/command.ts';
import { printable } from './printable.ts';
import { hasUnicode, treeLines, type Branch } from './tree.ts';

const GAP = '  ';

/** @param options.details whether to show what `inspect` shows: gateways, hardware addresses, names */
export async function writeNetworkTree(
  engine: Engine,
  shown: readonly Network[],
  options: { details: boolean; context: Pick<Context, 'stdout' | 'env'> },
): Promise<void> {
  const { stdout, env } = options.context;
  const networks = await engine.networks();
  const containers = engine.list();
  const ports = new Map(containers.map((container) => [container.id, displayPorts(reachablePorts(container))]));
  const rules = new Map(containers.map(({ id, config }) => [id, config.options.egress ?? []]));
  const roots = shown.map((network): Branch => {
    const members = networks.members(network.id);
    const width = Math.max(0, ...members.map(({ name }) => name.length));
    return {
      text: [network.name, ...network.ipam.map(({ subnet }) => subnet), ...marks(network)].join(GAP),
      branches: [
        ...(options.details ? network.ipam.map(({ gateway }) => ({ text: `gateway ${gateway}` })) : []),
        ...members.map(({ containerId, name, endpoint }): Branch => {
          const published = ports.get(containerId) ?? '';
          const cells = [endpoint?.ipv4?.address, endpoint?.ipv6?.address].filter((cell) => cell !== undefined);
          const egress = rules.get(containerId) ?? [];
          const goes = egress.length === 0 ? '' : `-> ${egress.join(' ')}`;
          const rest = options.details ? [] : [published, goes].filter((cell) => cell !== '');
          const text = [name.padEnd(width), ...cells, ...rest].join(GAP).trimEnd();
          return { text, ...(options.details && { branches: details(endpoint, { published, egress }) }) };
        }),
      ],
    };
  });
  for (const line of treeLines(roots, { unicode: hasUnicode(env) })) stdout.write(`${printable(line, stdout)}\n`);
}

function marks({ driver, internal }: Network): string[] {
  return [...(driver === 'bridge' ? [] : [driver]), ...(internal ? ['internal'] : [])];
}

type Endpoint = ReturnType<Awaited<ReturnType<Engine['networks']>>['members']>[number]['endpoint'];

function details(
  endpoint: Endpoint,
  { published, egress }: { published: string; egress: readonly string[] },
): Branch[] {
  return [
    ...(endpoint ? [{ text: `${endpoint.interface} ${endpoint.mac}` }] : []),
    ...(endpoint && endpoint.names.length > 0 ? [{ text: `names ${endpoint.names.join(', ')}` }] : []),
    ...(published === '' ? [] : [{ text: `ports ${published}` }]),
    ...(egress.length === 0 ? [] : [{ text: 'egress', branches: egress.map((text) => ({ text })) }]),
  ];
}
