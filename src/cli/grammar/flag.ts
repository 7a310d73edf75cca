/** What a flag is: its name, the type of its value, its help, and its completion. This module has types only. */

/** Docker's names for types of values; they stand in the help column. */
export type FlagType =
  | 'bool'
  | 'string'
  | 'int'
  | 'uint16'
  /** Go's durations, stored as nanoseconds */
  | 'duration'
  /** `64m`, `1.5gb`: 1024-based, stored as a number of bytes */
  | 'bytes'
  /** bytes, or -1 */
  | 'memory-swap'
  /** a decimal or a fraction, at most nine decimals */
  | 'decimal'
  | 'list'
  /** several values, also in one word with commas between (CSV, as in Go's pflag) */
  | 'strings'
  | 'map'
  | 'ulimit'
  | 'mount'
  | 'network'
  | 'filter';

/** What shell completion offers for a value or an argument. */
export type Completion =
  | 'container'
  | 'container-running'
  | 'container-stopped'
  | 'image'
  | 'volume'
  | 'network'
  /** networks that can be removed */
  | 'network-own'
  | 'file'
  | 'command'
  | 'signal'
  | 'shell'
  | 'capability'
  /** names of variables in husk's own environment */
  | 'environment'
  /** any object that `inspect` accepts, or of the kind that its --type names */
  | 'object'
  /** a file of this host, or `CONTAINER:` */
  | 'copy'
  | 'none'
  | readonly string[]
  | Combined;

/** Values with parts: `status=exited`, `type=bind,source=…`, `container:NAME`. */
export interface Combined {
  /** whole values */
  words?: readonly string[];
  /** completion of whole values that are looked up */
  also?: Completion;
  /** completions of values, by the key that stands before the mark */
  pairs?: Readonly<Record<string, Completion>>;
  /** the mark between a key and its value. @default = */
  mark?: '=' | ':';
  /** keys of a list that have no value */
  bare?: readonly string[];
  /** whether several pairs may follow one another, with commas between */
  list?: boolean;
}

export interface Flag {
  name: string;
  short?: string;
  type: FlagType;
  /** the default in the form of the help; also the value when the flag is not given */
  default?: boolean | string | number;
  help: string;
  /** older or other spellings, which are parsed but neither completed nor shown */
  aliases?: readonly string[];
  hidden?: boolean;
  /** environment variable that gives the value when the flag is not given */
  env?: string;
  /** Called for each value as it is parsed. Its Error gives the end of `invalid argument … for … flag: …`. */
  validate?: (value: string) => void;
  complete?: Completion;
}
