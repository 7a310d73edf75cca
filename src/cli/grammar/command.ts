/**
 * What a command is: one declarative record from which parsing, help, error texts and shell completion are all derived.
 * The records themselves are in `table/`; the code of a command is in `commands/`, one file each, loaded when it runs.
 */
import type { Engine, Finding } from '../../engine/contract.ts';
import type { FlagSet } from './flag-set.ts';
import type { Completion, Flag } from './flag.ts';

interface Argument {
  minimum: number;
  /** a flag that stands for all arguments; with it there must be none */
  unless?: string;
  /** limit of arguments; absent for none */
  maximum?: number;
  /** completions by position; the last one repeats */
  complete?: readonly Completion[];
}

/** The part of `husk --help` in which a command stands. */
type Section = 'common' | 'management' | 'plain';

export interface Command {
  name: string;
  /** the words before the name: [] for `husk run`, ['container'] for `husk container ls` */
  parent: readonly string[];
  /** other full spellings of the same command, e.g. ['container', 'list'], ['ps'] */
  spellings?: readonly (readonly string[])[];
  /** words after the name in the usage line, e.g. `[OPTIONS] IMAGE [COMMAND] [ARG...]` */
  usage: string;
  help: string;
  section?: Section;
  /** position among the common commands */
  order?: number;
  hidden?: boolean;
  flags: readonly Flag[];
  arguments: Argument;
  /** false where the first argument ends the flags (run, create, exec, top) */
  interspersed?: boolean;
  /** whether failures of this command exit with 125 and name its help, as in `docker run` */
  runLike?: boolean;
  /** what is behind its name is another program's, flags too: no flag is parsed, `--help` neither */
  isWrapper?: boolean;
  /** loads the command's code; absent for a group such as `husk container` */
  load?: () => Promise<CommandCode>;
  /** of a group: loads the wrapper's code for all words that none of its commands has */
  loadOthers?: () => Promise<CommandCode>;
}

interface CommandCode {
  run(invocation: Invocation): Promise<number>;
}

/** Everything outside that a command may use. Tests pass their own. */
export interface Context {
  stdin: NodeJS.ReadStream;
  /**
   * whether stdin is a terminal; unlike `stdin`, this does not create the stream, which costs 4 ms of CPU where there
   * is no terminal
   */
  isInteractive: boolean;
  stdout: Output;
  stderr: Output;
  env: NodeJS.ProcessEnv;
  /** `--config` and `--data-root` as typed */
  globals: { configFile?: string; dataRoot?: string };
  /** Opens the engine on first use; main closes it. */
  engine(): Promise<Engine>;
  /** Checks for damage without the engine. */
  check(options: { repair: boolean; stop: boolean }): AsyncIterable<Finding>;
  /** ms since the epoch */
  now(): number;
}

/** A stream to the user, which may be a terminal. */
export interface Output {
  write(bytes: string | Uint8Array): boolean;
  isTTY?: boolean;
  columns?: number | undefined;
  rows?: number | undefined;
  /** Node's stream, where this is not one itself */
  readonly stream?: NodeJS.WritableStream;
  once(event: 'drain', listener: () => void): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

export interface Invocation {
  command: Command;
  /** the command as typed: `husk ps`, `husk container ls` */
  spelling: string;
  flags: FlagSet;
  arguments: string[];
  context: Context;
}
