/** What a flag is: its name, the type of its value, its help, what completion offers for it. Types only. */

/** Docker's names for what a flag's value is; they stand in the help column. */
export type FlagType =
  | 'bool'
  | 'string'
  | 'int'
  | 'uint16'
  /** Go's durations, kept as nanoseconds */
  | 'duration'
  /** `64m`, `1.5gb`: 1024-based, kept as a number of bytes */
  | 'bytes'
  /** bytes, or -1 */
  | 'memory-swap'
  /** a decimal or a fraction, at most nine decimals */
  | 'decimal'
  | 'list'
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
  | 'file'
  | 'command'
  | 'signal'
  | 'shell'
  | 'capability'
  /** names of husk's own environment */
  | 'environment'
  /** whatever `inspect` may be asked about, or what its --type says */
  | 'object'
  /** a file of this host, or `CONTAINER:` */
  | 'copy'
  | 'none'
  | readonly string[]
  | Combined;

/** Values that are put together: `status=exited`, `type=bind,source=…`, `container:NAME`. */
export interface Combined {
  /** whole values */
  words?: readonly string[];
  /** what may stand behind a key and its mark */
  pairs?: Readonly<Record<string, Completion>>;
  /** between a key and its value. @default = */
  mark?: '=' | ':';
  /** keys that stand alone, in a list */
  bare?: readonly string[];
  /** pairs may follow one another, with commas between */
  list?: boolean;
}

export interface Flag {
  name: string;
  short?: string;
  type: FlagType;
  /** as it stands in the help; also the value when the flag is not given */
  default?: boolean | string | number;
  help: string;
  /** older or other spellings: parsed, completed never, shown never */
  aliases?: readonly string[];
  hidden?: boolean;
  /** environment variable that gives the value when the flag is not given */
  env?: string;
  /** called for each value as it is parsed; throws an Error whose message goes into `invalid argument … for … flag:` */
  validate?: (value: string) => void;
  complete?: Completion;
}
