/** The outline of a build: which instructions it has, and which of them are steps. Pure. */
import type { Dockerfile } from '../../images/build/dockerfile/parse.ts';
import type { BuildPlan } from '../../images/build/operations.ts';
import type { BuildOutline } from '../build-contract.ts';

/**
 * @param target a name or a number; one that the file does not have is the last stage, and the planner refuses it
 * @param plan once there is one
 */
export function outlineOf(
  { globals, stages }: Dockerfile,
  target: string | undefined,
  plan?: Pick<BuildPlan, 'stages'>,
): BuildOutline {
  const last = targetOf(stages, target);
  const instructions = [
    ...globals.map((command) => ({ stage: -1, command })),
    ...stages
      .slice(0, last + 1)
      .flatMap(({ from, commands }, stage) => [from, ...commands].map((command) => ({ stage, command }))),
  ].map(({ stage, command }) => ({ stage, line: command.range.start, text: command.text }));
  return plan ? { instructions, planned: plannedOf(plan) } : { instructions };
}

function targetOf(stages: Dockerfile['stages'], target = ''): number {
  const named = stages.findLastIndex(({ from }) => from.stage === target.toLowerCase());
  if (named !== -1) return named;
  return /^\d{1,9}$/.test(target) && Number(target) < stages.length ? Number(target) : stages.length - 1;
}

function plannedOf({ stages }: Pick<BuildPlan, 'stages'>): NonNullable<BuildOutline['planned']> {
  const steps = new Set<number>();
  const images = new Map<number, string>();
  for (const { base, range, operations } of stages) {
    if (base.kind === 'image') images.set(range.start, base.reference);
    // Triggers of the base have the line of FROM.
    if (base.kind === 'image') steps.add(range.start);
    for (const { kind, range: own, onbuild } of operations) if (kind !== 'config' && !onbuild) steps.add(own.start);
  }
  return { stages: new Set(stages.map(({ index }) => index)), steps, images };
}
