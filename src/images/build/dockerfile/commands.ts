/**
 * What instructions become: first their form, then commands that say what each means. Types only. Variables are still
 * in their words.
 */
import type { ImageConfig } from '../../store/contract.ts';
import type { HereDocument } from './heredocs.ts';
import type { Arguments } from './syntax.ts';
import type { SourceRange } from '../operations.ts';

/** An instruction after its form is read. */
export interface Syntax extends Arguments {
  /** in capitals */
  name: string;
  /** as it was typed */
  word: string;
  flags: string[];
  /** the joined line */
  text: string;
  range: SourceRange;
  comments: string[];
  hereDocuments: HereDocument[];
  /** of ONBUILD */
  trigger?: Syntax;
}

/** What every command has. */
export interface CommandOrigin {
  name: string;
  word: string;
  text: string;
  range: SourceRange;
  comments: string[];
  /** whether the command came from a trigger of a base */
  onbuild?: boolean;
}

export interface CommandLine {
  words: string[];
  /** whether the words are one text for the shell */
  shell: boolean;
}

export interface Pair {
  name: string;
  value: string;
}

export type FromCommand = CommandOrigin & {
  kind: 'from';
  base: string;
  /** lower case */
  stage: string | undefined;
  /** the name and the word AS as they were typed */
  written?: { stage: string; as: string };
  platform: string | undefined;
};
export type ArgCommand = CommandOrigin & { kind: 'arg'; args: { name: string; value: string | undefined }[] };
export type RunCommand = CommandOrigin & {
  kind: 'run';
  line: CommandLine;
  hereDocuments: HereDocument[];
  mounts: string[];
  network: 'default' | 'none' | 'host';
  insecure: boolean;
};
export type CopyCommand = CommandOrigin & {
  kind: 'copy';
  add: boolean;
  sources: (string | HereDocument)[];
  destination: string;
  from: string | undefined;
  chown: string;
  chmod: string;
  checksum: string;
  exclude: string[];
  parents: boolean;
  link: boolean;
  keepGitDir: boolean;
  unpack: boolean | undefined;
};
export type PairsCommand = CommandOrigin & { kind: 'env' | 'label'; pairs: Pair[]; legacy: boolean };
/** Commands that change the config, and nothing else but WORKDIR's folder. */
export type ConfigCommand =
  | PairsCommand
  | (CommandOrigin & { kind: 'cmd' | 'entrypoint'; line: CommandLine })
  | (CommandOrigin & { kind: 'shell' | 'expose' | 'volume'; words: string[] })
  | (CommandOrigin & { kind: 'user' | 'workdir' | 'stopsignal' | 'maintainer'; value: string })
  | (CommandOrigin & { kind: 'onbuild'; value: string; trigger: string })
  | (CommandOrigin & { kind: 'healthcheck'; health: NonNullable<NonNullable<ImageConfig['config']>['Healthcheck']> });
export type Command = FromCommand | ArgCommand | RunCommand | CopyCommand | ConfigCommand;
