/** The routes about the engine itself. */
import { arch, release } from 'node:os';
import type { Answer, Call, Route } from '../http/contract.ts';
import type { Engine } from '../../engine/contract.ts';
import { absentRoutes } from './absent.ts';
import { auth } from './auth.ts';
import { diskUsage } from './disk-usage.ts';
import { events } from './events.ts';
import { ENGINE_VERSION, NEWEST, OLDEST, versionText } from '../http/version.ts';
import { VERSION } from '../../version.ts';

/** What every client asks first: which API there is, and which builder. */
function ping(): Answer {
  return {
    kind: 'text',
    status: 200,
    text: 'OK',
    headers: {
      'Builder-Version': '2',
      Swarm: 'inactive',
      'Cache-Control': 'no-cache, no-store, must-revalidate',
      Pragma: 'no-cache',
    },
  };
}

/** Fields of types.Version, moby api/types/types.go. Scripts read `Engine`, and clients refuse an empty list. */
function version(): Answer {
  const [ApiVersion, MinAPIVersion] = [versionText(NEWEST), versionText(OLDEST)];
  const Arch = arch() === 'x64' ? 'amd64' : arch();
  const Details = {
    ApiVersion,
    Arch,
    BuildTime: '',
    Experimental: 'false',
    GitCommit: '',
    GoVersion: '',
    KernelVersion: release(),
    MinAPIVersion,
    Os: 'linux',
  };
  const value = {
    Platform: { Name: 'husk' },
    Components: [
      { Name: 'Engine', Version: ENGINE_VERSION, Details },
      { Name: 'husk', Version: VERSION },
    ],
    Version: ENGINE_VERSION,
    ApiVersion,
    MinAPIVersion,
    GitCommit: '',
    GoVersion: '',
    Os: 'linux',
    Arch,
    KernelVersion: release(),
    BuildTime: '',
  };
  return { kind: 'json', status: 200, value };
}

/** Clients read the version as one of Docker's here too. */
async function info(_call: Call, engine: Engine): Promise<Answer> {
  return { kind: 'json', status: 200, value: { ...(await engine.info()), ServerVersion: ENGINE_VERSION } };
}

export const systemRoutes: readonly Route[] = [
  { method: 'GET', path: '/_ping', handler: ping },
  { method: 'GET', path: '/version', handler: version },
  { method: 'GET', path: '/info', handler: info },
  { method: 'GET', path: '/events', handler: events },
  { method: 'GET', path: '/system/df', handler: diskUsage },
  { method: 'POST', path: '/auth', handler: auth },
  ...absentRoutes,
];
