/** `GET /containers/X/top`, `/changes` and `/export` */
import type { Handler } from '../../http/contract.ts';

export const top: Handler = async ({ parameters, query }, engine) => {
  const words = (query.text('ps_args') ?? '').split(/\s+/).filter((word) => word !== '');
  const { titles, processes } = await engine.top(parameters['name']!, words);
  return { kind: 'json', status: 200, value: { Titles: titles, Processes: processes } };
};

/** moby container/archive ChangeType */
const KINDS = { C: 0, A: 1, D: 2 } as const;

export const changes: Handler = async ({ parameters }, engine) => {
  const found = await engine.changes(parameters['name']!);
  const value = found.map(({ kind, path }) => ({ Path: path, Kind: KINDS[kind] }));
  return { kind: 'json', status: 200, value: value.length > 0 ? value : null };
};

export const exportTar: Handler = async ({ parameters, signal }, engine) => {
  const tar = await engine.export(parameters['name']!);
  signal.addEventListener('abort', () => tar.destroy());
  return { kind: 'bytes', type: 'application/octet-stream', bytes: tar };
};
