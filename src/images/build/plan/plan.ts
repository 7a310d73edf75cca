/**
 * The planner: a parsed Dockerfile and the options of a build become the stages that the target reaches, as operations
 * in which every word is expanded. It asks for configs of base images and does nothing else.
 */
import { HuskError } from '../../../errors.ts';
import type { ImageConfig } from '../../store/contract.ts';
import { ExpansionBudget } from '../dockerfile/budget.ts';
import type { HereDocument } from '../dockerfile/heredocs.ts';
import { checkFrontend } from '../dockerfile/lines.ts';
import { located, placed, type Dockerfile, type StageCommand } from '../dockerfile/parse.ts';
import { configKey, Graph, platformOf, type ExpandedFrom, type GraphStage } from './graph.ts';
import { Lint } from '../lint/lint.ts';
import { warnOfDefaults, warnOfFile, warnOfFrom } from '../lint/file.ts';
import type {
  BuildPlan,
  CopyOperation,
  LintWarning,
  PlannedBase,
  PlannedStage,
  PlanOptions,
  SourceRange,
} from '../operations.ts';
import { describe, globalArguments, inOrder } from './parameters.ts';
import type { BuildParameters, Found, GlobalArgument, StageParameters } from './parameters.ts';
import { globalVariables, isPredefined, platformVariables } from './scope.ts';
import { firstState, StagePlanner, type PlanContext, type StageState } from './stage.ts';
import { expand, type Expansion } from '../dockerfile/words.ts';

/** build argument that stands over `# check=` */
const CHECK = 'BUILDKIT_DOCKERFILE_CHECK';

/** build argument that stands over `# syntax=` */
const FRONTEND = 'BUILDKIT_SYNTAX';

/**
 * Plans a build.
 * @throws BuildError with the range of the line that cannot be done
 */
export async function planBuild(dockerfile: Dockerfile, options: PlanOptions): Promise<BuildPlan> {
  const plan = new Plan(dockerfile, options);
  const target = plan.graph.target(options.target);
  const configs = new Map<string, ImageConfig>();
  // A base's triggers may reach further stages, whose bases are then asked for.
  for (;;) {
    plan.graph.addTriggers(configs);
    const missing = basesOf(plan.graph.reach([target]), configs);
    if (missing.length === 0) break;
    await Promise.all(missing.map(async (base) => configs.set(keyOf(base), await configOf(base, options))));
  }
  const stages = plan.stages(plan.graph.reach([target]), configs);
  plan.lint.throwIfErrors();
  return {
    stages,
    target: target.index,
    warnings: plan.lint.warnings,
    lines: dockerfile.lines,
    unusedArgs: plan.unusedArgs(),
    notes: notesOf(plan.graph.reach([target])),
  };
}

/**
 * Checks a file without any image: what depends on a base's variables is left out.
 * @param options.configOf the config of an image that is here already
 * @returns warnings of the target and what it needs; without a target of all stages
 * @throws BuildError for what no build could do
 */
export function lintDockerfile(
  dockerfile: Dockerfile,
  options: Omit<PlanOptions, 'baseConfig'> & { configOf?: (reference: string) => ImageConfig | undefined },
): LintWarning[] {
  const plan = new Plan(dockerfile, options);
  const targets = options.target === undefined ? plan.graph.stages : [plan.graph.target(options.target)];
  plan.stages(plan.graph.reach(targets), plan.knownConfigs(options.configOf));
  return plan.lint.warnings;
}

/**
 * Finds what a build of the target can be given. As the lint, it does without configs of images that are not here.
 * @throws BuildError for what no build could do
 */
export function parametersOf(
  dockerfile: Dockerfile,
  options: Omit<PlanOptions, 'baseConfig'> & { configOf?: (reference: string) => ImageConfig | undefined },
): BuildParameters {
  const plan = new Plan(dockerfile, options);
  const target = plan.graph.target(options.target);
  const configs = plan.knownConfigs(options.configOf);
  plan.stages(plan.graph.reach([target]), configs);
  const found: Found = { arguments: new Map(), secrets: new Map(), agents: new Map() };
  const seen = new Set<GraphStage>();
  // Of a name that several stages have, the target's counts, then its base's, then that of what it copies from.
  for (const waiting = [target]; waiting.length > 0;) {
    const stage = waiting.pop()!;
    if (seen.has(stage)) continue;
    seen.add(stage);
    plan.parameters.get(stage.index)!.addTo(found, plan.globalArguments);
    waiting.push(...plan.graph.needs(stage).toReversed());
  }
  const { name = '' } = target;
  return {
    name,
    description: describe(dockerfile.stages[target.index]!.from.comments, name),
    arguments: inOrder(found.arguments),
    secrets: inOrder(found.secrets),
    agents: inOrder(found.agents),
  };
}

/** @returns one note for here-documents with carriage returns: a shell takes these for characters of its words */
function notesOf(stages: readonly GraphStage[]): string[] {
  const isWindows = stages.some(({ commands }) =>
    commands.some((command) => hereDocumentsIn(command).some(({ content }) => content.includes('\r\n'))),
  );
  return isWindows ? ['here-documents of this file have CR LF line ends, which they keep'] : [];
}

function hereDocumentsIn(command: StageCommand): HereDocument[] {
  if (command.kind === 'run') return command.hereDocuments;
  return command.kind === 'copy' ? command.sources.filter((source) => typeof source !== 'string') : [];
}

type ImageBase = Extract<PlannedBase, { kind: 'image' }>;

const keyOf = ({ reference, platform }: ImageBase) => configKey(reference, platform);

/** @returns bases whose config is missing, each once */
function basesOf(stages: readonly GraphStage[], configs: ReadonlyMap<string, ImageConfig>): ImageBase[] {
  const bases = new Map<string, ImageBase>();
  for (const { base } of stages) if (base.kind === 'image' && !configs.has(keyOf(base))) bases.set(keyOf(base), base);
  return [...bases.values()];
}

async function configOf({ reference, platform, range }: ImageBase, options: PlanOptions): Promise<ImageConfig> {
  try {
    return await options.baseConfig(reference, platform);
  } catch (error) {
    throw placed(error, range);
  }
}

class Plan {
  readonly graph: Graph;
  readonly lint: Lint;
  /** the ARGs before the first FROM, by name */
  readonly globalArguments: ReadonlyMap<string, GlobalArgument>;
  /** by the stage's index, once it is planned */
  readonly parameters = new Map<number, StageParameters>();
  /** names in each FROM line */
  readonly #fromUses: Set<string>[];
  readonly #dockerfile: Dockerfile;
  readonly #options: Omit<PlanOptions, 'baseConfig'>;
  readonly #context: PlanContext;

  constructor(dockerfile: Dockerfile, options: Omit<PlanOptions, 'baseConfig'>) {
    const { buildArgs, platform, target, contexts, ignored } = options;
    const { globals: args, directives, stages } = dockerfile;
    const frontend = buildArgs.get(FRONTEND);
    if (frontend) checkFrontend(frontend);
    const { escape, check, checkRange = { start: 1, end: 1 } } = directives;
    this.#dockerfile = dockerfile;
    this.#options = options;
    this.lint = located(checkRange, () => new Lint(buildArgs.get(CHECK) ?? check));
    const budget = new ExpansionBudget();
    const predefined = platformVariables(platform, target);
    const value = (text: string, variables: ReadonlyMap<string, string>) => expand(text, { escape, variables, budget });
    const uses = new Map<string, Set<string>>();
    const globalsWith = (given: ReadonlyMap<string, string>) =>
      globalVariables(args, given, predefined, (text, variables, { name, range }) => {
        const { text: found, used } = located(range, () => value(text, variables));
        if (given === buildArgs) uses.set(name, used);
        return found;
      });
    const globals = globalsWith(buildArgs);
    this.globalArguments = globalArguments(args, globals, uses);
    this.#fromUses = stages.map(() => new Set());
    warnOfFile(this.lint, dockerfile);
    const declared = new Set([...globals.keys(), ...args.flatMap(({ args }) => args.map(({ name }) => name))]);
    const defaults = buildArgs.size === 0 ? globals : globalsWith(new Map());
    const froms = stages.map(({ from }, index): ExpandedFrom =>
      located(from.range, () => {
        const base = value(from.base, globals);
        const written = from.platform === undefined ? undefined : value(from.platform, globals);
        this.#fromUses[index] = base.used.union(written?.used ?? new Set());
        warnOfFrom(this.lint, from, base, written, declared);
        warnOfDefaults(this.lint, from, value(from.base, defaults).text);
        return { base: nonBlank(base, from.base), platform: written && platformOf(written.text, from.platform!) };
      }),
    );
    this.graph = new Graph(dockerfile, froms, contexts);
    this.#context = {
      graph: this.graph,
      escape,
      budget,
      lint: this.lint,
      buildArgs,
      globals,
      globalArguments: this.globalArguments,
      ignored,
    };
  }

  /**
   * Puts the triggers of images that are here before the stages' own commands.
   * @returns the configs of these images
   */
  knownConfigs(configOf: ((reference: string) => ImageConfig | undefined) | undefined): Map<string, ImageConfig> {
    const configs = new Map<string, ImageConfig>();
    for (const base of basesOf(this.graph.stages, configs)) {
      const config = configOf?.(base.reference);
      if (config) configs.set(keyOf(base), config);
    }
    this.graph.addTriggers(configs);
    return configs;
  }

  /** Plans stages, each behind those it is built on. */
  stages(reached: readonly GraphStage[], configs: ReadonlyMap<string, ImageConfig>): PlannedStage[] {
    const states = new Map<number, StageState>();
    return reached.map((stage) => {
      const { range } = this.#dockerfile.stages[stage.index]!.from;
      const planner = located(range, () => {
        const parent = this.#parent(stage, states, configs);
        return new StagePlanner(this.#context, stage, { parent, from: this.#fromUses[stage.index]! });
      });
      planner.plan();
      this.parameters.set(stage.index, planner.parameters);
      states.set(stage.index, planner.state);
      const { index, name, base } = stage;
      const { image } = planner;
      const operations = [...filesOf(base, range), ...planner.operations];
      return { index, name, text: this.#fromText(base), range, base, operations, config: image };
    });
  }

  #parent(
    { base, index }: GraphStage,
    states: ReadonlyMap<number, StageState>,
    configs: ReadonlyMap<string, ImageConfig>,
  ): StageState {
    const { platform } = this.#options;
    if (base.kind === 'stage') return states.get(base.stage)!;
    if (base.kind === 'scratch') return firstState(undefined, platform, true);
    const config = configs.get(keyOf(base));
    if (config) this.#checkPlatform(index, config);
    return firstState(config, base.platform ?? platform, config !== undefined);
  }

  #checkPlatform(index: number, { os, architecture }: ImageConfig): void {
    const { from } = this.#dockerfile.stages[index]!;
    const base = this.graph.stages[index]!.base as ImageBase;
    const wanted = base.platform ?? this.#options.platform;
    if (wanted.os === os && wanted.architecture === architecture) return;
    this.lint.warn(
      'InvalidBaseImagePlatform',
      from.range,
      `Base image ${from.base} was pulled with platform "${os}/${architecture}", expected ` +
        `"${wanted.os}/${wanted.architecture}" for current build`,
      from.comments,
    );
  }

  #fromText(base: PlannedBase): string {
    if (base.kind === 'image') return `FROM ${base.reference}`;
    if (base.kind === 'scratch') return 'FROM scratch';
    return `FROM ${this.graph.stages[base.stage]!.shown}`;
  }

  /** @returns names of build arguments that no ARG of the file takes */
  unusedArgs(): string[] {
    const args = [...this.#dockerfile.globals, ...this.graph.stages.flatMap(({ commands }) => commands)];
    const declared = new Set(
      args.flatMap((command) => (command.kind === 'arg' ? command.args : [])).map((arg) => arg.name),
    );
    const predefined = platformVariables(this.#options.platform, undefined);
    return [...this.#options.buildArgs.keys()].filter(
      (name) => !declared.has(name) && !isPredefined(name) && !predefined.has(name),
    );
  }
}

/** @returns the step that takes all files of a context, for a stage that is built on one */
function filesOf(base: PlannedBase, range: SourceRange): CopyOperation[] {
  if (base.kind !== 'scratch' || base.context === undefined) return [];
  const name = base.context;
  return [
    {
      kind: 'copy',
      add: false,
      range,
      text: `FROM ${name}`,
      createdBy: `COPY . / # --build-context ${name}`,
      origin: { kind: 'context', name },
      sources: [{ kind: 'path', path: '.', written: '.' }],
      destination: '/',
      exclude: [],
      parents: false,
    },
  ];
}

function nonBlank({ text }: Expansion, written: string): string {
  if (text !== '') return text;
  throw new HuskError(`base name (${written}) should not be blank`, { kind: 'invalid' });
}
