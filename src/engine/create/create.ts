/**
 * `create`: resolves the image (pulling by policy), merges its config with what was asked for, checks all of it, and writes
 * the record. Nothing runs and no namespace is made; the record is whole or absent.
 */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Config } from '../../config.ts';
import { parseSignal } from '../../notation/signals.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Image } from '../../images/contract.ts';
import { formatPlatform, parsePlatform, serves } from '../../images/platform.ts';
import { parseReference } from '../../images/reference.ts';
import { logAttributes } from '../../logs/attributes.ts';
import { logSettings } from '../../logs/options.ts';
import type { Isolation } from '../../sandbox.ts';
import { NEVER, type ContainerState } from '../../state/containers.ts';
import type { EngineContext } from '../record/context.ts';
import { keepContainerCopy, makeContainerFolder } from '../record/record-copies.ts';
import type { Container, ContainerConfig, CreateOptions, Engine } from '../contract.ts';
import { recordEvent } from '../record/events.ts';
import { withProtocol } from './ports.ts';
import { chooseIsolation } from './isolation.ts';
import { isNews } from './told-once.ts';
import { checkName, generateId, generateName } from '../record/names.ts';
import { isCdiDevice } from './spec/cdi.ts';
import { keptIds, type KeptIds } from './spec/user-namespace.ts';
import { mergeCommand, mergeEnv, workingDirectory } from './spec/command.ts';
import { outbound } from './network-choice.ts';
import { resolve } from '../record/reconcile.ts';

type Hooks = NonNullable<Parameters<Engine['create']>[1]>;

/** there while SELinux is enabled */
const SELINUX = '/sys/fs/selinux/enforce';
/** Linux's limit for a host name: __NEW_UTS_LEN */
const MAX_HOSTNAME = 64;

export async function create(
  context: EngineContext,
  asked: CreateOptions,
  hooks: Hooks = {},
): Promise<{ id: string; warnings: string[] }> {
  const options = withDefaults(asked, context.config);
  const name = options.name === undefined ? undefined : checkName(options.name);
  if (name !== undefined) {
    context.store.assertNameFree(name);
  }
  const { driver: logDriver } = logSettings({ driver: options.logDriver, options: options.logOptions });
  if (logDriver === 'journald') (await import('../../logs/journal.ts')).checkJournal();
  checkNetwork(options.network);
  checkRestart(options);
  const { isolation, warning: isolationWarning } = await chooseIsolation(options, context.paths);
  (await import('./spec/check.ts')).checkOptions(options, isolation, { selinux: existsSync(SELINUX) });
  const hasImageMounts = options.mounts.some(({ type }) => type === 'image');
  // before anything is pulled
  if (hasImageMounts) (await import('./image-mounts.ts')).checkImageMounts(options.mounts);
  const image = await findImage(context, options, hooks);
  const findOther = (source: string) => findImage(context, { image: source, pull: options.pull }, hooks);
  const mounted = hasImageMounts
    ? await (await import('./image-mounts.ts')).mountedImages(options, findOther)
    : undefined;
  const id = generateId();
  const warnings: string[] = isolationWarning === undefined ? [] : [isolationWarning];
  const kept = keptIds(options, { uid: process.getuid!(), gid: process.getgid!() });
  const config = await makeConfig(context, { id, options, image, mounted, isolation, kept });
  logAttributes(
    { driver: options.logDriver, options: options.logOptions },
    { id, name: name ?? '', imageId: image.id, image: config.image, labels: config.labels, env: config.env },
  );
  const { warning } = outbound(config);
  if (warning !== undefined && isNews(warning, context.paths)) warnings.push(warning);
  if (options.devices.some(isCdiDevice)) warnings.push(...(await checkCdi(options, isolation)));
  if (options.devices.length > 0 && isolation === 'userns')
    warnings.push(...(await import('./device-warnings.ts')).deviceWarnings(options));
  // most containers have no mounts, and what builds their specs is not loaded then
  if (config.mounts.length > 0)
    warnings.push(...(await import('./spec/mounts.ts')).propagationWarnings(config.mounts, isolation));
  if (asksForLimits(options)) warnings.push(...(await import('./unenforceable-limits.ts')).limitWarnings(config));
  const record: Container = {
    id,
    name: name ?? generateName((candidate) => context.store.byName(candidate) !== undefined),
    imageId: image.id,
    createdAt: Date.now(),
    config,
    state: freshState(),
  };
  // the row first: a folder without a record would be nobody's
  context.store.insert(record, () => {
    // one that was removed since it was found; Docker's text has the id then
    for (const used of [image.id, ...(mounted?.values() ?? [])]) context.images.get(used);
  });
  makeContainerFolder(context, id);
  keepContainerCopy(context, id);
  recordEvent(context, record, 'create');
  return { id, warnings };
}

/** Most containers ask for none, and what checks them is not loaded then. */
function asksForLimits(options: CreateOptions): boolean {
  return (
    options.oomScoreAdj !== undefined ||
    options.cgroupParent !== undefined ||
    Object.values(options.resources).some((value) => value !== undefined && value !== 0)
  );
}

/** What the config file says where the flags say nothing. */
function withDefaults(options: CreateOptions, config: Config): CreateOptions {
  const logDriver = options.logDriver || config['log-driver'] || 'json-file';
  const network =
    options.network === '' || options.network === 'default'
      ? (config['default-network'] ?? 'default')
      : options.network;
  const isolation = options.isolation === 'auto' ? (config['default-isolation'] ?? 'auto') : options.isolation;
  // options of one driver mean nothing to another
  const logOptions =
    options.logDriver === '' || options.logDriver === config['log-driver']
      ? { ...config['log-opts'], ...options.logOptions }
      : options.logOptions;
  return { ...options, logDriver, logOptions, network, isolation };
}

function freshState(): ContainerState {
  return {
    status: 'created',
    pid: 0,
    exitCode: 0,
    error: '',
    oomKilled: false,
    startedAt: NEVER,
    finishedAt: NEVER,
    restartCount: 0,
    stoppedByUser: false,
  };
}

type WantedImage = Pick<CreateOptions, 'image' | 'platform' | 'pull'>;

/** Pulls when the policy says so. @throws HuskError `not-found` with Docker's text */
async function findImage(context: EngineContext, options: WantedImage, hooks: Hooks): Promise<Image> {
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const found = options.pull === 'always' ? undefined : context.images.find(options.image);
  if (found && (!platform || serves(found.config, platform))) return found;
  // what is no reference can be nowhere: said instead of, not after, "unable to find"
  if (!found) parseReference(options.image);
  if (found && options.pull === 'never')
    throw new HuskError(
      `image with reference ${options.image} was found but does not provide the specified platform (${formatPlatform(platform!)})`,
      { kind: 'not-found', exitCode: EXIT_HUSK_FAILED },
    );
  if (options.pull === 'never')
    throw new HuskError(`No such image: ${withTag(options.image)}`, { kind: 'not-found', exitCode: EXIT_HUSK_FAILED });
  if (options.pull === 'missing') hooks.onMessage?.(`Unable to find image '${withTag(options.image)}' locally`);
  const { image } = await context.images.pull(options.image, {
    platform,
    onProgress: hooks.onProgress,
    signal: hooks.signal,
  });
  return image;
}

function withTag(reference: string): string {
  return /[:@]/.test(reference.slice(reference.lastIndexOf('/') + 1)) ? reference : `${reference}:latest`;
}

function checkNetwork(network: string): void {
  if (['default', 'none', 'host', 'bridge'].includes(network) || network.startsWith('container:')) return;
  throw new HuskError(`network ${network} not found`, { kind: 'not-found', exitCode: EXIT_HUSK_FAILED });
}

function checkRestart(options: CreateOptions): void {
  if (options.autoRemove && options.restart.name !== 'no')
    throw new HuskError("can't create 'AutoRemove' container with restart policy", {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
    });
  if (options.restart.maximumRetryCount > 0 && options.restart.name !== 'on-failure')
    throw new HuskError(`invalid restart policy: maximum retry count can only be used with 'on-failure'`, {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
    });
}

type ConfigRequest = MountsRequest & { id: string; isolation: Isolation };

async function makeConfig(context: EngineContext, request: ConfigRequest): Promise<ContainerConfig> {
  const { options, image, mounted, kept } = request;
  const defaults = image.config.config ?? {};
  const stopSignal = options.stopSignal ?? defaults.StopSignal ?? 'SIGTERM';
  parseSignal(stopSignal);
  const healthcheck = await healthcheckOf(options, defaults.Healthcheck);
  if (options.hostname !== undefined && options.hostname.length > MAX_HOSTNAME)
    throw new HuskError(`invalid hostname "${options.hostname}": over ${MAX_HOSTNAME} characters`, {
      kind: 'invalid',
      exitCode: EXIT_HUSK_FAILED,
    });
  // as Podman: the image's own user is somebody else
  const user = options.user ?? (kept ? `${kept.uid}:${kept.gid}` : (defaults.User ?? ''));
  return {
    options: kept && !options.userns ? { ...options, userns: 'keep-id' } : options,
    image: options.image,
    imageId: image.id,
    isolation: request.isolation,
    ...mergeCommand(options, defaults),
    env: mergeEnv(options.env, defaults.Env ?? []),
    labels: { ...defaults.Labels, ...options.labels },
    workdir: workingDirectory(options.workdir, defaults),
    user,
    ...(kept && { keptIds: kept }),
    stopSignal,
    ...(healthcheck && { healthcheck }),
    exposed: [
      ...new Set([...Object.keys(defaults.ExposedPorts ?? {}).map(withProtocol), ...options.expose.map(withProtocol)]),
    ],
    hostname:
      options.hostname ??
      joinedHostname(context, options) ??
      (options.network === 'host' || options.uts === 'host' ? hostname() : request.id.slice(0, 12)),
    mounts: await resolveMounts(context, { options, image, mounted, kept }, user),
  };
}

/** What a CDI device brings is known now, and read again at each start. */
async function checkCdi({ devices }: CreateOptions, isolation: Isolation): Promise<string[]> {
  const [{ cdiDevices }, { checkDevice }] = await Promise.all([import('./cdi-files.ts'), import('./spec/check.ts')]);
  const edits = cdiDevices(devices);
  for (const { nodes } of edits) for (const node of nodes) checkDevice(node.host, node, isolation);
  return edits.some(({ hasHooks }) => hasHooks)
    ? ['a CDI specification asks for hooks, programs of this host for the container: husk runs none']
    : [];
}

/** As Docker shows it of who joins another's network; one that is not there (yet) is told at the start. */
function joinedHostname(context: EngineContext, { network, uts }: CreateOptions): string | undefined {
  if (!network.startsWith('container:') || uts === 'host') return undefined;
  try {
    return resolve(context, network.slice('container:'.length)).config.hostname;
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

/** Most containers have none, and what merges and checks it is not loaded then. */
async function healthcheckOf(
  options: CreateOptions,
  image: CreateOptions['healthcheck'] | null,
): Promise<ContainerConfig['healthcheck']> {
  if (!options.healthcheck && !image) return undefined;
  const { mergeHealthcheck, checkHealthcheck } = await import('./spec/health.ts');
  const healthcheck = mergeHealthcheck(options.healthcheck, image);
  checkHealthcheck(healthcheck);
  return healthcheck;
}

interface MountsRequest {
  options: CreateOptions;
  image: Image;
  /** ids of the images that are mounted, by what they are named as */
  mounted: ReadonlyMap<string, string> | undefined;
  kept: KeptIds | undefined;
}

type Mounts = ContainerConfig['mounts'];

async function resolveMounts(context: EngineContext, request: MountsRequest, user: string): Promise<Mounts> {
  const { options, image, mounted, kept } = request;
  const imageVolumes = Object.keys(image.config.config?.Volumes ?? {});
  // most containers have none: the volume room is not even loaded then
  if (options.mounts.length === 0 && options.volumesFrom.length === 0 && imageVolumes.length === 0) return [];
  const volumes = await context.volumes();
  const mounts = volumes.resolve({
    mounts: options.mounts,
    tmpfs: Object.keys(options.tmpfs),
    volumesFrom: options.volumesFrom,
    mountsOf: (container) => resolve(context, container).config.mounts,
    images: mounted,
    imageVolumes,
  });
  if (mounts.some((mount) => mount.type === 'volume' || mount.options.includes('U')))
    await volumes.populate(mounts, { lower: await context.unpacked(image, kept), user, kept });
  return mounts;
}
