/** The routes of containers, of commands in them, and of commit. */
import type { Route } from '../http/contract.ts';
import { archiveGet, archiveHead, archivePut } from './containers/archive.ts';
import { attachWebSocket } from './containers/attach-ws.ts';
import { attach } from './containers/attach.ts';
import { commit } from './containers/commit.ts';
import { create } from './containers/create.ts';
import { execCreate, execInspect, execResize, execStart } from './containers/exec.ts';
import { kill, pause, rename, resize, restart, start, stop, unpause } from './containers/life.ts';
import { inspect, list } from './containers/list.ts';
import { logs } from './containers/logs.ts';
import { changes, exportTar, top } from './containers/look.ts';
import { prune, remove } from './containers/remove.ts';
import { stats } from './containers/stats.ts';
import { update } from './containers/update.ts';
import { wait } from './containers/wait.ts';

export const containerRoutes: readonly Route[] = [
  { method: 'POST', path: '/containers/create', handler: create },
  { method: 'GET', path: '/containers/json', handler: list },
  { method: 'POST', path: '/containers/prune', handler: prune },
  { method: 'GET', path: '/containers/{name}/json', handler: inspect },
  { method: 'DELETE', path: '/containers/{name}', handler: remove },
  { method: 'POST', path: '/containers/{name}/start', handler: start },
  { method: 'POST', path: '/containers/{name}/stop', handler: stop },
  { method: 'POST', path: '/containers/{name}/restart', handler: restart },
  { method: 'POST', path: '/containers/{name}/kill', handler: kill },
  { method: 'POST', path: '/containers/{name}/pause', handler: pause },
  { method: 'POST', path: '/containers/{name}/unpause', handler: unpause },
  { method: 'POST', path: '/containers/{name}/rename', handler: rename },
  { method: 'POST', path: '/containers/{name}/resize', handler: resize },
  { method: 'POST', path: '/containers/{name}/update', handler: update },
  { method: 'POST', path: '/containers/{name}/wait', handler: wait },
  { method: 'POST', path: '/containers/{name}/attach', hijacks: true, handler: attach },
  { method: 'GET', path: '/containers/{name}/attach/ws', hijacks: true, handler: attachWebSocket },
  { method: 'GET', path: '/containers/{name}/stats', handler: stats },
  { method: 'GET', path: '/containers/{name}/logs', handler: logs },
  { method: 'GET', path: '/containers/{name}/top', handler: top },
  { method: 'GET', path: '/containers/{name}/changes', handler: changes },
  { method: 'GET', path: '/containers/{name}/export', handler: exportTar },
  { method: 'HEAD', path: '/containers/{name}/archive', handler: archiveHead },
  { method: 'GET', path: '/containers/{name}/archive', handler: archiveGet },
  { method: 'PUT', path: '/containers/{name}/archive', handler: archivePut },
  { method: 'POST', path: '/containers/{name}/exec', handler: execCreate },
  { method: 'POST', path: '/exec/{id}/start', hijacks: true, handler: execStart },
  { method: 'POST', path: '/exec/{id}/resize', handler: execResize },
  { method: 'GET', path: '/exec/{id}/json', handler: execInspect },
  { method: 'POST', path: '/commit', handler: commit },
];
