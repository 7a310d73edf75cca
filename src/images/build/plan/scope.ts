/**
 * Variables while a file is planned: what ENV and ARG have set, in the order of the lines, so that the later of two
 * wins. A stage begins with its parent's variables, over which the parent's ENVs are laid once more: an ARG hides an
 * inherited ENV in the stage that has the ARG, and nowhere else.
 */
import { HuskError } from '../../../errors.ts';
import { formatPlatform, hostPlatform } from '../../store/platform.ts';
import type { Platform } from '../../store/contract.ts';
import type { ArgCommand } from '../dockerfile/commands.ts';
import type { SourceRange } from '../operations.ts';

/** characters of all the variables of one stage; the kernel takes 2 MiB of arguments and environment (execve(2)) */
const MAX_SCOPE = 4 << 20;
/** variables of one stage */
const MAX_VARIABLES = 8192;

/** names that `--build-arg` gives to RUN without any ARG, unseen by history and key */
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];
/** names that are settings of the builder, not of the file */
const SETTINGS = /^(?:BUILDKIT_\w*|SOURCE_DATE_EPOCH)$/;

/** @returns whether nobody has to declare this name */
export const isPredefined = (name: string) => PROXIES.includes(name.toUpperCase()) || SETTINGS.test(name);

/** @returns `NAME=value` of the proxies, in both cases as programs look for either */
export function proxyVariables(buildArgs: ReadonlyMap<string, string>): string[] {
  return PROXIES.flatMap((name) => {
    const value = buildArgs.get(name) ?? buildArgs.get(name.toLowerCase());
    return value === undefined ? [] : [`${name}=${value}`, `${name.toLowerCase()}=${value}`];
  });
}

/** @returns variables that FROM sees without any ARG, and a stage with one that has no value */
export function platformVariables(target: Platform, stage: string | undefined): Map<string, string> {
  const variables = new Map<string, string>();
  for (const [prefix, platform] of [
    ['BUILD', hostPlatform()],
    ['TARGET', target],
  ] as const) {
    variables.set(`${prefix}PLATFORM`, formatPlatform(platform));
    variables.set(`${prefix}OS`, platform.os);
    variables.set(`${prefix}OSVERSION`, '');
    variables.set(`${prefix}ARCH`, platform.architecture);
    variables.set(`${prefix}VARIANT`, platform.variant ?? '');
  }
  return variables.set('TARGETSTAGE', stage ?? 'default');
}

/** Variables of a stage. */
export class Scope {
  /** values by name: those of ENV and ARG */
  readonly variables: Map<string, string>;
  /** ARGs in the order of their first lines; those without a value too */
  readonly args: Map<string, string | undefined>;
  #length = 0;

  constructor(parent?: Scope) {
    this.variables = new Map(parent?.variables);
    this.args = new Map(parent?.args);
    for (const [name, value] of this.variables) this.#length += name.length + value.length;
  }

  /** @throws HuskError `limit` */
  set(name: string, value: string): void {
    this.#length += name.length + value.length - (this.variables.get(name)?.length ?? -name.length);
    if (this.#length > MAX_SCOPE)
      throw new HuskError(`the variables of this stage have more than ${MAX_SCOPE} characters`, { kind: 'limit' });
    this.variables.set(name, value);
    if (this.variables.size > MAX_VARIABLES)
      throw new HuskError(`this stage has more than ${MAX_VARIABLES} variables`, { kind: 'limit' });
  }

  setArg(name: string, value: string | undefined): void {
    this.args.set(name, value);
    if (value !== undefined) this.set(name, value);
    if (this.args.size > MAX_VARIABLES)
      throw new HuskError(`this stage has more than ${MAX_VARIABLES} build arguments`, { kind: 'limit' });
  }

  /** @returns what RUN sees: the config's variables in their order, then ARGs; `NAME=value` */
  environment(config: readonly string[]): string[] {
    const names = new Set([...config.map(nameOf), ...this.args.keys()]);
    return [...names].flatMap((name) => {
      const value = this.variables.get(name);
      return value === undefined ? [] : [`${name}=${value}`];
    });
  }

  /** @returns the ARGs as history shows them before a command: `|2 A=1 B=2`, or nothing */
  argsInHistory(): string[] {
    const shown = [...this.args].map(([name, value]) => `${name}=${this.variables.get(name) ?? value ?? ''}`);
    return shown.length === 0 ? [] : [`|${shown.length}`, ...shown];
  }
}

/** @returns the name in `NAME=value` */
export function nameOf(entry: string): string {
  const equals = entry.indexOf('=');
  return equals === -1 ? entry : entry.slice(0, equals);
}

/** @returns the value in `NAME=value` */
export function valueOf(entry: string): string {
  const equals = entry.indexOf('=');
  return equals === -1 ? '' : entry.slice(equals + 1);
}

/**
 * Reads the ARGs before the first FROM.
 * @param expand a value with the variables given
 * @returns variables of FROM lines
 */
export function globalVariables(
  args: readonly ArgCommand[],
  given: ReadonlyMap<string, string>,
  predefined: ReadonlyMap<string, string>,
  expand: (
    text: string,
    variables: ReadonlyMap<string, string>,
    argument: { name: string; range: SourceRange },
  ) => string,
): Map<string, string> {
  const variables = new Map(predefined);
  for (const [name] of predefined) if (given.has(name)) variables.set(name, given.get(name)!);
  for (const command of args)
    for (const { name, value } of command.args) {
      if (given.has(name)) variables.set(name, given.get(name)!);
      else if (value !== undefined) variables.set(name, expand(value, variables, { name, range: command.range }));
    }
  return variables;
}
