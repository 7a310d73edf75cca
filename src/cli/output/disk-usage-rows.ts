/**
 * `system df`: its summary's rows, and those of each kind with -v. Docker's columns and sums (docker/cli
 * formatter/disk_usage.go). Pure.
 */
import type { DiskUsage } from '../../engine/contract.ts';
import { containerRow, labelsText } from './container-row.ts';
import { imageRows } from './image-row.ts';
import { humanSize } from './units.ts';

export const SUMMARY_HEADERS: Record<string, string> = {
  Type: 'TYPE',
  TotalCount: 'TOTAL',
  Active: 'ACTIVE',
  Size: 'SIZE',
  Reclaimable: 'RECLAIMABLE',
};

export function summaryRows({ images, layersSize, containers, volumes }: DiskUsage): Record<string, unknown>[] {
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
  const sizes = {
    containers: sum(containers.map(({ size }) => size.rw)),
    volumes: sum(volumes.map(({ size }) => size)),
  };
  // what only images in use have; shared layers count as free, as Docker counts them
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
    row('Build Cache', 0, 0, 0, 0, { percent: false }),
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

/** the tables of -v: title, default template, headers, rows */
export function detailRows(
  usage: DiskUsage,
  options: { now: number; truncate: boolean },
): Record<'Images' | 'Containers' | 'Volumes' | 'BuildCache', Record<string, unknown>[]> {
  return {
    // Docker names the first name of each alone
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
    BuildCache: [],
  };
}
