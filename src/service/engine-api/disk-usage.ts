/** `GET /system/df`: what is on disk, in the shape that API 1.51 and all before it have. */
import type { DiskUsage, Engine } from '../../engine/contract.ts';
import { HuskError } from '../../errors.ts';
import type { ApiVersion, Handler } from '../http/contract.ts';
import { row as containerRow } from './containers/list.ts';
import { summary as imageRow } from './images.ts';

const KINDS = ['container', 'image', 'volume', 'build-cache'];

export const diskUsage: Handler = async ({ query, version }, engine) => {
  const asked = query.all('type');
  const unknown = asked.find((kind) => !KINDS.includes(kind));
  if (unknown !== undefined) throw new HuskError(`unknown object type: ${unknown.slice(0, 100)}`, { kind: 'invalid' });
  const wants = (kind: string): boolean => asked.length === 0 || asked.includes(kind);
  const usage = await engine.diskUsage();
  const value = {
    LayersSize: wants('image') ? usage.layersSize : 0,
    Images: wants('image') ? images(usage, version) : null,
    Containers: wants('container') ? await containers(usage, engine) : null,
    Volumes: wants('volume') ? await volumes(usage, engine) : null,
    BuildCache: wants('build-cache') ? buildCache(usage) : null,
  };
  return { kind: 'json', status: 200, value };
};

function images(usage: DiskUsage, version: ApiVersion): object[] {
  return usage.images.map(({ image, sharedSize, containers: Containers }) => ({
    ...imageRow(image, version),
    SharedSize: sharedSize,
    Containers,
  }));
}

async function containers(usage: DiskUsage, engine: Engine): Promise<object[]> {
  const sizes = new Map(usage.containers.map(({ id, size }) => [id, size]));
  return (await engine.summaries({ all: true })).map((row) => {
    const size = sizes.get(row.id);
    return containerRow(size === undefined ? row : { ...row, size });
  });
}

async function volumes(usage: DiskUsage, engine: Engine): Promise<object[]> {
  const known = await engine.volumes();
  return usage.volumes.map(({ volume, links, size }) => ({
    ...known.inspect(volume.name),
    UsageData: { RefCount: links, Size: size },
  }));
}

const time = (ms: number): string => new Date(ms).toISOString();

function buildCache({ buildCache: rows, cacheMounts }: DiskUsage): object[] {
  return [
    ...rows.map(({ key, step, shared, size, made, lastUsed, uses }) => ({
      ID: key,
      Type: 'regular',
      Description: step,
      InUse: false,
      Shared: shared,
      Size: size,
      CreatedAt: time(made),
      LastUsedAt: time(lastUsed),
      UsageCount: uses,
    })),
    ...cacheMounts.map(({ name, inUse, size, lastUsed }) => ({
      ID: name,
      Type: 'exec.cachemount',
      Description: '',
      InUse: inUse,
      Shared: false,
      Size: size,
      CreatedAt: time(lastUsed),
      LastUsedAt: time(lastUsed),
      UsageCount: 0,
    })),
  ];
}
