/**
 * `create`: reads the request, resolves the image (pulling by policy), merges its config with what was asked for,
 * checks all of it, and writes the record. Nothing runs and no namespace is made; the record is whole or absent.
 */
import { existsSync } from 'node:fs';
import type { Config } from '../../config.ts';
import type { Image } from '../../images/store/contract.ts';
import { logAttributes } from '../../logs/attributes.ts';
import { logSettings } from '../../logs/options.ts';
import { networkName, readNetworkMode } from '../../notation/modes.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import type { WantedEndpoint } from '../../network/records/contract.ts';
import type { Isolation } from '../../sandbox.ts';
import { NEVER, type ContainerState } from '../../state/containers.ts';
import type { EngineContext } from '../record/context.ts';
import { recordEvent } from '../record/events.ts';
import { checkName, generateId, generateName } from '../record/names.ts';
import { keepContainerCopy, makeContainerFolder } from '../record/record-copies.ts';
import type { Container, ContainerConfig, CreateOptions } from '../contract.ts';
import { findImage, type Hooks } from './find-image.ts';
import { chooseIsolation } from './isolation.ts';
import { makeConfig } from './make-config.ts';
import { wayOutWarning } from './network-choice.ts';
import { isOwn } from '../request/networks.ts';
import { asksForLimits, readRequest, type CreateRequest } from '../request/request.ts';
import { keptIds } from './spec/user-namespace.ts';
import { isNews } from './told-once.ts';

/** there while SELinux is enabled */
const SELINUX = '/sys/fs/selinux/enforce';

export async function create(
  context: EngineContext,
  asked: CreateOptions,
  hooks: Hooks = {},
): Promise<{ id: string; warnings: string[] }> {
  const wanted = withDefaults(asked, context.config);
  const name = wanted.name === undefined ? undefined : checkName(wanted.name);
  if (name !== undefined) context.store.assertNameFree(name);
  const typed = readRequest(wanted);
  await checkLog(typed);
  const { checkRequest, checkForIsolation } = await import('./spec/check.ts');
  checkRequest(typed, { selinux: existsSync(SELINUX) });
  const { isolation, warning: isolationWarning } = await chooseIsolation(typed, context.paths);
  checkForIsolation(typed, isolation);
  const { options, request, discarded } = await enforceable(context, { options: wanted, request: typed, isolation });
  const endpoints = await endpointsOf(context, request);
  const { image, mounted } = await findImages(context, request, hooks);
  const id = generateId();
  const kept = keptIds(request, { uid: process.getuid!(), gid: process.getgid!() });
  const config = await makeConfig(context, { id, options, request, image, mounted, isolation, kept });
  logAttributes(request.log, {
    id,
    name: name ?? '',
    imageId: image.id,
    image: config.image,
    labels: config.labels,
    env: config.env,
  });
  const warnings = [
    ...(isolationWarning === undefined ? [] : [isolationWarning]),
    ...discarded,
    ...(await warningsOf(context, request, config)),
  ];
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
    // an image may have been removed since it was found; Docker's text names it by its id then
    for (const used of [image.id, ...(mounted?.values() ?? [])]) context.images.get(used);
    const records = new NetworkRecords(context.database);
    if (endpoints === undefined) records.wantPredefined(networkName(request.network), id);
    else for (const endpoint of endpoints) records.want({ ...endpoint, containerId: id });
    recordEvent(context, record, 'create');
  });
  makeContainerFolder(context, id);
  keepContainerCopy(context, id);
  return { id, warnings };
}

/** Limits that cannot be enforced are refused later, unless the config has them discarded. */
async function enforceable(
  { config }: EngineContext,
  { options, request, isolation }: { options: CreateOptions; request: CreateRequest; isolation: Isolation },
): Promise<{ options: CreateOptions; request: CreateRequest; discarded: string[] }> {
  if (config['unenforceable-limits'] !== 'warn' || !asksForLimits(request)) return { options, request, discarded: [] };
  const { discardLimits, enforcedHere } = await import('./discard-limits.ts');
  const { resources, warnings } = discardLimits(options.resources, enforcedHere(options, isolation));
  const kept = { ...options, resources };
  return { options: kept, request: readRequest(kept), discarded: warnings };
}

/** @returns undefined for one that every data root has and of which nothing is wanted: nearly every container */
async function endpointsOf(
  context: EngineContext,
  request: CreateRequest,
): Promise<Omit<WantedEndpoint, 'containerId'>[] | undefined> {
  const [first] = request.networks;
  const isPlain = request.networks.length === 1 && first !== undefined && Object.keys(first.wanted).length === 0;
  const { kind } = request.network;
  const asksForMore = request.publish.length > 0 || request.publishAll || request.links.length > 0;
  if (isPlain && !asksForMore && kind !== 'container' && !isOwn(request.network)) return undefined;
  return (await import('./endpoints.ts')).wantedEndpoints(context, request);
}

/** @throws HuskError `invalid` for options the driver does not have; `unsupported` where this host cannot keep it */
async function checkLog({ log }: CreateRequest): Promise<void> {
  const { driver } = logSettings(log);
  if (driver === 'journald') (await import('../../logs/journal.ts')).checkJournal();
}

/** The image, and those that are mounted; what can be said of them before anything is pulled is said. */
async function findImages(
  context: EngineContext,
  request: CreateRequest,
  hooks: Hooks,
): Promise<{ image: Image; mounted: ReadonlyMap<string, string> | undefined }> {
  if (!request.mounts.some(({ type }) => type === 'image'))
    return { image: await findImage(context, request, hooks), mounted: undefined };
  const { checkImageMounts, mountedImages } = await import('./image-mounts.ts');
  checkImageMounts(request.mounts);
  const image = await findImage(context, request, hooks);
  const findOther = (source: string) => findImage(context, { image: source, pull: request.pull }, hooks);
  return { image, mounted: await mountedImages(request, findOther) };
}

/** Nobody misses a way out of networks that have none by intention. */
function leaves({ database }: EngineContext, { networks }: CreateRequest): boolean {
  const records = new NetworkRecords(database);
  return networks.some(({ mode }) => records.byName(networkName(mode))?.internal !== true);
}

/** What a person should know who gets this container: what checks it is loaded only where it is asked for. */
async function warningsOf(context: EngineContext, request: CreateRequest, config: ContainerConfig): Promise<string[]> {
  const { isolation } = config;
  const warnings: string[] = [];
  const warning = wayOutWarning(request, isolation);
  if (warning !== undefined && leaves(context, request) && isNews(warning, context.paths)) warnings.push(warning);
  if (request.network.kind === 'host' && request.publish.length > 0)
    warnings.push('Published ports are discarded when using host network mode');
  if (request.cdiDevices.length > 0) warnings.push(...(await checkCdi(request.cdiDevices, isolation)));
  if (request.devices.length > 0 && isolation === 'userns')
    warnings.push(...(await import('./device-warnings.ts')).deviceWarnings(request.devices));
  if (config.mounts.length > 0) {
    const { propagationWarnings, readMounts } = await import('./spec/mounts.ts');
    warnings.push(...propagationWarnings(readMounts(config.mounts), isolation));
  }
  if (asksForLimits(request) || request.oomScoreAdj !== undefined)
    warnings.push(...(await import('./unenforceable-limits.ts')).limitWarnings(request, isolation));
  return warnings;
}

/** What a CDI device brings is known now, and read again at each start. */
async function checkCdi(devices: readonly string[], isolation: Isolation): Promise<string[]> {
  const [{ cdiDevices }, { checkDevice }] = await Promise.all([import('./cdi-files.ts'), import('./spec/check.ts')]);
  const edits = cdiDevices(devices);
  for (const { nodes } of edits) for (const node of nodes) checkDevice(node.host, node, isolation);
  return edits.some(({ hasHooks }) => hasHooks)
    ? ['a CDI specification asks for hooks, programs of this host for the container: husk runs none']
    : [];
}

/** What the config file says where the flags say nothing. */
function withDefaults(options: CreateOptions, config: Config): CreateOptions {
  const logDriver = options.logDriver || config['log-driver'] || 'json-file';
  const network =
    readNetworkMode(options.network).kind === 'default' ? (config['default-network'] ?? 'default') : options.network;
  const isolation = options.isolation === 'auto' ? (config['default-isolation'] ?? 'auto') : options.isolation;
  // options of one driver mean nothing to another
  const logOptions =
    options.logDriver === '' || options.logDriver === config['log-driver']
      ? { ...config['log-opts'], ...options.logOptions }
      : options.logOptions;
  const networks = options.networks?.map((each) =>
    readNetworkMode(each.name).kind === 'default' ? { ...each, name: network } : each,
  );
  return { ...options, logDriver, logOptions, network, ...(networks && { networks }), isolation };
}

/** of a container that has never run */
export function freshState(): ContainerState {
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
