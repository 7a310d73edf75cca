/** `GET /containers/json` and `GET /containers/X/json` */
import type { ContainerSummary } from '../../../engine/contract.ts';
import type { Handler } from '../../http/contract.ts';

const FILTERS = [
  'ancestor',
  'before',
  'exited',
  'expose',
  'health',
  'id',
  'is-task',
  'isolation',
  'label',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
];

export const list: Handler = async ({ query }, engine) => {
  const limit = query.integer('limit') ?? 0;
  const rows = await engine.summaries({
    all: query.boolean('all'),
    filters: query.filters(FILTERS),
    last: limit > 0 ? limit : undefined,
    size: query.boolean('size'),
  });
  return { kind: 'json', status: 200, value: rows.map(row) };
};

/** Also of `GET /system/df`. */
export function row(summary: ContainerSummary): object {
  return {
    Id: summary.id,
    Names: summary.names,
    Image: summary.image,
    ImageID: summary.imageId,
    Command: summary.command,
    Created: summary.created,
    Ports: summary.ports.map(({ ip, privatePort, publicPort, type }) => ({
      ...(ip !== undefined && { IP: ip }),
      PrivatePort: privatePort,
      ...(publicPort !== undefined && { PublicPort: publicPort }),
      Type: type,
    })),
    ...(summary.size && { SizeRw: summary.size.rw, SizeRootFs: summary.size.rootFs }),
    Labels: summary.labels,
    State: summary.state,
    Status: summary.status,
    HostConfig: { NetworkMode: summary.networkMode },
    NetworkSettings: { Networks: summary.networks },
    Mounts: summary.mounts,
  };
}

export const inspect: Handler = async ({ parameters, query }, engine) => ({
  kind: 'json',
  status: 200,
  value: await engine.inspect(parameters['name']!, { size: query.boolean('size') }),
});
