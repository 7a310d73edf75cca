/**
 * Plans one stage: walks over its commands with the config and the variables as they are at each, and makes the
 * operations that change files or config. Everything of a line that depends on variables is settled here.
 */
import { posix } from 'node:path';
import { HuskError } from '../../../errors.ts';
import type { ImageConfig, Platform } from '../../store/contract.ts';
import type { ExpansionBudget } from '../dockerfile/budget.ts';
import { applyInstruction, commandWords, type Expander } from './config.ts';
import { planCopy } from './copies.ts';
import { located, type StageCommand } from '../dockerfile/parse.ts';
import type { Graph, GraphStage } from './graph.ts';
import { bodyOf, type HereDocument } from '../dockerfile/heredocs.ts';
import type { ArgCommand, ConfigCommand, CopyCommand, RunCommand } from '../dockerfile/commands.ts';
import { isSecretName, warnOfCommand, type Seen } from '../lint/commands.ts';
import { meantName, type Lint } from '../lint/lint.ts';
import { describe, StageParameters, type GlobalArgument } from './parameters.ts';
import { planMount } from './planned-mounts.ts';
import type { ConfigOperation, Operation, Origin, WorkdirOperation } from '../operations.ts';
import { runLine } from './run-line.ts';
import { nameOf, proxyVariables, Scope, valueOf } from './scope.ts';
import { expand, type Escape, type Expansion } from '../dockerfile/words.ts';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** characters of a step's text */
const MAX_TEXT = 4096;
/** what an entry of an environment costs the budget: it is written out for each RUN */
const ENTRY_COST = 8;

const NOTHING = { get: () => undefined };

/** What is the same for all stages. */
export interface PlanContext {
  graph: Graph;
  escape: Escape;
  budget: ExpansionBudget;
  lint: Lint;
  buildArgs: ReadonlyMap<string, string>;
  /** variables of FROM lines: values of ARGs that have none in the stage */
  globals: ReadonlyMap<string, string>;
  /** the ARGs before the first FROM, by name */
  globalArguments: ReadonlyMap<string, GlobalArgument>;
  /** whether a path of the context is ignored, for the lint */
  ignored?: (path: string) => boolean;
}

/** A stage's state, which the stages built on it begin with. */
export interface StageState {
  image: ImageConfig;
  scope: Scope;
  /** whether the config of the base at the bottom is known: the lint may run without it */
  isKnown: boolean;
  hasWorkdir: boolean;
}

/** @returns the state that a stage on an image begins with; without one, on nothing */
export function firstState(image: ImageConfig | undefined, platform: Platform, isKnown: boolean): StageState {
  const { architecture, os, variant } = platform;
  const base = image ?? {
    architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
    config: { WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [] },
  };
  return { image: base, scope: new Scope(), isKnown, hasWorkdir: false };
}

export class StagePlanner {
  readonly operations: Operation[] = [];
  readonly image: ImageConfig;
  readonly scope: Scope;
  readonly parameters: StageParameters;
  readonly #context: PlanContext;
  readonly #stage: GraphStage;
  readonly #isKnown: boolean;
  readonly #seen: Seen;
  #hasOwnCommand = false;

  /** @param from names in the FROM line */
  constructor(
    context: PlanContext,
    stage: GraphStage,
    { parent, from }: { parent: StageState; from: Iterable<string> },
  ) {
    this.parameters = new StageParameters(from);
    this.#context = context;
    this.#stage = stage;
    this.#isKnown = parent.isKnown;
    // Instructions replace parts of the config and alter none in place, so the parent's can be shared.
    const { OnBuild: _cleared, ...config } = parent.image.config ?? {};
    const { created: _created, ...image } = parent.image;
    const env = config.Env ?? [];
    if (!env.some((entry) => nameOf(entry) === 'PATH')) config.Env = [...env, `PATH=${DEFAULT_PATH}`];
    config.WorkingDir &&= posix.resolve('/', config.WorkingDir);
    this.image = { ...image, config };
    context.budget.spend(parent.scope.variables.size);
    this.scope = new Scope(parent.scope);
    for (const entry of config.Env!) this.scope.set(nameOf(entry), valueOf(entry));
    this.#seen = { hasWorkdir: parent.hasWorkdir, once: new Map() };
  }

  get state(): StageState {
    return { image: this.image, scope: this.scope, isKnown: this.#isKnown, hasWorkdir: this.#seen.hasWorkdir };
  }

  /** @throws BuildError */
  plan(): void {
    for (const command of this.#stage.commands) located(command.range, () => this.#command(command));
  }

  #command(command: StageCommand): void {
    const { lint, ignored } = this.#context;
    const { escape, budget } = this.#context;
    const words = (text: string) => expand(text, { escape, variables: this.scope.variables, budget });
    warnOfCommand(lint, command, this.#seen, { config: this.#config, ignored, expand: words });
    if (command.kind === 'run') this.#run(command);
    else if (command.kind === 'copy') this.#copy(command);
    else if (command.kind === 'arg') this.#arg(command);
    else this.#configure(command);
  }

  get #config(): NonNullable<ImageConfig['config']> {
    return this.image.config!;
  }

  /** Docker writes '' where there is none. */
  get #cwd(): string {
    return this.#config.WorkingDir || '/';
  }

  #step(command: StageCommand, createdBy: string, more = '') {
    const { range, onbuild } = command;
    this.#context.budget.spend(createdBy.length);
    return { range, text: this.#text(command) + more, createdBy, ...(onbuild ? { onbuild } : {}) };
  }

  #configure(command: ConfigCommand): void {
    const createdBy = applyInstruction(this.image, command, this.#expander(command), this.#hasOwnCommand);
    if (command.kind === 'cmd') this.#hasOwnCommand = true;
    if (createdBy === undefined) return;
    const step = this.#step(command, createdBy);
    const [path, user] = [this.#cwd, this.#config.User || ''];
    const configured: ConfigOperation = { kind: 'config', ...step };
    const folder: WorkdirOperation = { ...step, kind: 'workdir', path, user };
    this.operations.push(command.kind === 'workdir' && path !== '/' ? folder : configured);
  }

  #arg(command: ArgCommand): void {
    const { buildArgs, globals, globalArguments } = this.#context;
    const expander = this.#expander(command);
    const { range, comments } = command;
    // History has the line as it is written: what --build-arg gives stands before the commands that see it.
    const shown = command.args.map(({ name, value: written }) => {
      const given = buildArgs.get(name);
      const value = written === undefined ? undefined : defaultValue(written, expander, given !== undefined);
      this.scope.setArg(name, given ?? value ?? globals.get(name));
      const isGlobal = written === undefined && (globals.has(name) || globalArguments.has(name));
      const own = { name, description: describe(comments, name), value: given ?? value ?? '', range };
      this.parameters.declare(name, isGlobal ? undefined : own);
      return value === undefined ? name : `${name}=${value}`;
    });
    this.operations.push({ kind: 'config', ...this.#step(command, `ARG ${shown.join(' ')}`) });
  }

  #run(command: RunCommand): void {
    const { budget, buildArgs, graph } = this.#context;
    const [cwd, user] = [this.#cwd, this.#config.User || ''];
    const files: { name: string; data: string }[] = [];
    const { line, summary } = runLine(command, files);
    const argv = commandWords(this.#config, line);
    const expander = this.#expander(command);
    const mounts = command.mounts.map((mount) => planMount(mount, expander.word, cwd, graph, this.#stage));
    for (const mount of mounts) this.parameters.mount(mount, command.range);
    const env = this.scope.environment(this.#config.Env ?? []);
    budget.spend(env.length * ENTRY_COST);
    const names = new Set(env.map(nameOf));
    const createdBy = ['RUN', ...this.scope.argsInHistory(), ...argv].join(' ');
    this.operations.push({
      kind: 'run',
      ...this.#step(command, `${createdBy} # buildkit`, summary),
      argv,
      env,
      hidden: proxyVariables(buildArgs).filter((entry) => !names.has(nameOf(entry))),
      cwd,
      user,
      network: command.network,
      insecure: command.insecure,
      mounts,
      files,
    });
  }

  #copy(command: CopyCommand): void {
    const { budget } = this.#context;
    const cwd = this.#cwd;
    const bodies = (document: HereDocument) => {
      const body = bodyOf(document);
      if (!document.expand) return body;
      // A here-document's escape character is the shell's, and its quotes are text.
      const options = { escape: '\\', variables: this.scope.variables, plainQuotes: true, budget } as const;
      return this.#noted(expand(body, options), command).text;
    };
    const origin = command.from === undefined ? ({ kind: 'context' } as const) : this.#originOf(command.from);
    const { createdBy, ...operation } = planCopy(command, this.#expander(command).word, bodies, cwd, origin);
    this.operations.push({ kind: 'copy', ...this.#step(command, createdBy), ...operation });
  }

  #originOf(from: string): Origin {
    const { graph, escape } = this.#context;
    if (expand(from, { escape, variables: NOTHING }).text !== from)
      throw new HuskError(
        'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as ' +
          'a workaround',
        { kind: 'invalid' },
      );
    return graph.origin(from, this.#stage);
  }

  #expander(command: StageCommand): Expander {
    const { escape, budget } = this.#context;
    // Values are those before the instruction: `ENV a=1 b=$a` sees the old a.
    const options = { escape, variables: this.scope.variables, budget };
    const read = (text: string) => this.#noted(expand(text, options), command);
    return {
      word: (text) => read(text).text,
      words: (text) => read(text).words,
      set: (name, value) => this.scope.set(name, value),
      spend: (entries) => budget.spend(entries),
    };
  }

  /** Warns of names without a value. */
  #noted(expansion: Expansion, command: StageCommand): Expansion {
    if (!this.#isKnown) return expansion;
    for (const name of expansion.unset) {
      if (this.scope.args.has(name)) continue;
      const known = () => [...this.scope.args.keys(), ...this.scope.variables.keys()];
      const message = () => `Usage of undefined variable '$${name}'${meantName(name, known(), '$')}`;
      this.#context.lint.warn('UndefinedVar', command.range, message, command.comments);
    }
    return expansion;
  }

  /** The instruction as progress shows it: one line, its variables expanded, but for those that hold secrets. */
  #text({ text, name, word }: StageCommand): string {
    const shown = name + text.slice(word.length);
    if (shown.length > MAX_TEXT) return `${shown.slice(0, MAX_TEXT)}…`;
    const { escape, budget } = this.#context;
    const variables = {
      get: (variable: string) => (isSecretName(variable) ? undefined : this.scope.variables.get(variable)),
    };
    try {
      const expanded = expand(shown, { escape, variables, rawQuotes: true, rawEscapes: true, keepUnset: true, budget });
      return expanded.text.length > MAX_TEXT ? `${expanded.text.slice(0, MAX_TEXT)}…` : expanded.text;
    } catch (error) {
      if (error instanceof HuskError && error.kind === 'limit') throw error;
      // A shell's text need not be words of this lexer.
      return shown;
    }
  }
}

/** A default that is not used may be one that cannot be expanded. */
function defaultValue(written: string, expander: Expander, isOverridden: boolean): string {
  try {
    return expander.word(written);
  } catch (error) {
    if (isOverridden && error instanceof HuskError && error.kind === 'invalid') return written;
    throw error;
  }
}
