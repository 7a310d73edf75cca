/**
 * What a command is: one declarative record from which parsing, help, error texts and shell completion all come.
 * The records themselves are in `table/`; what a command does is in `commands/`, one file each, loaded when it runs.
 */
import type { Engine, Finding } from '../../engine/contract.ts';
import type { FlagSet } from './flag-set.ts';
import type { Completion, Flag } from './flag.ts';

interface Argument {
  minimum: number;
  /** a flag that stands for all of them: with it there are none */
  unless?: string;
  /** absent: no bound */
  maximum?: number;
  /** for each position; the last one repeats */
  complete?: readonly Completion[];
}

/** Where a command stands in `husk --help`. */
type Section = 'common' | 'management' | 'plain';

export interface Command {
  name: string;
  /** the words before it: [] for `husk run`, ['container'] for `husk container ls` */
  parent: readonly string[];
  /** other full spellings of the same command, e.g. ['container', 'list'], ['ps'] */
  spellings?: readonly (readonly string[])[];
  /** words after the name in the usage line, e.g. `[OPTIONS] IMAGE [COMMAND] [ARG...]` */
  usage: string;
  help: string;
  section?: Section;
  /** place among the common commands */
  order?: number;
  hidden?: boolean;
  flags: readonly Flag[];
  arguments: Argument;
  /** false: the first argument ends the flags (run, create, exec, top) */
  interspersed?: boolean;
  /** failures of this command exit with 125 and name its help, as `docker run` does */
  runLike?: boolean;
  /** absent for a group such as `husk container` */
  load?: () => Promise<{ run(invocation: Invocation): Promise<number> }>;
}

/** Everything a command may touch. Tests give their own. */
export interface Context {
  stdin: NodeJS.ReadStream;
  stdout: Output;
  stderr: Output;
  env: NodeJS.ProcessEnv;
  /** `--config` and `--data-root` as typed */
  globals: { configFile?: string; dataRoot?: string };
  /** opened on first use; closed by main */
  engine(): Promise<Engine>;
  /** looks for damage, without the engine */
  check(options: { repair: boolean; stop: boolean }): AsyncIterable<Finding>;
  /** ms since the epoch */
  now(): number;
}

/** A stream to the person, which may be a terminal. */
export interface Output {
  write(bytes: string | Uint8Array): boolean;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  once(event: 'drain', listener: () => void): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

export interface Invocation {
  command: Command;
  /** as typed: `husk ps`, `husk container ls` */
  spelling: string;
  flags: FlagSet;
  arguments: string[];
  context: Context;
}
