/**
 * What a Dockerfile becomes: stages of operations, in which every word is expanded and nothing of the grammar is left.
 * The rooms of a build speak to each other in these types: the planner makes them, the copy algebra, the sandbox and
 * the keys read them. Types only, but for the error of a build.
 */
import { HuskError, type ErrorKind } from '../../errors.ts';
import type { ImageConfig, Platform } from '../store/contract.ts';

/** Lines of the Dockerfile, counted from 1, both included. */
export interface SourceRange {
  start: number;
  end: number;
}

/** A build that a Dockerfile's own line makes impossible. The command line shows the lines around its range. */
export class BuildError extends HuskError {
  readonly range: SourceRange | undefined;

  constructor(message: string, options: { kind: ErrorKind; range?: SourceRange; fix?: string; cause?: unknown }) {
    super(message, options);
    this.range = options.range;
  }
}

/** One warning of the lint, by BuildKit's rule names. */
export interface LintWarning {
  rule: string;
  /** one line, as BuildKit words it */
  message: string;
  /** what the rule is for, one line */
  description: string;
  url: string;
  range: SourceRange;
}

/** Where files of a COPY, an ADD or a mount come from. */
export type Origin =
  /** the build's own context, or the one that `--build-context NAME=` gives */
  | { kind: 'context'; name?: string }
  /** the result of a stage of this build: its index in the Dockerfile */
  | { kind: 'stage'; stage: number }
  /** an image that is none of the stages */
  | { kind: 'image'; reference: string; platform?: Platform };

/** What COPY and ADD read, in the order written. */
export type CopySource =
  /** a path or pattern below the origin's root, cleaned: no leading slash, no `..` left; `.` is the root */
  | {
      kind: 'path';
      path: string;
      /** as written, for messages */
      written: string;
      /** whether it names one file and is no pattern, as the source of a mount. @default false */
      isLiteral?: boolean;
    }
  /** a here-document: a file of this name with these bytes, mode 0644 */
  | { kind: 'inline'; name: string; data: string }
  | { kind: 'url'; url: string }
  | { kind: 'git'; url: string };

interface Step {
  range: SourceRange;
  /** what progress shows behind `[stage 2/7]`: the instruction as written, joined to one line, variables expanded */
  text: string;
  /** `created_by` of the history entry */
  createdBy: string;
  /** whether the step came from a trigger of the base (ONBUILD) */
  onbuild?: boolean;
}

export interface RunMount {
  type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
  /** absolute */
  target: string;
  /** of bind and cache; the context where none is given for bind, nothing for cache */
  from?: Origin;
  /** path below the origin's root, cleaned like that of a COPY. @default '.' */
  source?: string;
  /** @default bind: true, cache: false */
  readOnly?: boolean;
  /** of cache, secret, ssh */
  id?: string;
  sharing?: 'shared' | 'private' | 'locked';
  /** bytes of a tmpfs */
  size?: number;
  required?: boolean;
  /** variable that gets the secret's value, instead of or beside the file */
  env?: string;
  /** permission bits */
  mode?: number;
  uid?: number;
  gid?: number;
}

export interface RunOperation extends Step {
  kind: 'run';
  /** what is executed: the shell and its words, or the exec form */
  argv: string[];
  /** `NAME=value`: the config's variables, then ARGs in scope, each name once; proxy variables are in `hidden` */
  env: string[];
  /** proxy variables: given to the command, unseen by history and key */
  hidden: string[];
  cwd: string;
  /** as the config has it: `''`, `user`, `uid:gid`, … resolved by whoever runs it */
  user: string;
  network: 'default' | 'none' | 'host';
  insecure: boolean;
  mounts: RunMount[];
  /** here-document files: mounted read-only-executable at /dev/pipes/NAME; only of a lone here-document with `#!` */
  files: { name: string; data: string }[];
}

export interface CopyOperation extends Step {
  kind: 'copy';
  /** COPY or ADD */
  add: boolean;
  origin: Origin;
  sources: CopySource[];
  /** absolute, not cleaned of a trailing slash or `/.` (they mean a folder); links in it are yet to be followed */
  destination: string;
  /** `user[:group]`, names or numbers, yet to be looked up in the stage's files */
  chown?: string;
  /** octal or symbolic text, checked */
  chmod?: string;
  exclude: string[];
  parents: boolean;
  /** of ADD: whether local tars are unpacked (default), URLs too (`--unpack`), or nothing (`--unpack=false`) */
  unpack?: boolean;
  /** `sha256:…` */
  checksum?: string;
  keepGitDir?: boolean;
}

/** Makes the folders of a path that are missing. */
export interface WorkdirOperation extends Step {
  kind: 'workdir';
  path: string;
  /** owner of the folders made, as `user` of a RUN */
  user: string;
}

/** An instruction that changes the config alone. */
export interface ConfigOperation extends Step {
  kind: 'config';
}

export type Operation = RunOperation | CopyOperation | WorkdirOperation | ConfigOperation;

export type PlannedBase =
  | {
      kind: 'scratch';
      /** name of the `--build-context` whose files the stage begins with */
      context?: string;
    }
  | { kind: 'image'; reference: string; platform?: Platform; range: SourceRange }
  | { kind: 'stage'; stage: number };

export interface PlannedStage {
  /** index in the Dockerfile, from 0 */
  index: number;
  /** `AS name`, lower case */
  name: string | undefined;
  /** the FROM line as progress shows it: `FROM docker.io/library/debian:12` */
  text: string;
  range: SourceRange;
  base: PlannedBase;
  /** triggers of the base first */
  operations: Operation[];
  /** the config after the last operation: `rootfs` and `history` are those of the base, yet to be added to */
  config: ImageConfig;
}

export interface BuildPlan {
  /** stages that the target reaches, each behind those it needs */
  stages: PlannedStage[];
  /** index in the Dockerfile of the stage that is built */
  target: number;
  warnings: LintWarning[];
  /** of the Dockerfile, for excerpts */
  lines: string[];
  /** names of build arguments that no ARG takes: one warning */
  unusedArgs?: string[];
  /** what is worth a line, and has no rule of the lint */
  notes?: string[];
}

/** What the planner asks for while it plans. */
export interface PlanOptions {
  buildArgs: ReadonlyMap<string, string>;
  /** name of a stage or its number; undefined: the last */
  target: string | undefined;
  platform: Platform;
  /**
   * names of `--build-context` that stand over stages and images; `image` where it is docker-image://, `layout` where
   * it is an image of another place, whose reference stays as it is
   */
  contexts: ReadonlyMap<
    string,
    | { kind: 'files' }
    | { kind: 'image'; reference: string }
    | { kind: 'layout'; reference: string }
    | { kind: 'stage'; name: string }
  >;
  /** whether the ignore file leaves a path of the context out; the lint warns of a COPY that names it */
  ignored?: (path: string) => boolean;
  /** `--label` and `--annotation` are not the planner's */
  /** config of a base image: pulled by the engine where it is missing; asked once for each reference */
  baseConfig(reference: string, platform: Platform | undefined): Promise<ImageConfig>;
}
