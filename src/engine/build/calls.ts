/**
 * What `build --call` answers without a build: the lint, what the build can be given, its targets. Nothing is pulled or
 * run; the config of a base that is here is looked at. Only a Dockerfile that is elsewhere is fetched.
 */
import { targetsOf } from '../../images/build/plan/parameters.ts';
import { lintDockerfile, parametersOf } from '../../images/build/plan/plan.ts';
import type { Dockerfile } from '../../images/build/dockerfile/parse.ts';
import type { PlanOptions } from '../../images/build/operations.ts';
import type { ImageConfig } from '../../images/store/contract.ts';
import type { BuildCheck, BuildOptions, BuildOutlineAnswer, BuildTargets } from '../build-contract.ts';
import type { EngineContext } from '../record/context.ts';
import type { DockerfileSource } from './dockerfile-source.ts';
import { located, openInput, remotesOf } from './input.ts';
import { planOptions, platformsOf } from './plan-options.ts';
import { ignoring } from './sources.ts';
import { sshSockets } from './ssh/sockets.ts';
import { Steps } from './steps.ts';

/** `--check`: the lint alone. */
export async function checkBuild(context: EngineContext, options: BuildOptions): Promise<BuildCheck> {
  return withDockerfile(context, options, ({ lines, ...dockerfile }, source) => ({
    warnings: lintDockerfile({ lines, ...dockerfile }, staticOptions(context, options, source)),
    lines,
    file: source.name,
    bytes: source.bytes,
  }));
}

/** `--call outline` */
export async function outlineBuild(context: EngineContext, options: BuildOptions): Promise<BuildOutlineAnswer> {
  return withDockerfile(context, options, (dockerfile, source) => ({
    ...parametersOf(dockerfile, staticOptions(context, options, source)),
    bytes: source.bytes,
  }));
}

/** `--call targets`: of the file as it is, whichever target is named. */
export async function buildTargets(context: EngineContext, options: BuildOptions): Promise<BuildTargets> {
  return withDockerfile(context, options, (dockerfile, { bytes }) => ({ targets: targetsOf(dockerfile), bytes }));
}

function staticOptions(
  { images }: EngineContext,
  options: BuildOptions,
  { ignore }: DockerfileSource,
): Omit<PlanOptions, 'baseConfig'> & { configOf: (reference: string) => ImageConfig | undefined } {
  return {
    ...planOptions(options, platformsOf(options)[0]),
    ignored: ignoring(ignore),
    configOf: (reference) => images.find(reference)?.config,
  };
}

async function withDockerfile<T>(
  context: EngineContext,
  options: BuildOptions,
  work: (dockerfile: Dockerfile, source: DockerfileSource) => T,
): Promise<T> {
  const { signal } = new AbortController();
  using store = await context.images.building();
  await using cleanup = new AsyncDisposableStack();
  const remotes = remotesOf(context, options, {
    ssh: await sshSockets(context, options.ssh, cleanup),
    store,
    steps: new Steps(() => {}),
    note: () => {},
    signal,
    cleanup,
  });
  const { source } = await openInput(options, { store, remotes, signal });
  return located(source, async (dockerfile) => work(dockerfile, source));
}
