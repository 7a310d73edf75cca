/**
 * Where a build's RUN steps run: which isolation is taken, with which limits, and what opens the sandbox when the first
 * of them misses.
 */
import type { BuildSandbox, BuildSettings } from '../../build-sandbox.ts';
import type { BuildPlan } from '../../images/build/operations.ts';
import type { BuildStore } from '../../images/store/contract.ts';
import type { Isolation } from '../../sandbox.ts';
import type { BuildOptions } from '../build-contract.ts';
import type { EngineContext } from '../record/context.ts';
import type { RunStepOptions } from './run-step.ts';

/** Nothing is asked of this host for a build without RUN. @throws HuskError `unsupported` */
export async function isolationOf(
  context: EngineContext,
  options: BuildOptions,
  { stages }: BuildPlan,
  note: (text: string) => void,
): Promise<Isolation> {
  if (!stages.some(({ operations }) => operations.some(({ kind }) => kind === 'run'))) return 'userns';
  const { chooseBuildIsolation } = await import('./run/isolation.ts');
  const { isolation, warning } = await chooseBuildIsolation(options, context);
  if (warning !== undefined) note(warning);
  return isolation;
}

/** Checked before anything is built. @throws HuskError for a limit that cannot be held here */
export async function limitsOf(
  options: BuildOptions,
  note: (text: string) => void,
): Promise<Pick<BuildSettings, 'resources' | 'cgroupParent'>> {
  const isAsked = Boolean(options.cgroupParent) || Object.values(options.limits ?? {}).some(Boolean);
  return isAsked ? (await import('./run/run-limits.ts')).runLimits(options, note) : {};
}

/** @returns what opens the sandbox; a build whose every RUN is cached does not load it */
export function sandboxOf(
  context: EngineContext,
  { shmSize, ulimits }: Pick<BuildOptions, 'shmSize' | 'ulimits'>,
  {
    isolation,
    limits,
    store,
    note,
  }: {
    isolation: Isolation;
    limits: Pick<BuildSettings, 'resources' | 'cgroupParent'>;
    store: BuildStore;
    note: (text: string) => void;
  },
): RunStepOptions['open'] {
  return async (): Promise<BuildSandbox> => {
    const settings = { ...(shmSize !== undefined && { shmSize }), ulimits, ...limits, problem: note };
    if (isolation === 'userns') return (await import('./run/sandbox.ts')).openBuildSandbox(context, settings);
    const { VmBuildSandbox } = await import('./run/machines.ts');
    return new VmBuildSandbox(context, settings, { ingest: (tar, how) => store.ingest(tar, how) });
  };
}
