/**
 * What a build can be given, as BuildKit's `frontend.outline` has it: arguments, secrets and ssh agents of the stages
 * that the target reaches; and the stages that it can be told to build. Pure.
 */
import type { Dockerfile } from '../dockerfile/parse.ts';
import type { RunMount, SourceRange } from '../operations.ts';

/** An ARG with the value that it has in this build. */
export interface Argument {
  name: string;
  /** of the comment `# NAME description` above it; `''` where there is none */
  description: string;
  value: string;
  range: SourceRange;
}

/** A secret or an agent that RUN steps mount. */
export interface Wanted {
  name: string;
  required: boolean;
  range: SourceRange;
}

export interface BuildParameters {
  /** the target's stage, in lower case; `''` where it has no name */
  name: string;
  description: string;
  /** in the order of the file */
  arguments: Argument[];
  secrets: Wanted[];
  agents: Wanted[];
}

/** A stage that `--target` can name. */
export interface BuildTarget {
  /** `''` where it has none */
  name: string;
  description: string;
  /** whether it is built where no target is named */
  isDefault: boolean;
  /** as written */
  base: string;
  platform: string | undefined;
  range: SourceRange;
}

/** An ARG before the first FROM, and the names that its default uses. */
export type GlobalArgument = Argument & { uses: ReadonlySet<string> };

/**
 * @param values those of this build
 * @param uses names in the defaults that are used
 */
export function globalArguments(
  commands: Dockerfile['globals'],
  values: ReadonlyMap<string, string>,
  uses: ReadonlyMap<string, Set<string>>,
): Map<string, GlobalArgument> {
  const nothing = new Set<string>();
  return new Map(
    commands.flatMap(({ args, range, comments }) =>
      args.map(({ name }): [string, GlobalArgument] => [
        name,
        {
          name,
          description: describe(comments, name),
          value: values.get(name) ?? '',
          range,
          uses: uses.get(name) ?? nothing,
        },
      ]),
    ),
  );
}

/** What one stage declares and uses. */
export class StageParameters {
  readonly #declared = new Map<string, Argument>();
  readonly #used: Set<string>;
  readonly #secrets = new Map<string, Wanted>();
  readonly #agents = new Map<string, Wanted>();

  /** @param used names in the FROM line */
  constructor(used: Iterable<string> = []) {
    this.#used = new Set(used);
  }

  /** Notes an ARG. @param argument undefined where it takes what was said before the first FROM */
  declare(name: string, argument: Argument | undefined): void {
    if (argument) this.#declared.set(name, argument);
    this.#used.add(name);
  }

  /** Notes a mount; of one name the first counts. */
  mount({ type, id, required = false }: RunMount, range: SourceRange): void {
    if ((type !== 'secret' && type !== 'ssh') || id === undefined) return;
    const known = type === 'secret' ? this.#secrets : this.#agents;
    if (!known.has(id)) known.set(id, { name: id, required, range });
  }

  /** Adds to `found` what no stage before had. */
  addTo(found: Found, globals: ReadonlyMap<string, GlobalArgument>): void {
    const used = new Set(this.#used);
    // What is added to a set while it is walked is walked too.
    for (const name of used) {
      const own = this.#declared.get(name);
      const global = own ? undefined : globals.get(name);
      for (const other of global?.uses ?? []) used.add(other);
      const argument = own ?? global;
      if (argument && !found.arguments.has(name)) found.arguments.set(name, argument);
    }
    addMissing(found.secrets, this.#secrets);
    addMissing(found.agents, this.#agents);
  }
}

export interface Found {
  arguments: Map<string, Argument>;
  secrets: Map<string, Wanted>;
  agents: Map<string, Wanted>;
}

function addMissing<T>(found: Map<string, T>, more: ReadonlyMap<string, T>): void {
  for (const [name, value] of more) if (!found.has(name)) found.set(name, value);
}

/** @returns the values in the order of the file */
export const inOrder = <T extends { range: SourceRange }>(found: ReadonlyMap<string, T>): T[] =>
  [...found.values()].toSorted((one, other) => one.range.start - other.range.start);

/** @returns the stages of a file, whatever a build could make of them */
export const targetsOf = ({ stages }: Pick<Dockerfile, 'stages'>): BuildTarget[] =>
  stages.map(({ from: { stage = '', base, platform, range, comments } }, index) => ({
    name: stage,
    description: describe(comments, stage),
    isDefault: index === stages.length - 1,
    base,
    platform,
    range,
  }));

/** @returns what stands behind a name in the comments above its line */
export function describe(comments: readonly string[], name: string): string {
  const comment = name === '' ? undefined : comments.find((each) => each.startsWith(`${name} `));
  return comment?.slice(name.length + 1) ?? '';
}
