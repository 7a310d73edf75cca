/** `HEAD`, `GET` and `PUT /containers/X/archive`: what a path of a container is, and tars of it and into it. */
import type { Engine } from '../../../engine/contract.ts';
import { HuskError } from '../../../errors.ts';
import type { Call, Handler } from '../../http/contract.ts';
import { goFileMode } from './go-file-mode.ts';

type PathStat = Awaited<ReturnType<Engine['statPath']>>;

export const archiveHead: Handler = async (call, engine) => {
  const stat = await engine.statPath(call.parameters['name']!, pathOf(call));
  return { kind: 'empty', status: 200, headers: statHeader(stat) };
};

export const archiveGet: Handler = async (call, engine) => {
  const path = pathOf(call);
  const { stat, tar } = await engine.archive(call.parameters['name']!, path, { name: topmost(path) });
  call.signal.addEventListener('abort', () => tar.destroy());
  return { kind: 'bytes', type: 'application/x-tar', bytes: tar, headers: statHeader(stat) };
};

export const archivePut: Handler = async (call, engine) => {
  const { query, body, parameters } = call;
  await engine.extract(parameters['name']!, pathOf(call), body.stream(), {
    replaceKinds: !query.boolean('noOverwriteDirNonDir'),
    containerUser: query.boolean('copyUIDGID'),
  });
  return { kind: 'empty', status: 200 };
};

/**
 * Docker's client renames the topmost member to where it copies to: there is one also for `/.`, which is a folder's
 * contents (`./x`), and for the root (`/x`).
 */
function topmost(path: string): string | undefined {
  if (/^\/*$/.test(path)) return '/';
  return /(^|\/)\.$/.test(path) ? '.' : undefined;
}

/** @throws HuskError `invalid` in Docker's words */
function pathOf({ query }: Call): string {
  const path = query.text('path');
  if (path === undefined) throw new HuskError('bad parameter: path cannot be empty', { kind: 'invalid' });
  if (path.includes('\0')) throw new HuskError('bad parameter: path has a NUL', { kind: 'invalid' });
  return path;
}

function statHeader({ name, size, mode, mtime, mtimeNanoseconds, linkTarget }: PathStat): Record<string, string> {
  const stat = { name, size, mode: goFileMode(mode), mtime: time(mtime, mtimeNanoseconds), linkTarget };
  return { 'X-Docker-Container-Path-Stat': Buffer.from(JSON.stringify(stat)).toString('base64') };
}

/** RFC 3339; a file of a container may have any time, one beyond JavaScript's dates too. */
function time(seconds: number, nanoseconds: number): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() > 9999 || date.getUTCFullYear() < 0)
    return '0001-01-01T00:00:00Z';
  const fraction = nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0').replace(/0+$/, '')}`;
  return `${date.toISOString().slice(0, 19)}${fraction}Z`;
}
