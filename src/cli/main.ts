/**
 * The door of the command line: finds the command, parses its flags, runs it, and turns whatever goes wrong into
 * Docker's texts and exit codes. Holds nothing else; a command's code is loaded only when it runs.
 */
import { writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { causeOf, EXIT_HUSK_FAILED } from '../errors.ts';
import type { Engine } from '../engine/contract.ts';
import { isClientConfig, otherEngine } from './client-config.ts';
import type { Command, Context } from './grammar/command.ts';
import { FlagError, HelpRequest, parseFlags, type FlagSet } from './grammar/flag-set.ts';
import { checkSystem, openEngine, type EngineOptions } from './open-engine.ts';
import { printable } from './output/printable.ts';
import { COMMANDS_NOT_YET } from './grammar/not-yet.ts';
import { EXIT_BROKEN_PIPE, report } from './report.ts';
import { nearest } from './grammar/suggest.ts';
import { commandHelp, commandNames, rootHelp, usageLine } from './help.ts';
import { findCommand, GLOBAL_FLAGS } from './table/table.ts';
import { nameProcess, openTrace, span } from '../trace.ts';
import { VERSION } from '../version.ts';

/** Exit code of a flag that does not parse: Docker's client gives 125 for every command. */
const EXIT_BAD_FLAG = EXIT_HUSK_FAILED;

/** @param overrides for tests: other streams, another engine */
export async function main(argv: readonly string[], overrides: Partial<Context> = {}): Promise<number> {
  const globals: EngineOptions = {};
  let opened: Promise<Engine> | undefined;
  const context: Context = {
    get stdin() {
      return overrides.stdin ?? process.stdin;
    },
    get stdout() {
      return overrides.stdout ?? process.stdout;
    },
    get stderr() {
      return overrides.stderr ?? process.stderr;
    },
    env: overrides.env ?? process.env,
    globals,
    engine: () => (opened ??= opening(context, overrides.engine ?? (() => openEngine(globals)))),
    check: overrides.check ?? ((options) => checkSystem({ ...globals, ...options })),
    now: overrides.now ?? Date.now,
  };
  if (!overrides.stdout) quietBrokenPipes();
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
  const width = (output: { isTTY?: boolean; columns?: number }): number | undefined =>
    output.isTTY ? output.columns : undefined;
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
  const found = locate(words);
  if ('unknown' in found) return unknownCommand(found.unknown, found.group, context);
  const { command, spelling, rest } = found;
  nameProcess(spelling);
  if (!command.load) {
    try {
      parseFlags(command.flags, rest, { interspersed: false, env: context.env });
    } catch (error) {
      if (error instanceof HelpRequest) return print(context, commandHelp(command, spelling, width(context.stdout)));
      return usageError(error, context, usageLine(command, spelling), spelling);
    }
    context.stderr.write(commandHelp(command, spelling, width(context.stderr)));
    return 0;
  }
  let invocation: { flags: FlagSet; arguments: string[] };
  try {
    invocation = parseFlags(command.flags, rest, { interspersed: command.interspersed ?? true, env: context.env });
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

/** A folder is Docker's client configuration, a file husk's own. */
function takeConfig(path: string | undefined, context: Context, globals: EngineOptions): void {
  if (path === undefined) return;
  // what reads the client's configuration looks for it there
  if (isClientConfig(path)) context.env['DOCKER_CONFIG'] = resolve(path);
  else globals.configFile = path;
}

/** Whoever has told Docker's client to use another engine learns, once after each boot, that husk does not. */
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
  if (words.includes('--help')) return { command: first, spelling: `husk ${words[0]}`, rest: ['--help'] };
  return { unknown: words[1]!, group: [words[0]!] };
}

function unknownCommand(word: string, group: readonly string[], context: Context): number {
  const prefix = ['husk', ...group].join(' ');
  if (COMMANDS_NOT_YET.has([...group, word].join(' '))) {
    context.stderr.write(`Error: '${prefix} ${word}' is not there yet in this husk\n`);
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

/** Docker's texts for a wrong number of arguments. */
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

/** `husk ps | head -1` ends quietly, as a C program does; a full disk behind `>` is told. */
function quietBrokenPipes(): void {
  for (const [name, stream] of [
    ['stdout', process.stdout],
    ['stderr', process.stderr],
  ] as const) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(EXIT_BROKEN_PIPE);
      try {
        writeSync(process.stderr.fd, `Error: write /dev/${name}: ${causeOf(error)}\n`);
      } catch {
        // nobody can be told
      }
      process.exit(1);
    });
  }
}
