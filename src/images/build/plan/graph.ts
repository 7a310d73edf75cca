/**
 * Stages and what they need of each other: which base each has, which other stages its COPYs and mounts read, which
 * triggers its base brings, and so which stages the target reaches. Names are looked up here, and nowhere else.
 */
import { HuskError } from '../../../errors.ts';
import { goQuote } from '../../../notation/quoting.ts';
import type { ImageConfig, Platform } from '../../store/contract.ts';
import { formatPlatform, parsePlatform } from '../../store/platform.ts';
import { familiarReference, fullReference, parseReference, withDefaultTag } from '../../store/reference.ts';
import { located, parseTrigger, type Dockerfile, type StageCommand } from '../dockerfile/parse.ts';
import { meant } from '../dockerfile/flags.ts';
import { originsOf } from '../dockerfile/mounts.ts';
import { BuildError, type Origin, type PlannedBase, type PlanOptions } from '../operations.ts';

const SCRATCH = 'scratch';
/** triggers that bases bring: an image's config is a stranger's, and a file has many stages on one image */
const MAX_TRIGGERS = 4096;

/** A stage whose base and triggers are known. */
export interface GraphStage {
  index: number;
  name: string | undefined;
  /** its name, or `stage-2`, for messages */
  shown: string;
  base: PlannedBase;
  /** triggers of the base first */
  commands: StageCommand[];
}

/** What the graph is told of a FROM line: its words expanded. */
export interface ExpandedFrom {
  base: string;
  platform: Platform | undefined;
}

/** @returns the name under which the config of a base is kept */
export const configKey = (reference: string, platform: Platform | undefined) =>
  platform === undefined ? reference : `${reference} ${formatPlatform(platform)}`;

export class Graph {
  readonly stages: GraphStage[] = [];
  readonly #dockerfile: Dockerfile;
  readonly #froms: readonly ExpandedFrom[];
  readonly #contexts: Map<string, { name: string; context: ContextOption }>;

  /** @throws BuildError */
  constructor(dockerfile: Dockerfile, froms: readonly ExpandedFrom[], contexts: PlanOptions['contexts']) {
    this.#dockerfile = dockerfile;
    this.#froms = froms;
    this.#contexts = new Map([...contexts].map(([name, context]) => [imageKey(name), { name, context }]));
    for (const [index, { from }] of dockerfile.stages.entries()) {
      const base = located(from.range, () => this.#base(index));
      const replaced = this.#replacedBy(from.stage);
      const commands = replaced ? [] : dockerfile.stages[index]!.commands;
      this.stages.push({ index, name: from.stage, shown: from.stage ?? `stage-${index}`, base, commands });
    }
  }

  /**
   * Puts the triggers of the bases before the commands of the stages that are built on them.
   * @param configs of the bases that are known, by configKey
   * @throws BuildError
   */
  addTriggers(configs: ReadonlyMap<string, ImageConfig>): void {
    let count = 0;
    for (const stage of this.stages) {
      const { range } = this.#dockerfile.stages[stage.index]!.from;
      const triggers = this.#triggersOf(stage, configs);
      count += triggers.length;
      if (count > MAX_TRIGGERS)
        throw new BuildError(`the bases have more than ${MAX_TRIGGERS} ONBUILD triggers`, { kind: 'limit', range });
      const own = this.#replacedBy(stage.name) ? [] : this.#dockerfile.stages[stage.index]!.commands;
      stage.commands = [...triggers.map((trigger) => parseTrigger(trigger, range)), ...own];
    }
  }

  /**
   * Finds the stage that is built.
   * @param target a name or a number; undefined: the last
   * @throws BuildError
   */
  target(target: string | undefined): GraphStage {
    if (target === undefined || target === '') return this.stages.at(-1)!;
    const stage =
      this.stages.findLast(({ name }) => name === target.toLowerCase()) ??
      (/^\d{1,9}$/.test(target) ? this.stages[Number(target)] : undefined);
    if (stage) return stage;
    const names = this.stages.flatMap(({ name }) => name ?? []);
    throw new BuildError(`target stage ${goQuote(target)} could not be found${meant(target, names)}`, {
      kind: 'not-found',
    });
  }

  /** @returns the stages that some stages need, and these, in the order of the file; each needs earlier ones alone */
  reach(targets: readonly GraphStage[]): GraphStage[] {
    const reached = new Set<GraphStage>();
    const waiting = [...targets];
    for (let stage = waiting.pop(); stage; stage = waiting.pop()) {
      if (reached.has(stage)) continue;
      reached.add(stage);
      waiting.push(...this.needs(stage));
    }
    return this.stages.filter((stage) => reached.has(stage));
  }

  /**
   * Finds what a name in `--from=` stands for.
   * @param stage the one that reads from it
   * @throws HuskError
   */
  origin(name: string, stage: GraphStage, verb: 'copy' | 'mount' = 'copy'): Origin {
    const named = this.#context(name);
    if (named) return this.#contextOrigin(named, stage);
    const index = this.#stageIndex(name, stage.index);
    if (index === undefined) {
      if (name.toLowerCase() === SCRATCH) throw invalid(`cannot ${verb} from scratch: it has no files`);
      return { kind: 'image', reference: imageReference(name) };
    }
    if (index < stage.index) return { kind: 'stage', stage: index };
    if (index === stage.index || this.#reachesForward(index, stage.index))
      throw invalid(`circular dependency detected on stage: ${stage.shown}`);
    throw invalid(
      `cannot ${verb} from stage ${goQuote(name)}, it needs to be defined before current stage ${goQuote(stage.shown)}`,
    );
  }

  #base(index: number): PlannedBase {
    const { from } = this.#dockerfile.stages[index]!;
    const { base, platform } = this.#froms[index]!;
    const { range } = from;
    const named = this.#replacedBy(from.stage) ?? this.#context(base);
    if (named && isImage(named.context))
      return { kind: 'image', reference: contextReference(named.context), platform, range };
    if (named?.context.kind === 'files') return { kind: 'scratch', context: named.name };
    // A mistyped stage must not become a question to a registry.
    if (named?.context.kind === 'stage')
      return { kind: 'stage', stage: this.#stageOf(named.name, named.context.name, index) };
    const stage = this.#stageIndex(base, index, false);
    if (stage !== undefined && stage < index) return { kind: 'stage', stage };
    if (base === SCRATCH) return { kind: 'scratch' };
    return { kind: 'image', reference: imageReference(base), platform, range };
  }

  /** Looks a stage up: the latest of that name before another one, else the first behind it. */
  #stageIndex(name: string, before: number, numbers = true): number | undefined {
    const { stages } = this.#dockerfile;
    if (numbers && /^\d{1,9}$/.test(name)) {
      if (Number(name) >= stages.length) throw invalid(`invalid stage index ${name}`);
      return Number(name);
    }
    const wanted = name.toLowerCase();
    const earlier = stages.findLastIndex(({ from }, index) => index < before && from.stage === wanted);
    const index = earlier === -1 ? stages.findIndex(({ from }) => from.stage === wanted) : earlier;
    return index === -1 ? undefined : index;
  }

  #context(name: string) {
    return this.#contexts.size === 0 ? undefined : this.#contexts.get(imageKey(name));
  }

  /** @returns the context that stands over a stage of this name, but for one that names a stage */
  #replacedBy(stage: string | undefined) {
    const named = stage === undefined ? undefined : this.#context(stage);
    return named?.context.kind === 'stage' ? undefined : named;
  }

  #contextOrigin({ name, context }: { name: string; context: ContextOption }, stage: GraphStage): Origin {
    if (context.kind === 'files') return { kind: 'context', name };
    if (isImage(context)) return { kind: 'image', reference: contextReference(context) };
    return { kind: 'stage', stage: this.#stageOf(name, context.name, stage.index) };
  }

  /** @throws HuskError where a context by name stands for a stage that is not there, or comes later */
  #stageOf(context: string, stage: string, before: number): number {
    const index = this.#stageIndex(stage, before);
    if (index === undefined || index >= before)
      throw new HuskError(`--build-context ${context}: there is no stage ${goQuote(stage)} before this one`, {
        kind: 'not-found',
      });
    return index;
  }

  #triggersOf(stage: GraphStage, configs: ReadonlyMap<string, ImageConfig>): string[] {
    const { base } = stage;
    if (base.kind === 'image') return configs.get(configKey(base.reference, base.platform))?.config?.OnBuild ?? [];
    if (base.kind === 'scratch') return [];
    // Triggers are for the stage on top of this one, not for those on top of that.
    return this.#dockerfile.stages[base.stage]!.commands.flatMap((command) =>
      command.kind === 'onbuild' ? [command.value] : [],
    );
  }

  /** @returns the stages that a stage needs, earlier ones alone; first the one that it is built on */
  needs({ index, base, commands }: GraphStage): GraphStage[] {
    const names = commands.flatMap(namesRead);
    const stages = names.flatMap((name) => {
      const named = this.#context(name)?.context;
      if (named && named.kind !== 'stage') return [];
      const found = this.#stageNumber(named ? named.name : name, index);
      return found === undefined || found >= index ? [] : [found];
    });
    const indexes = base.kind === 'stage' ? [base.stage, ...stages] : stages;
    return indexes.map((each) => this.stages[each]!);
  }

  /** As #stageIndex, for places where a wrong number is refused later, with its line. */
  #stageNumber(name: string, before: number): number | undefined {
    if (/^\d+$/.test(name)) return Number(name) < this.stages.length ? Number(name) : undefined;
    return this.#stageIndex(name, before);
  }

  /** @returns whether a later stage needs an earlier one, on whatever way */
  #reachesForward(later: number, earlier: number): boolean {
    return this.reach([this.stages[later]!]).some(({ index }) => index === earlier);
  }
}

type ContextOption = PlanOptions['contexts'] extends ReadonlyMap<string, infer C> ? C : never;
type ImageContext = Extract<ContextOption, { reference: string }>;

const isImage = (context: ContextOption): context is ImageContext =>
  context.kind === 'image' || context.kind === 'layout';

/** The reference of a layout is no registry's, and only whoever has made it reads it. */
const contextReference = ({ kind, reference }: ImageContext): string =>
  kind === 'layout' ? reference : imageReference(reference);

const invalid = (message: string) => new HuskError(message, { kind: 'invalid' });

/** @returns the names in `--from=` and `from=` of a command */
function namesRead(command: StageCommand): string[] {
  if (command.kind === 'copy') return command.from === undefined ? [] : [command.from];
  return command.kind === 'run' ? command.mounts.flatMap(originsOf) : [];
}

/** @returns a name by which `alpine`, `alpine:latest` and `docker.io/library/alpine` are one */
export function imageKey(name: string): string {
  try {
    return familiarReference(withDefaultTag(parseReference(name)));
  } catch {
    return name.toLowerCase();
  }
}

function imageReference(name: string): string {
  try {
    return fullReference(withDefaultTag(parseReference(name)));
  } catch (error) {
    throw new HuskError(`failed to parse stage name ${goQuote(name)}: ${(error as Error).message}`, {
      kind: 'invalid',
      cause: error,
    });
  }
}

/** @throws HuskError `invalid` */
export function platformOf(text: string, written: string): Platform {
  if (text === '') throw invalid(`empty platform value from expression ${written}`);
  try {
    return parsePlatform(text);
  } catch (error) {
    throw new HuskError(`failed to parse platform ${written}: ${(error as Error).message}`, {
      kind: 'invalid',
      cause: error,
    });
  }
}
