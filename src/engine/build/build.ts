/**
 * `build`: reads the Dockerfile, plans it with its bases, carries the plan out, and gives the result to its outputs.
 * What a build holds hangs on this process: claims, locks, the sandbox, descriptors.
 */
import { HuskError } from '../../errors.ts';
import { planBuild } from '../../images/build/plan/plan.ts';
import type { Platform } from '../../images/store/contract.ts';
import { formatPlatform } from '../../images/store/platform.ts';
import type { Paths } from '../../paths.ts';
import { abandoned } from '../../state/tmp-folder.ts';
import type { BuildHooks, BuildOptions, BuildResult } from '../build-contract.ts';
import type { EngineContext } from '../record/context.ts';
import { Bases } from './bases.ts';
import { CacheImports } from './caches.ts';
import { Executor } from './executor.ts';
import { exportResult, type ExportOptions } from './export.ts';
import { located, openInput, remotesOf } from './input.ts';
import { sweepLocks } from './key-lock.ts';
import { outlineOf } from './outline.ts';
import { checkSeveral, epochOf, masking, planOptions, platformsOf } from './plan-options.ts';
import { RunStep } from './run-step.ts';
import { isolationOf, limitsOf, sandboxOf } from './runs.ts';
import { ignoring, Sources } from './sources.ts';
import { sshSockets } from './ssh/sockets.ts';
import { Steps } from './steps.ts';

export async function build(
  context: EngineContext,
  options: BuildOptions,
  { onEvent = () => {}, onOutline, signal }: BuildHooks = {},
): Promise<BuildResult> {
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const result = await buildWith(context, options, { onEvent, onOutline, controller });
    await collect(context, (text) => onEvent({ type: 'warning', at: 0, text }));
    return result;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/**
 * The build is done, and holds none of its layers any more. A cache that cannot be made smaller is told, and no more.
 */
async function collect({ images, paths }: EngineContext, note: (text: string) => void): Promise<void> {
  try {
    const { mountsUsedBefore } = await images.collectBuildCache();
    if (mountsUsedBefore !== undefined) await (await import('./cache-mounts.ts')).pruneCaches(paths, mountsUsedBefore);
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    note(error.message);
  }
}

async function buildWith(
  context: EngineContext,
  options: BuildOptions,
  {
    onEvent,
    onOutline,
    controller,
  }: Pick<BuildHooks, 'onOutline'> & { onEvent: NonNullable<BuildHooks['onEvent']>; controller: AbortController },
): Promise<BuildResult> {
  const epoch = epochOf(options.buildArgs);
  const platforms = platformsOf(options);
  if (platforms.length > 1) checkSeveral(options);
  const steps = new Steps(onEvent);
  using store = await context.images.building();
  await sweepKilled(context.paths);
  await using cleanup = new AsyncDisposableStack();
  const note = (text: string): void => onEvent({ type: 'warning', at: 0, text });
  const ssh = await sshSockets(context, options.ssh, cleanup);
  const remotes = remotesOf(context, options, { ssh, store, steps, note, signal: controller.signal, cleanup });
  const { source, main, contextLayer } = await openInput(options, { store, remotes, signal: controller.signal });
  const sources = cleanup.use(
    new Sources({
      request: { context: main, contexts: options.contexts },
      ignore: source.ignore,
      contextLayer,
      ingest: (input) => store.ingest(input, { signal: controller.signal, programs: true }),
      remotes,
      note,
      epoch,
      unpack: store.unpack,
      paths: context.paths,
    }),
  );
  const limits = await limitsOf(options, note);
  const imports = cleanup.use(
    new CacheImports({ store, sources: options.cacheFrom ?? [], steps, note, signal: controller.signal }),
  );
  const buildFor = async (platform: Platform): Promise<Built> => {
    const bases = new Bases({
      images: context.images,
      store,
      steps,
      platform,
      contexts: options.contexts,
      pull: options.pull,
      credentials: options.credentials,
      signal: controller.signal,
    });
    const plan = await located(source, async (dockerfile) => {
      onOutline?.(outlineOf(dockerfile, options.target));
      const planned = await planBuild(dockerfile, {
        ...planOptions(options, platform),
        ignored: ignoring(source.ignore),
        baseConfig: async (reference, other) => (await bases.get(reference, other)).config,
      });
      onOutline?.(outlineOf(dockerfile, options.target, planned));
      return planned;
    });
    for (const text of plan.notes ?? []) note(text);
    const unused = plan.unusedArgs ?? [];
    if (unused.length > 0) note(`one or more build-args were not consumed: ${unused.join(', ')}`);
    const isolation = await isolationOf(context, options, plan, note);
    const runs = new RunStep({
      paths: context.paths,
      sources,
      request: { ...options, ssh },
      epoch,
      open: sandboxOf(context, options, { isolation, limits, store, note }),
    });
    cleanup.defer(() => runs.close());
    const executor = new Executor({
      plan,
      platform: platforms.length > 1 ? formatPlatform(platform) : undefined,
      file: source.name,
      store,
      paths: context.paths,
      bases,
      sources,
      runs,
      imports,
      steps,
      settings: {
        isolation,
        hostNames: options.extraHosts.map((text) => text.slice(0, text.indexOf(':'))),
        shmSize: options.shmSize,
        ulimits: options.ulimits,
      },
      noCache: options.noCache,
      epoch,
      controller,
      mask: masking(options),
    });
    return { result: await executor.run(), done: (mode) => executor.doneSteps(mode), warnings: plan.warnings };
  };
  const exporting = { options, epoch, store, steps, note, signal: controller.signal };
  if (platforms.length === 1) {
    const { warnings, ...built } = await buildFor(platforms[0]);
    return { ...(await exportResult(context, { ...exporting, ...built })), warnings };
  }
  const builds: Built[] = [];
  for (const platform of platforms) builds.push(await buildFor(platform));
  const { exportIndex } = await import('./index-push.ts');
  const made = await exportIndex(context, { ...exporting, builds, platforms });
  const warnings = builds.flatMap((each) => each.warnings);
  return { ...made, warnings: [...new Map(warnings.map((each) => [JSON.stringify(each), each])).values()] };
}

type Built = Pick<ExportOptions, 'result' | 'done'> & Pick<BuildResult, 'warnings'>;

/** Removes what builds that were killed have left: trees of steps, and files of locks. */
async function sweepKilled(paths: Paths): Promise<void> {
  sweepLocks(paths);
  if (abandoned(paths, 'tree').length === 0) return;
  const { sweepRemoved } = await import('../../supervisor/life/removal.ts');
  await sweepRemoved(paths);
}
