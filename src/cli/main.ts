/**
 * The entry of the command line: finds the command, parses its flags, runs it, and turns errors into Docker's texts and
 * exit codes. A command's code is loaded only when it runs.
 */
import { resolve } from 'node:path';
import { EXIT_HUSK_FAILED } from '../errors.ts';
import type { Engine } from '../engine/contract.ts';
import { isClientConfig, otherEngine } from './client-config.ts';
import type { Command, Context } from './grammar/command.ts';
import { FlagError, HelpRequest, parseFlags, type FlagSet } from './grammar/flag-set.ts';
import { checkSystem, openEngine, type EngineOptions } from './open-engine.ts';
import { printable } from './output/printable.ts';
import { isTerminal, StandardOutput } from './output/standard-output.ts';
import { COMMANDS_NOT_YET, COMMANDS_REFUSED } from './grammar/not-yet.ts';
import { report } from './report.ts';
import { nearest } from '../notation/nearest.ts';
import { commandHelp, commandNames, rootHelp, usageLine } from './help.ts';
import { findCommand, GLOBAL_FLAGS } from './table/table.ts';
import { nameProcess, openTrace, span } from '../trace.ts';
import { VERSION } from '../version.ts';

/** exit code for a flag that does not parse: 125 for every command, as in Docker's client */
const EXIT_BAD_FLAG = EXIT_HUSK_FAILED;

/** @param overrides other streams or another engine, for tests */
export async function main(argv: readonly string[], overrides: Partial<Context> = {}): Promise<number> {
  const globals: EngineOptions = {};
  let opened: Promise<Engine> | undefined;
  const context: Context = {
    get stdin() {
      return overrides.stdin ?? process.stdin;
    },
    get isInteractive() {
      return overrides.stdin === undefined ? isTerminal(0) : overrides.stdin.isTTY === true;
    },
    stdout: overrides.stdout ?? new StandardOutput('stdout'),
    stderr: overrides.stderr ?? new StandardOutput('stderr'),
    env: overrides.env ?? process.env,
    globals,
    engine: () => (opened ??= opening(context, overrides.engine ?? (() => openEngine(globals)))),
    check: overrides.check ?? ((options) => checkSystem({ ...globals, ...options })),
    now: overrides.now ?? Date.now,
  };
  try {
    openTrace('husk');
    return await dispatch(argv, context, globals);
  } catch (error) {
    return report(error, context, { debug: context.env['HUSK_DEBUG'] !== undefined });
  } finally {
    if (opened && !overrides.engine) await opened.then((engine) => engine[Symbol.dispose]()).catch(() => {});
  }
}

async function dispatch(argv: readonly string[], context: Context, globals: EngineOptions): Promise<number> {
  let parsed: { flags: FlagSet; arguments: string[] };
  try {
    parsed = parseFlags(GLOBAL_FLAGS, argv, { interspersed: false, env: context.env });
  } catch (error) {
    if (error instanceof HelpRequest) return print(context, rootHelp(width(context.stdout)));
    return usageError(error, context, 'husk [OPTIONS] COMMAND [ARG...]', 'husk');
  }
  takeConfig(parsed.flags.optional('config'), context, globals);
  if (parsed.flags.bool('version')) return print(context, `husk version ${VERSION}\n`);
  globals.dataRoot = parsed.flags.optional('data-root');
  if (parsed.flags.bool('debug')) context.env['HUSK_DEBUG'] ??= '1';

  const words = parsed.arguments;
  if (words.length === 0) {
    context.stderr.write(rootHelp(width(context.stderr)));
    return 0;
  }
  return invoke(words, context);
}

const width = (output: { isTTY?: boolean; columns?: number }): number | undefined =>
  output.isTTY ? output.columns : undefined;

/** Runs the command that words name, with the flags and arguments behind it. */
async function invoke(words: readonly string[], context: Context): Promise<number> {
  const found = locate(words);
  if ('unknown' in found) return unknownCommand(found.unknown, found.group, context);
  const { command, spelling, rest } = found;
  nameProcess(spelling);
  if (!command.load) {
    let behind: string[];
    try {
      ({ arguments: behind } = parseFlags(command.flags, rest, { interspersed: false, env: context.env }));
    } catch (error) {
      if (error instanceof HelpRequest) return print(context, commandHelp(command, spelling, width(context.stdout)));
      return usageError(error, context, usageLine(command, spelling), spelling);
    }
    const [name] = behind;
    // Flags of a group may stand before the name of the command: buildx --builder default ls.
    if (name?.startsWith('-')) return unknownCommand(name, [words[0]!], context);
    if (name !== undefined) return invoke([words[0]!, ...behind], context);
    context.stderr.write(commandHelp(command, spelling, width(context.stderr)));
    return 0;
  }
  let invocation: { flags: FlagSet; arguments: string[] };
  try {
    const [own, handedOn] = command.isWrapper ? [[], rest] : [rest, []];
    invocation = parseFlags(command.flags, own, { interspersed: command.interspersed ?? true, env: context.env });
    invocation.arguments.push(...handedOn);
  } catch (error) {
    if (error instanceof HelpRequest) return print(context, commandHelp(command, spelling, width(context.stdout)));
    return usageError(error, context, usageLine(command, spelling), spelling);
  }
  const problem = argumentProblem(command, spelling, invocation);
  if (problem !== undefined) {
    context.stderr.write(`husk: ${problem}\n`);
    return 1;
  }
  try {
    const { run } = await loading(command.load);
    return await run({ command, spelling, flags: invocation.flags, arguments: invocation.arguments, context });
  } catch (error) {
    return report(error, context, {
      runLike: command.runLike ? spelling : undefined,
      debug: context.env['HUSK_DEBUG'] !== undefined,
    });
  }
}

async function loading<T>(load: () => Promise<T>): Promise<T> {
  using _loading = span('load the command');
  return await load();
}

/** Applies `--config`: a folder is Docker's client configuration, a file husk's own. */
function takeConfig(path: string | undefined, context: Context, globals: EngineOptions): void {
  if (path === undefined) return;
  // The readers of the client's configuration look for the folder in this variable.
  if (isClientConfig(path)) context.env['DOCKER_CONFIG'] = resolve(path);
  else globals.configFile = path;
}

/**
 * Opens the engine, and tells a user who has pointed Docker's client to another engine, once after each boot, that husk
 * does not follow that.
 */
async function opening(context: Context, open: () => Promise<Engine>): Promise<Engine> {
  using _opening = span('open the engine');
  const engine = await open();
  const other = otherEngine(context);
  if (other !== undefined && engine.isNews(other))
    context.stderr.write(
      shown(
        `husk: ${other} is not followed: husk has no daemon to connect to, it runs containers on this machine\n`,
        context,
      ),
    );
  return engine;
}

/** Finds the command by its longest spelling. */
function locate(
  words: readonly string[],
): { command: Command; spelling: string; rest: string[] } | { unknown: string; group: string[] } {
  const first = findCommand([words[0]!]);
  if (!first) return { unknown: words[0]!, group: [] };
  if (first.load || words.length === 1 || words[1]!.startsWith('-'))
    return { command: first, spelling: `husk ${words[0]}`, rest: words.slice(1) };
  const second = findCommand(words.slice(0, 2));
  if (second) return { command: second, spelling: `husk ${words[0]} ${words[1]}`, rest: words.slice(2) };
  const why = COMMANDS_REFUSED[words.slice(0, 2).join(' ')];
  if (first.loadOthers && why === undefined) {
    const command = { ...first, load: first.loadOthers, isWrapper: true, arguments: { minimum: 0 } };
    return { command, spelling: `husk ${words[0]}`, rest: words.slice(1) };
  }
  if (words.includes('--help')) return { command: first, spelling: `husk ${words[0]}`, rest: ['--help'] };
  return { unknown: words[1]!, group: [words[0]!] };
}

function unknownCommand(word: string, group: readonly string[], context: Context): number {
  const prefix = ['husk', ...group].join(' ');
  if (COMMANDS_NOT_YET.has([...group, word].join(' '))) {
    context.stderr.write(`Error: '${prefix} ${word}' is not there yet in this husk\n`);
    return 1;
  }
  const full = [...group, word].join(' ');
  const why = Object.hasOwn(COMMANDS_REFUSED, full) ? COMMANDS_REFUSED[full] : undefined;
  if (why !== undefined) {
    context.stderr.write(`Error: '${prefix} ${word}' is refused: ${why}\n`);
    return 1;
  }
  const meant = nearest(word, commandNames(group));
  const lines = [`husk: unknown command: ${prefix} ${word}`];
  if (meant !== undefined) lines.push(`\nDid you mean '${prefix} ${meant}'?`);
  if (group.length > 0) lines.push(`\nUsage:  ${prefix} COMMAND`);
  context.stderr.write(`${shown(lines.join('\n'), context)}\n\nRun '${prefix} --help' for more information\n`);
  return 1;
}

function usageError(error: unknown, context: Context, usage: string, spelling: string): number {
  if (!(error instanceof FlagError)) return report(error, context);
  const hint = error.suggestion === undefined ? '' : `\nDid you mean '${error.suggestion}'?`;
  context.stderr.write(
    `${shown(error.message, context)}${hint}\n\nUsage:  ${usage}\n\nRun '${spelling} --help' for more information\n`,
  );
  return EXIT_BAD_FLAG;
}

/** @returns Docker's text for a wrong number of arguments */
function argumentProblem(
  command: Command,
  spelling: string,
  invocation: { flags: FlagSet; arguments: string[] },
): string | undefined {
  const count = invocation.arguments.length;
  const { unless } = command.arguments;
  const { minimum, maximum } =
    unless !== undefined && invocation.flags.bool(unless) ? { minimum: 0, maximum: 0 } : command.arguments;
  if (count >= minimum && (maximum === undefined || count <= maximum)) return undefined;
  const plural = (number: number): string => `${number} argument${number === 1 ? '' : 's'}`;
  const rule =
    maximum === 0
      ? 'accepts no arguments'
      : maximum === undefined
        ? `requires at least ${plural(minimum)}`
        : maximum === minimum
          ? `requires ${plural(minimum)}`
          : minimum === 0
            ? `requires at most ${plural(maximum)}`
            : `requires at least ${minimum} and at most ${plural(maximum)}`;
  return `'${spelling}' ${rule}\n\nUsage:  ${usageLine(command, spelling)}\n\n${maximum === undefined ? 'See' : 'Run'} '${spelling} --help' for more information`;
}

const shown = (text: string, context: Pick<Context, 'stderr'>): string =>
  printable(text, context.stderr, { lines: true });

function print(context: Context, text: string): number {
  context.stdout.write(text);
  return 0;
}
