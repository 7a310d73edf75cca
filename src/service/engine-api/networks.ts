/** Networks, and who is on them. What Docker forbids of a network (403) is a conflict to the engine. */
import type { Engine } from '../../engine/contract.ts';
import { HuskError } from '../../errors.ts';
import type { Answer, Call, Route } from '../http/contract.ts';
import { failure } from '../http/errors.ts';
import { readConnection, readDisconnection, readNetwork } from './network-body.ts';

const FORBIDDEN = 403;
const LIST_FILTERS = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'];
const PRUNE_FILTERS = ['label', 'label!', 'until'];
/** names of networks that are there from the first; `default` means bridge */
const RESERVED = ['bridge', 'host', 'none', 'default'];

async function list({ query }: Call, engine: Engine): Promise<Answer> {
  const filters = query.filters(LIST_FILTERS);
  const networks = await engine.networks();
  // a list does not tell who is on a network, since API 1.28
  const value = networks.list(filters).map(({ id }) => ({ ...networks.inspect(id), Containers: {} }));
  return { kind: 'json', status: 200, value };
}

/** `verbose` is about services of a Swarm. */
async function inspect({ parameters, query }: Call, engine: Engine): Promise<Answer> {
  const name = parameters['name']!;
  const scope = query.text('scope') ?? 'local';
  if (scope !== 'local') throw new HuskError(`network ${name} not found`, { kind: 'not-found' });
  return { kind: 'json', status: 200, value: (await engine.networks()).inspect(name) };
}

async function create({ body }: Call, engine: Engine): Promise<Answer> {
  const request = readNetwork(await body.json());
  const networks = await engine.networks();
  try {
    return { kind: 'json', status: 201, value: { Id: networks.create(request).id, Warning: '' } };
  } catch (error) {
    const isTaken = !RESERVED.includes(request.name) && networks.list().some(({ name }) => name === request.name);
    if (!isConflict(error) || isTaken) throw error;
    return failure(error, FORBIDDEN);
  }
}

async function connect({ parameters, body }: Call, engine: Engine): Promise<Answer> {
  const network = parameters['name']!;
  const { container, wanted } = readConnection(network, await body.json());
  return forbidding({ kind: 'empty', status: 200 }, () => engine.connect(network, container, wanted));
}

async function disconnect({ parameters, body }: Call, engine: Engine): Promise<Answer> {
  const { container, force } = readDisconnection(await body.json());
  return forbidding({ kind: 'empty', status: 200 }, () => engine.disconnect(parameters['name']!, container, { force }));
}

async function remove({ parameters }: Call, engine: Engine): Promise<Answer> {
  const networks = await engine.networks();
  return forbidding({ kind: 'empty', status: 204 }, () => networks.remove(parameters['name']!));
}

async function prune({ query }: Call, engine: Engine): Promise<Answer> {
  const filters = query.filters(PRUNE_FILTERS);
  return { kind: 'json', status: 200, value: { NetworksDeleted: (await engine.networks()).prune(filters) } };
}

/** Does what may be forbidden. @returns `done`, or 403 with the reason */
async function forbidding(done: Answer, act: () => void | Promise<void>): Promise<Answer> {
  try {
    await act();
    return done;
  } catch (error) {
    if (!isConflict(error)) throw error;
    return failure(error, FORBIDDEN);
  }
}

const isConflict = (error: unknown): boolean => error instanceof HuskError && error.kind === 'conflict';

export const networkRoutes: readonly Route[] = [
  { method: 'GET', path: '/networks', handler: list },
  { method: 'POST', path: '/networks/create', handler: create },
  { method: 'POST', path: '/networks/prune', handler: prune },
  { method: 'GET', path: '/networks/{name}', handler: inspect },
  { method: 'DELETE', path: '/networks/{name}', handler: remove },
  { method: 'POST', path: '/networks/{name}/connect', handler: connect },
  { method: 'POST', path: '/networks/{name}/disconnect', handler: disconnect },
];
