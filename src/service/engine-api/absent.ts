/**
 * What husk has not: a swarm and plugins. The routes answer as an engine of Docker's does that is in no swarm and has
 * no plugin, since clients ask it in passing (`docker info`, `docker inspect`, Portainer).
 */
import type { Answer, Handler, Method, Route } from '../http/contract.ts';

const NO_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and ' +
  'try again.';
const NO_MEMBER = 'This node is not part of a swarm';
const NO_SWARM =
  'husk makes no swarm\n\nuse contexts over ssh for several machines: docker context create NAME --docker host=ssh://HOST';

const says =
  (status: number, message: string): Handler =>
  (): Answer => ({ kind: 'json', status, value: { message } });

const METHODS: readonly Method[] = ['GET', 'POST', 'PUT', 'DELETE'];

const refused = (path: string, methods = METHODS): Route[] =>
  methods.map((method) => ({ method, path, handler: says(503, NO_MANAGER) }));

const noPlugins = says(404, 'husk has no plugins');

export const absentRoutes: readonly Route[] = [
  { method: 'POST', path: '/swarm/init', handler: says(501, NO_SWARM) },
  { method: 'POST', path: '/swarm/join', handler: says(501, NO_SWARM) },
  { method: 'POST', path: '/swarm/leave', handler: says(503, NO_MEMBER) },
  ...refused('/swarm', ['GET']),
  ...refused('/swarm/{rest*}', ['GET', 'POST']),
  ...['nodes', 'services', 'tasks', 'secrets', 'configs'].flatMap((kind) => [
    ...refused(`/${kind}`, ['GET']),
    ...refused(`/${kind}/{rest*}`),
  ]),
  { method: 'GET', path: '/plugins', handler: () => ({ kind: 'json', status: 200, value: [] }) },
  { method: 'GET', path: '/plugins/{name*}/json', handler: noPlugin },
  ...METHODS.map((method): Route => ({ method, path: '/plugins/{name*}', handler: noPlugins })),
];

function noPlugin({ parameters }: Parameters<Handler>[0]): Answer {
  return { kind: 'json', status: 404, value: { message: `plugin ${JSON.stringify(parameters['name'])} not found` } };
}
