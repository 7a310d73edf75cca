/** Named and anonymous volumes. */
import type { Engine } from '../../engine/contract.ts';
import { HuskError } from '../../errors.ts';
import type { Answer, Call, Route } from '../http/contract.ts';
import { BodyFields } from '../http/body-fields.ts';

const LIST_FILTERS = ['dangling', 'driver', 'label', 'name'];
const PRUNE_FILTERS = ['all', 'label', 'label!'];
/** the first minor of 1.x whose `prune` leaves volumes with a name, unless `all` is asked */
const LEAVES_NAMED = 42;

async function list({ query }: Call, engine: Engine): Promise<Answer> {
  const filters = query.filters(LIST_FILTERS);
  const volumes = await engine.volumes();
  const found = volumes.list(filters).map(({ name }) => volumes.inspect(name));
  return { kind: 'json', status: 200, value: { Volumes: found, Warnings: null } };
}

async function inspect({ parameters }: Call, engine: Engine): Promise<Answer> {
  return { kind: 'json', status: 200, value: (await engine.volumes()).inspect(parameters['name']!) };
}

async function create({ body }: Call, engine: Engine): Promise<Answer> {
  const fields = new BodyFields((await body.json()) ?? {});
  if (fields.asks('ClusterVolumeSpec'))
    throw new HuskError('ClusterVolumeSpec: volumes of a Swarm are not husk’s', {
      kind: 'unsupported',
      fix: 'leave ClusterVolumeSpec out',
    });
  const volumes = await engine.volumes();
  const name = fields.optional('Name');
  const driver = fields.optional('Driver');
  const made = volumes.create({
    ...(name !== undefined && { name }),
    ...(driver !== undefined && { driver }),
    labels: fields.map('Labels'),
    options: fields.map('DriverOpts'),
  });
  return { kind: 'json', status: 201, value: volumes.inspect(made.name) };
}

async function remove({ parameters, query }: Call, engine: Engine): Promise<Answer> {
  await (await engine.volumes()).remove(parameters['name']!, { force: query.boolean('force') });
  return { kind: 'empty', status: 204 };
}

async function prune({ query, version }: Call, engine: Engine): Promise<Answer> {
  const filters = query.filters(PRUNE_FILTERS);
  const all = version.minor < LEAVES_NAMED;
  const { deleted, reclaimed } = await (await engine.volumes()).prune({ ...(all && { all }), filters });
  return { kind: 'json', status: 200, value: { VolumesDeleted: deleted, SpaceReclaimed: reclaimed } };
}

export const volumeRoutes: readonly Route[] = [
  { method: 'GET', path: '/volumes', handler: list },
  { method: 'POST', path: '/volumes/create', handler: create },
  { method: 'POST', path: '/volumes/prune', handler: prune },
  { method: 'GET', path: '/volumes/{name}', handler: inspect },
  { method: 'DELETE', path: '/volumes/{name}', handler: remove },
];
