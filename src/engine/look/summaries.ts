/**
 * Rows of `ps` in values: what Docker's API tells in its list of containers. Shapes only; of the containers nothing is
 * asked but their sizes, where those are wanted. Source: moby daemon/list.go
 */
import { HuskError } from '../../errors.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import { networkName, readNetworkMode } from '../../notation/modes.ts';
import type { Container, ContainerSummary, Engine } from '../contract.ts';
import { reachablePorts } from '../create/ports.ts';
import { prepared } from '../../state/database.ts';
import type { EngineContext } from '../record/context.ts';
import { readLink } from '../request/networks.ts';
import { endpointMap } from './inspect-networks.ts';
import { mountPoint } from './inspect-mounts.ts';
import { list, sizeOf } from './list.ts';
import { commandText, statusText } from './summary-words.ts';

type SummaryOptions = NonNullable<Parameters<Engine['summaries']>[0]>;

/** What the rows of one list have in common; each is looked up when the first row needs it. */
interface Shared {
  now: number;
  records: NetworkRecords;
  /** the id of the image that a reference stands for now */
  imageIdOf(reference: string): string | undefined;
  /** names that links of other containers give, by the id */
  linkNames: ReadonlyMap<string, readonly string[]>;
}

/** @param options.last of no use below 1, as Docker's `limit` */
export async function summaries(context: EngineContext, options: SummaryOptions = {}): Promise<ContainerSummary[]> {
  const { size, last, ...rest } = options;
  const listed = list(context, { ...rest, last: last !== undefined && last > 0 ? last : undefined });
  const shared = sharedBy(context);
  return Promise.all(
    listed.map(async (container) => ({
      ...summaryOf(context, container, shared),
      ...(size && { size: await sizeOf(context, container) }),
    })),
  );
}

function summaryOf(context: EngineContext, container: Container, shared: Shared): ContainerSummary {
  const { id, name, config, state, createdAt } = container;
  const folder = context.paths.container(id);
  return {
    id,
    names: [`/${name}`, ...(shared.linkNames.get(id) ?? [])],
    // whoever is told a name may ask for it: one that has gone to another image would lead there
    image: shared.imageIdOf(config.image) === config.imageId ? config.image : config.imageId,
    imageId: config.imageId,
    command: commandText(config),
    created: Math.floor(createdAt / 1000),
    state: state.status,
    status: statusText(container, shared.now),
    ports: portsOf(container),
    labels: config.labels,
    networkMode: networkName(readNetworkMode(config.options.network)),
    networks: networksOf(container, shared.records),
    mounts: config.mounts.map((mount) => mountPoint(mount, config.options.mounts, folder)),
  };
}

function sharedBy(context: EngineContext): Shared {
  const ids = new Map<string, string | undefined>();
  return {
    now: Date.now(),
    records: new NetworkRecords(context.database),
    imageIdOf(reference) {
      if (!ids.has(reference)) ids.set(reference, context.images.find(reference)?.id);
      return ids.get(reference);
    },
    linkNames: linkNames(context),
  };
}

/** `--link web:db` of a container `app` is a name of `web`: `/app/db`. */
function linkNames({ database, store }: EngineContext): Map<string, string[]> {
  // Few containers have links: the others' configs are not parsed for them.
  const rows = prepared(
    database,
    `SELECT containers.name AS name, value AS link
       FROM containers, json_each(CASE WHEN json_valid(config) THEN config ELSE '{}' END, '$.options.links')
      WHERE instr(config, '"links":["') > 0 AND json_each.type = 'text'`,
  ).all() as unknown as { name: string; link: string }[];
  const names = new Map<string, string[]>();
  for (const { name, link } of rows) {
    try {
      const { container, alias } = readLink(link);
      const { id } = store.resolve(container);
      names.set(id, [...(names.get(id) ?? []), `/${name}/${alias}`]);
    } catch (error) {
      // whom it names has gone; a list does not fail for that
      if (!(error instanceof HuskError)) throw error;
    }
  }
  return names;
}

/** By port, protocol and address: Docker's order is that of a map, which is none. */
function portsOf(container: Container): ContainerSummary['ports'] {
  return reachablePorts(container)
    .map(({ containerPort, protocol, host }) => ({
      ...(host && { ip: host.ip }),
      privatePort: containerPort,
      ...(host && { publicPort: host.port }),
      type: protocol as ContainerSummary['ports'][number]['type'],
    }))
    .sort((a, b) => a.privatePort - b.privatePort || compare(a.type, b.type) || compare(a.ip ?? '', b.ip ?? ''));
}

const compare = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);

/**
 * As `inspect` has them; but a container that does not run has the ids of its networks too, by which compose knows
 * whether it is still on the right ones.
 */
function networksOf({ id, state }: Container, records: NetworkRecords): ContainerSummary['networks'] {
  const wanted = records.wantedBy(id);
  const shown = endpointMap(wanted, state.endpoints ?? []);
  for (const { network, networkId } of wanted) shown[network]!.NetworkID = networkId;
  return shown;
}
