/** Every route of the API, a family a file. */
import type { Route } from '../http/contract.ts';
import { buildkitRoutes } from '../buildkit/routes.ts';
import { buildRoutes } from './build.ts';
import { containerRoutes } from './containers.ts';
import { imageRoutes } from './images.ts';
import { networkRoutes } from './networks.ts';
import { systemRoutes } from './system.ts';
import { volumeRoutes } from './volumes.ts';

export const routes: readonly Route[] = [
  ...systemRoutes,
  ...containerRoutes,
  ...imageRoutes,
  ...networkRoutes,
  ...volumeRoutes,
  ...buildRoutes,
  ...buildkitRoutes,
];
