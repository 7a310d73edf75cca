/**
 * The engine: containers and their lifecycle behind one object (../contract.ts). Each operation is a file of its own;
 * this one opens what they share, on demand, and hands it to them. Knows no isolation.
 */
import { readConfig, type Config } from '../../config.ts';
import { closeDataRoot } from '../../data-root.ts';
import type { Image, Images } from '../../images/store/contract.ts';
import { ImageStore } from '../../images/images.ts';
import { paths as computePaths, type Paths } from '../../paths.ts';
import { ContainerStore } from '../../state/containers.ts';
import { openDatabase } from '../../state/database.ts';
import type { Networks } from '../../network/records/contract.ts';
import type { Volumes } from '../../volumes/contract.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';
import type { EngineContext } from '../record/context.ts';
import { execInspect } from '../record/exec-rows.ts';
import { isConfig } from '../record/record-copies.ts';
import type { Container, ContainerConfig, Engine, Finding } from '../contract.ts';
import { events } from '../look/event-stream.ts';
import { inspectImage } from '../look/inspect-image.ts';
import { imageUsers, list, sizeOf } from '../look/list.ts';
import { logBatches, logs } from '../look/logs.ts';
import { ExitLog } from '../life/exit-log.ts';
import { rename } from '../life/remove.ts';
import { restartable } from '../life/restartable.ts';
import { isNews } from '../create/told-once.ts';
import { takeSupervisor } from '../record/supervisor-process.ts';
import { resolve } from '../record/reconcile.ts';

export interface EngineOptions {
  /** `--data-root`; before the config's */
  dataRoot?: string;
  configFile?: string;
  /** tests: other parts than the real ones */
  parts?: Partial<EngineParts>;
}

/** The rooms below that the engine is put together from; each is loaded when first used. */
export interface EngineParts {
  images(database: EngineContext['database'], paths: Paths, config: Config): Images;
  volumes(context: EngineContext): Promise<Volumes>;
  unpacked(context: EngineContext, image: Image, kept?: KeptIds): Promise<string[]>;
  buildSpec: EngineContext['buildSpec'];
  liveNetworks: EngineContext['liveNetworks'];
  /** argv of a supervisor; absent is husk's own */
  supervisor: readonly string[];
}

/** Opens the database at once; everything else on first use. */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const { paths, config } = locate(options);
  await closeRoot(paths);
  const database = openDatabase(paths.database);
  const parts = options.parts ?? {};
  const imagesOf = parts.images ?? (() => new ImageStore({ database, paths, config }));
  let images: Images | undefined;
  let volumes: Promise<Volumes> | undefined;
  let networks: Promise<Networks> | undefined;
  const context: EngineContext = {
    paths,
    config,
    database,
    store: new ContainerStore<ContainerConfig>(database, isConfig),
    get images() {
      return (images ??= imagesOf(database, paths, config));
    },
    volumes: () => (volumes ??= (async () => (parts.volumes ?? (await import('./parts.ts')).volumes)(context))()),
    liveNetworks: parts.liveNetworks ?? {
      attach: async (...asked) => (await import('../life/live-networks.ts')).attach(context, ...asked),
      detach: async (...asked) => (await import('../life/live-networks.ts')).detach(context, ...asked),
    },
    networks: () => (networks ??= (async () => (await import('./parts.ts')).networks(context))()),
    unpacked: async (image, kept) => (parts.unpacked ?? (await import('./parts.ts')).unpacked)(context, image, kept),
    writableSize: async (id) => (await import('./parts.ts')).writableSize(context, id),
    buildSpec:
      parts.buildSpec ?? (async (container, request) => (await import('./parts.ts')).spec(context, container, request)),
    supervisor: () => takeSupervisor(parts.supervisor),
    jailedSupervisor: async (task) =>
      parts.supervisor
        ? { client: takeSupervisor(parts.supervisor), task }
        : (await import('../record/jailed-supervisor.ts')).startJailedSupervisor(task, database),
  };
  return engineOf(context);
}

/**
 * Closes the data root to others, before anything is written in it. The containers of the host's root have another user
 * as their root, who must pass through it.
 */
async function closeRoot({ dataRoot }: Paths): Promise<void> {
  closeDataRoot(
    dataRoot,
    process.geteuid!() === 0 ? (await import('../../rootless/idmap.ts')).containerRootGroup() : undefined,
  );
}

/** Where the engine's data is, and its config. */
function locate(options: Pick<EngineOptions, 'dataRoot' | 'configFile'>): { paths: Paths; config: Config } {
  const paths = computePaths({ dataRoot: options.dataRoot });
  const config = readConfig(options.configFile ?? paths.configFile);
  const isConfigured =
    options.dataRoot === undefined && config['data-root'] !== undefined && process.env['HUSK_DATA_ROOT'] === undefined;
  return { paths: isConfigured ? computePaths({ dataRoot: config['data-root']! }) : paths, config };
}

/** Looks for damage without opening the engine, which a damaged database forbids. */
export async function* checkSystem(
  options: Pick<EngineOptions, 'dataRoot' | 'configFile'> & { repair: boolean; stop: boolean },
): AsyncGenerator<Finding> {
  const { systemCheck } = await import('../check/check.ts');
  const located = locate(options);
  await closeRoot(located.paths);
  yield* systemCheck({ ...located, repair: options.repair, stop: options.stop });
}

/** What looks at a container's files, or writes them. */
async function ofFiles<T>(work: (files: typeof import('../files/files.ts')) => Promise<T>): Promise<T> {
  const files = await import('../files/files.ts');
  return files.endingWithOne(() => work(files));
}

function engineOf(context: EngineContext): Engine {
  return {
    get images() {
      return context.images;
    },
    create: async (options, hooks) => (await import('../create/create.ts')).create(context, options, hooks),
    start: async (container, options) => (await import('../life/start.ts')).start(context, container, options),
    attach: async (container, options) => (await import('../life/start.ts')).attach(context, container, options),
    awaitStart: async (container) => (await import('../life/await-start.ts')).awaitStart(context, container),
    execCreate: async (container, options) => (await import('../life/exec.ts')).execCreate(context, container, options),
    execStart: async (id, options) => (await import('../life/exec.ts')).execStart(context, id, options),
    execInspect: (id) => execInspect(context, id),
    execResize: async (id, size) => (await import('../life/exec.ts')).execResize(context, id, size),
    resize: async (container, size) => (await import('../life/stop.ts')).resize(context, container, size),
    exec: async (container, options) => (await import('../life/exec.ts')).exec(context, container, options),
    stop: async (container, options) => (await import('../life/stop.ts')).stop(context, container, options),
    restart: async (container, options) => (await import('../life/stop.ts')).restart(context, container, options),
    kill: async (container, signal) => (await import('../life/stop.ts')).kill(context, container, signal),
    pause: async (container, options) => (await import('../life/stop.ts')).pause(context, container, options),
    unpause: async (container) => (await import('../life/stop.ts')).unpause(context, container),
    wait: async (container, options) => {
      // before the first await: what happens after the call is not missed
      const log = new ExitLog(context, container);
      return (await import('../life/wait.ts')).wait(context, log, options);
    },
    fork: async (container, options) => (await import('../fork/fork.ts')).fork(context, container, options),
    createCheckpoint: async (container, name, options) =>
      (await import('../fork/checkpoints.ts')).createCheckpoint(context, container, name, options),
    checkpoints: async (container, options) =>
      (await import('../fork/checkpoints.ts')).checkpoints(context, container, options),
    removeCheckpoint: async (container, name, options) =>
      (await import('../fork/checkpoints.ts')).removeCheckpoint(context, container, name, options),
    remove: async (container, options) => (await import('../life/remove.ts')).remove(context, container, options),
    rename: (container, name) => rename(context, container, name),
    update: async (container, change) => (await import('../life/update.ts')).update(context, container, change),
    restartable: () => restartable(context),
    get: (container): Container => resolve(context, container),
    list: (options) => list(context, options),
    summaries: async (options) => (await import('../look/summaries.ts')).summaries(context, options),
    size: async (container) => sizeOf(context, resolve(context, container)),
    logs: (container, options) => logs(context, container, options),
    logBatches: (container, options) => logBatches(context, container, options),
    top: async (container, psArguments) => (await import('../look/top.ts')).top(context, container, psArguments),
    stats: async (container) => (await import('../look/stats.ts')).stats(context, container),
    events: (options) => events(context, options),
    refusals: async function* (options) {
      yield* (await import('../look/refusals.ts')).refusals(context, options);
    },
    imageUsers: (imageId) => imageUsers(context, imageId),
    inspect: async (container, options) => (await import('../look/inspect.ts')).inspect(context, container, options),
    inspectImage: (reference) => inspectImage(context.images.get(reference)),
    export: (container) => ofFiles((files) => files.exportContainer(context, container)),
    statPath: (container, path) => ofFiles((files) => files.statPath(context, container, path)),
    archive: (container, path, options) => ofFiles((files) => files.archive(context, container, path, options)),
    extract: (container, path, tar, options) =>
      ofFiles((files) => files.extract(context, container, path, tar, options)),
    copyFrom: (container, path, destination, options) =>
      ofFiles(async () =>
        (await import('../files/copy.ts')).copyFrom(context, container, { path, destination }, options),
      ),
    copyTo: (container, source, path, options) =>
      ofFiles(async () => (await import('../files/copy.ts')).copyTo(context, container, { source, path }, options)),
    changes: (container) => ofFiles((files) => files.changes(context, container)),
    commit: (container, options) =>
      ofFiles(async () => (await import('../files/commit.ts')).commit(context, container, options)),
    build: async (options, hooks) => (await import('../build/build.ts')).build(context, options, hooks),
    pruneCacheMounts: async (usedBefore) =>
      (await import('../build/cache-mounts.ts')).pruneCaches(context.paths, usedBefore),
    cacheMounts: async () => (await import('../build/cache-mounts.ts')).listCaches(context.paths),
    checkBuild: async (options) => (await import('../build/calls.ts')).checkBuild(context, options),
    outlineBuild: async (options) => (await import('../build/calls.ts')).outlineBuild(context, options),
    buildTargets: async (options) => (await import('../build/calls.ts')).buildTargets(context, options),
    prune: async (options) => (await import('../life/remove.ts')).prune(context, options),
    isNews: (text) => isNews(text, context.paths),
    diskUsage: async () => (await import('../look/disk-usage.ts')).diskUsage(context),
    pruneTemplates: async () =>
      (await import('../../vmm/templates/folder.ts')).removeTemplates(context.paths.templates, { keep: 0 }),
    pruneSaved: async () =>
      (await import('../fork/saved.ts')).sweepSaved(context.paths, {
        isThere: (id) => context.store.get(id) !== undefined,
      }),
    volumes: () => context.volumes(),
    networks: () => context.networks(),
    connect: async (network, container, wanted) =>
      (await import('../life/networks.ts')).connect(context, { network, container }, wanted),
    disconnect: async (network, container, options) =>
      (await import('../life/networks.ts')).disconnect(context, { network, container }, options),
    info: async () => (await import('../look/info.ts')).info(context),
    hostFacts: async () => (await import('../look/doctor.ts')).hostFacts(context.paths),
    doctor: async () => (await import('../look/doctor.ts')).doctor(context.paths),
    [Symbol.dispose]: () => context.database.close(),
  };
}
