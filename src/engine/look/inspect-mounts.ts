/** Mounts in Docker's JSON of `inspect`: what is mounted, and how each was asked for. Shapes only. */
import { join } from 'node:path';
import { readMountOptions } from '../../notation/mount-options.ts';
import type { ContainerConfig, MountRequest } from '../contract.ts';
import type { RequestedMount } from '../request/request.ts';

type ResolvedMount = ContainerConfig['mounts'][number];

/** @param folder containers/<id> */
export function mountPoint(mount: ResolvedMount, asked: readonly MountRequest[], folder: string): object {
  if (mount.type === 'image') return imageMount(mount, folder);
  const { propagation = 'rprivate' } = readMountOptions(mount.type, mount.options);
  return {
    Type: mount.type,
    ...(mount.name !== undefined && { Name: mount.name }),
    Source: mount.type === 'tmpfs' ? '' : mount.source,
    Destination: mount.destination,
    ...(mount.type === 'volume' && { Driver: 'local' }),
    Mode: mountMode(mount, asked),
    RW: !mount.readonly,
    Propagation: mount.type === 'bind' ? propagation : '',
  };
}

/**
 * Docker's Mode: the third part of `-v` as it was typed; nothing for `--mount` of a bind; `z` for a volume that has a
 * name and no mode, as its daemon fills in (moby setBindModeIfNull).
 */
function mountMode(mount: ResolvedMount, mounts: readonly MountRequest[]): string {
  const asked = mounts.find(({ target }) => target === mount.destination);
  const typed = asked?.createSource ? [...(asked.readonly ? ['ro'] : []), ...asked.options].join(',') : '';
  return typed === '' && mount.type === 'volume' && asked && (asked.source !== undefined || !asked.createSource)
    ? 'z'
    : typed;
}

/** `Source` is where its tree is while the container runs, in its own mount namespace (src/rootless/images.ts). */
function imageMount({ source, image, destination }: ResolvedMount, folder: string): object {
  return {
    Type: 'image',
    Name: source,
    Source: join(folder, 'images', image!.replace('sha256:', '')),
    Destination: destination,
    Mode: '',
    RW: false,
    Propagation: 'rprivate',
  };
}

/** Was it typed as `-v`, with a source? */
export function isBindText({ type, source, createSource }: RequestedMount): boolean {
  return (type === 'bind' || type === 'volume') && source !== undefined && createSource;
}

export function bindText(mount: RequestedMount): string {
  const modes = [...(mount.readonly ? ['ro'] : []), ...mount.options];
  return `${mount.source}:${mount.target}${modes.length > 0 ? `:${modes.join(',')}` : ''}`;
}

/** HostConfig.Mounts: what was typed as `--mount` */
export function mountRequests(mounts: readonly RequestedMount[]): object[] | undefined {
  const asked = mounts.filter((mount) => !mount.createSource);
  if (asked.length === 0) return undefined;
  return asked.map((mount) => ({
    Type: mount.type,
    ...(mount.source !== undefined && { Source: mount.source }),
    Target: mount.target,
    ...(mount.readonly && { ReadOnly: true }),
    ...mountOptions(mount),
  }));
}

/** what `--mount` said for one type of mounts alone, under Docker's names */
function mountOptions({ type, settings }: RequestedMount): object {
  const group = (name: string, fields: Record<string, unknown>) => {
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    return given.length > 0 ? { [name]: Object.fromEntries(given) } : {};
  };
  const { driver, driverOptions, tmpfsSize, tmpfsMode } = settings;
  if (type === 'bind')
    return group('BindOptions', {
      Propagation: settings.propagation,
      NonRecursive: settings.bind === 'bind' || undefined,
      ReadOnlyNonRecursive: settings.recursiveReadonly === 'no' || undefined,
      ReadOnlyForceRecursive: settings.recursiveReadonly === 'forced' || undefined,
    });
  if (type === 'volume')
    return group('VolumeOptions', {
      NoCopy: settings.noCopy || undefined,
      Labels: settings.labels,
      Subpath: settings.subpath,
      DriverConfig:
        driver === undefined && driverOptions === undefined
          ? undefined
          : { ...(driver !== undefined && { Name: driver }), ...(driverOptions && { Options: driverOptions }) },
    });
  if (type === 'image') return group('ImageOptions', { Subpath: settings.subpath });
  return group('TmpfsOptions', {
    SizeBytes: tmpfsSize === undefined ? undefined : Number(tmpfsSize),
    Mode: tmpfsMode === undefined ? undefined : parseInt(tmpfsMode, 8),
  });
}
