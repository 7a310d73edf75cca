/**
 * `system df`: the rows of its summary, and those of each kind with -v. Columns and sums are Docker's (docker/cli
 * formatter/disk_usage.go). The functions are pure.
 */
import type { DiskUsage } from '../../engine/contract.ts';
import { containerRow, labelsText } from './container-row.ts';
import { imageRows } from './image-row.ts';
import { ago } from '../../notation/elapsed.ts';
import { humanSize } from './units.ts';

export const SUMMARY_HEADERS: Record<string, string> = {
  Type: 'TYPE',
  TotalCount: 'TOTAL',
  Active: 'ACTIVE',
  Size: 'SIZE',
  Reclaimable: 'RECLAIMABLE',
};

/** @returns bytes; a layer that an image has as well is counted there, and one of several rows once */
export function buildCacheSize({ buildCache, cacheMounts }: Pick<DiskUsage, 'buildCache' | 'cacheMounts'>): number {
  const layers = new Map(buildCache.map((each) => [each.diffId, each.shared ? 0 : each.size]));
  return [...layers.values(), ...cacheMounts.map(({ size }) => size)].reduce((total, size) => total + size, 0);
}

const templatesSize = (templates: DiskUsage['templates']): number =>
  templates.reduce((total, { size }) => total + size, 0);

export function summaryRows({
  images,
  layersSize,
  containers,
  volumes,
  buildCache,
  cacheMounts,
  templates,
}: DiskUsage): Record<string, unknown>[] {
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
  const sizes = {
    containers: sum(containers.map(({ size }) => size.rw)),
    volumes: sum(volumes.map(({ size }) => size)),
  };
  const cacheSize = buildCacheSize({ buildCache, cacheMounts });
  const inUse = cacheMounts.filter((each) => each.inUse);
  // bytes that only images in use have; shared layers count as reclaimable, as in Docker
  const needed = sum(
    images.filter((each) => each.containers > 0).map(({ image, sharedSize }) => image.size - sharedSize),
  );
  return [
    row('Images', images.length, images.filter((each) => each.containers > 0).length, layersSize, layersSize - needed),
    row(
      'Containers',
      containers.length,
      containers.filter(({ active }) => active).length,
      sizes.containers,
      sum(containers.filter(({ active }) => !active).map(({ size }) => size.rw)),
    ),
    row(
      'Local Volumes',
      volumes.length,
      volumes.filter(({ links }) => links > 0).length,
      sizes.volumes,
      sum(volumes.filter(({ links }) => links === 0).map(({ size }) => size)),
    ),
    row(
      'Build Cache',
      buildCache.length + cacheMounts.length,
      inUse.length,
      cacheSize,
      cacheSize - sum(inUse.map(({ size }) => size)),
      { percent: false },
    ),
    // Docker has none, and neither has who runs no machines
    ...(templates.length === 0
      ? []
      : [row('VM Templates', templates.length, 0, templatesSize(templates), templatesSize(templates))]),
  ];
}

function row(
  type: string,
  total: number,
  active: number,
  size: number,
  reclaimable: number,
  { percent = true } = {},
): Record<string, unknown> {
  const share = percent && size > 0 ? ` (${Math.trunc((reclaimable * 100) / size)}%)` : '';
  return {
    Active: String(active),
    Reclaimable: `${humanSize(reclaimable)}${share}`,
    Size: humanSize(size),
    TotalCount: String(total),
    Type: type,
  };
}

/** @returns the rows of each table of -v */
export function detailRows(
  usage: DiskUsage,
  options: { now: number; truncate: boolean },
): Record<'Images' | 'Containers' | 'Volumes' | 'BuildCache', Record<string, unknown>[]> {
  return {
    // Docker shows only the first name of each image.
    Images: usage.images.flatMap(({ image, sharedSize, containers }) =>
      imageRows(image, { truncate: options.truncate, digests: false, now: options.now })
        .slice(0, 1)
        .map((each) => ({
          ...each,
          Digest: '',
          SharedSize: humanSize(sharedSize),
          UniqueSize: humanSize(image.size - sharedSize),
          Containers: String(containers),
        })),
    ),
    Containers: usage.containers.map((container) => ({
      ...containerRow(container, { truncate: options.truncate, now: options.now }),
      Size: humanSize(container.size.rw, 3),
    })),
    Volumes: usage.volumes.map(({ volume, links, size }) => ({
      Availability: 'N/A',
      Driver: volume.driver,
      Group: 'N/A',
      Labels: labelsText(volume.labels),
      Links: String(links),
      Mountpoint: volume.mountpoint,
      Name: volume.name,
      Scope: 'local',
      Size: humanSize(size),
      Status: 'N/A',
    })),
    BuildCache: [
      ...usage.buildCache.map((each) => ({
        ID: options.truncate ? each.key.slice(0, 12) : each.key,
        Type: 'regular',
        Size: humanSize(each.size),
        Created: ago(each.made, options.now),
        Used: ago(each.lastUsed, options.now),
        Usage: String(each.uses),
        Shared: String(each.shared),
        InUse: 'false',
        Parent: '',
        CacheType: 'regular',
        Description: each.step,
      })),
      ...usage.cacheMounts.map((each) => ({
        ID: options.truncate ? each.name.slice(0, 12) : each.name,
        Type: 'exec.cachemount',
        Size: humanSize(each.size),
        Created: '',
        Used: ago(each.lastUsed, options.now),
        Usage: '',
        Shared: 'false',
        InUse: String(each.inUse),
        Parent: '',
        CacheType: 'exec.cachemount',
        Description: '',
      })),
    ],
  };
}
