/**
 * What a container's record keeps of its making: the request and the image's config merged as Docker merges them, and
 * its mounts resolved, for which volumes and host folders are made.
 */
import { hostname } from 'node:os';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Image } from '../../images/store/contract.ts';
import { readMountOptions } from '../../notation/mount-options.ts';
import { withProtocol } from '../../notation/ports.ts';
import { DEFAULT_STOP_SIGNAL, parseSignal } from '../../notation/signals.ts';
import type { Isolation } from '../../sandbox.ts';
import type { EngineContext } from '../record/context.ts';
import { resolve } from '../record/reconcile.ts';
import type { ContainerConfig, CreateOptions } from '../contract.ts';
import type { CreateRequest } from '../request/request.ts';
import { mergeCommand, mergeEnv, workingDirectory } from './spec/command.ts';
import type { KeptIds } from './spec/user-namespace.ts';

/** Linux's limit for a host name: __NEW_UTS_LEN */
const MAX_HOSTNAME = 64;
/** digits of an id that are a container's host name */
const SHORT_ID = 12;

/** What a container's config is made of. */
interface Ingredients {
  id: string;
  options: CreateOptions;
  request: CreateRequest;
  image: Image;
  /** ids of the images that are mounted, by what they are named as */
  mounted: ReadonlyMap<string, string> | undefined;
  isolation: Isolation;
  kept: KeptIds | undefined;
}

/** @throws HuskError `invalid` in Docker's words for what only shows with the image's part */
export async function makeConfig(context: EngineContext, from: Ingredients): Promise<ContainerConfig> {
  const { options, request, image, kept } = from;
  const defaults = image.config.config ?? {};
  const stopSignal = request.stopSignal ?? defaults.StopSignal ?? DEFAULT_STOP_SIGNAL;
  parseSignal(stopSignal);
  const healthcheck = await healthcheckOf(request.healthcheck, defaults.Healthcheck);
  if (request.hostname !== undefined && request.hostname.length > MAX_HOSTNAME)
    throw new HuskError(`invalid hostname "${request.hostname}": over ${MAX_HOSTNAME} characters`, {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
    });
  // with keep-id the caller's own ids are the default user, as with Podman: the image's own user is somebody else
  const user = request.user ?? (kept ? `${kept.uid}:${kept.gid}` : (defaults.User ?? ''));
  return {
    options: kept && request.userns.kind === 'default' ? { ...options, userns: 'keep-id' } : options,
    image: request.image,
    imageId: image.id,
    isolation: from.isolation,
    ...mergeCommand(request, defaults),
    env: mergeEnv(request.env, defaults.Env ?? []),
    labels: { ...defaults.Labels, ...request.labels },
    workdir: workingDirectory(request.workdir, defaults),
    user,
    ...(kept && { keptIds: kept }),
    stopSignal,
    ...(healthcheck && { healthcheck }),
    exposed: [
      ...new Set([
        ...Object.keys(defaults.ExposedPorts ?? {}).map(withProtocol),
        ...request.expose,
        ...request.publish.map(({ container }) => container),
      ]),
    ],
    hostname: request.hostname ?? defaultHostname(context, request, from.id),
    mounts: await resolveMounts(context, from, user),
  };
}

/**
 * The hostname that Docker shows: a container that joins another's network has that one's. Whether there is one is told
 * at the start.
 */
function defaultHostname(context: EngineContext, { network, uts }: CreateRequest, id: string): string {
  if (network.kind === 'host' || uts.kind === 'host') return hostname();
  if (network.kind === 'container')
    try {
      return resolve(context, network.name).config.hostname;
    } catch (error) {
      if (!(error instanceof HuskError && error.kind === 'not-found')) throw error;
    }
  return id.slice(0, SHORT_ID);
}

/** Most containers have none, and what merges and checks it is not loaded then. */
async function healthcheckOf(
  asked: CreateOptions['healthcheck'],
  image: CreateOptions['healthcheck'] | null,
): Promise<ContainerConfig['healthcheck']> {
  if (!asked && !image) return undefined;
  const { mergeHealthcheck, checkHealthcheck } = await import('./spec/health.ts');
  const healthcheck = mergeHealthcheck(asked, image);
  checkHealthcheck(healthcheck);
  return healthcheck;
}

async function resolveMounts(
  context: EngineContext,
  { request, image, mounted, kept }: Ingredients,
  user: string,
): Promise<ContainerConfig['mounts']> {
  const imageVolumes = Object.keys(image.config.config?.Volumes ?? {});
  // most containers have none: the volume room is not even loaded then
  if (request.mounts.length === 0 && request.volumesFrom.length === 0 && imageVolumes.length === 0) return [];
  const volumes = await context.volumes();
  const mounts = volumes.resolve({
    mounts: request.mounts,
    tmpfs: request.tmpfs.map(({ destination }) => destination),
    volumesFrom: request.volumesFrom,
    mountsOf: (container) => resolve(context, container).config.mounts,
    images: mounted,
    imageVolumes,
  });
  if (mounts.some(({ type, options }) => type === 'volume' || readMountOptions(type, options).chown))
    await volumes.populate(mounts, { lower: await context.unpacked(image, kept), user, kept });
  return mounts;
}
