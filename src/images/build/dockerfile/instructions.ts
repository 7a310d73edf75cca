/**
 * The table of instructions: of each its form, its flags, and what its arguments mean. `husk build` and `--change` of
 * commit and import both read it. A line goes in, a typed command comes out; variables are expanded later.
 *
 * Source: the Dockerfile reference; error texts are BuildKit's.
 */
import { HuskError } from '../../../errors.ts';
import { goQuote } from '../../../notation/quoting.ts';
import type {
  ArgCommand,
  Command,
  CommandLine,
  CommandOrigin,
  ConfigCommand,
  CopyCommand,
  FromCommand,
  Pair,
  PairsCommand,
  RunCommand,
  Syntax,
} from './commands.ts';
import { readFlags, type FlagKind, type Flags, meant } from './flags.ts';
import { healthcheck } from './healthcheck.ts';
import { hereDocument } from './heredocs.ts';
import type { LogicalLine } from './lines.ts';
import { checkMount } from './mounts.ts';
import { readArguments, splitInstruction, type Form } from './syntax.ts';
import type { Escape } from './words.ts';

interface Row {
  form: Form;
  flags?: Readonly<Record<string, FlagKind>>;
  hereDocuments?: boolean;
  /** whether `commit --change` and `import --change` have it */
  change?: boolean;
  /** how many arguments there are at least */
  least?: 'one' | 'exactly one';
  read(syntax: Syntax, flags: Flags): Fields<Command>;
}
/** A command without what all of them have. */
type Fields<T> = T extends unknown ? Omit<T, keyof CommandOrigin> : never;

const invalid = (message: string) => new HuskError(message, { kind: 'invalid' });
const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;
const NETWORKS = ['default', 'none', 'host'] as const;
const COPY_FLAGS = { chown: 'value', chmod: 'value', link: 'switch', exclude: 'values' } as const;

const lineOf = ({ args, json }: Syntax): CommandLine => ({ words: args, shell: !json });
const only = ({ args }: Syntax) => args[0]!;

const INSTRUCTIONS: Readonly<Record<string, Row>> = {
  FROM: { form: 'blanks', flags: { platform: 'value' }, read: readFrom },
  ARG: { form: 'words', least: 'one', read: readArg },
  RUN: {
    form: 'command',
    flags: { mount: 'values', network: 'value', security: 'value' },
    hereDocuments: true,
    least: 'one',
    read: readRun,
  },
  COPY: {
    form: 'paths',
    flags: { ...COPY_FLAGS, from: 'value', parents: 'switch' },
    hereDocuments: true,
    read: readCopy,
  },
  ADD: {
    form: 'paths',
    flags: { ...COPY_FLAGS, 'keep-git-dir': 'switch', checksum: 'value', unpack: 'switch' },
    hereDocuments: true,
    read: readCopy,
  },
  ENV: { form: 'pairs', change: true, least: 'one', read: readPairs },
  LABEL: { form: 'pairs', change: true, least: 'one', read: readPairs },
  CMD: { form: 'command', change: true, read: (syntax) => ({ kind: 'cmd', line: lineOf(syntax) }) },
  ENTRYPOINT: { form: 'command', change: true, read: (syntax) => ({ kind: 'entrypoint', line: lineOf(syntax) }) },
  SHELL: {
    form: 'command',
    least: 'one',
    read(syntax) {
      if (!syntax.json) throw invalid('SHELL requires the arguments to be in JSON form');
      return { kind: 'shell', words: syntax.args };
    },
  },
  EXPOSE: {
    form: 'blanks',
    change: true,
    least: 'one',
    read: ({ args }) => ({ kind: 'expose', words: args.toSorted() }),
  },
  VOLUME: {
    form: 'paths',
    change: true,
    least: 'one',
    read({ args }) {
      const volumes = args.map((path) => path.trim());
      if (volumes.includes('')) throw invalid('VOLUME specified can not be an empty string');
      return { kind: 'volume', words: volumes };
    },
  },
  USER: {
    form: 'text',
    change: true,
    least: 'exactly one',
    read: (syntax) => ({ kind: 'user', value: only(syntax) }),
  },
  WORKDIR: {
    form: 'text',
    change: true,
    least: 'exactly one',
    read: (syntax) => ({ kind: 'workdir', value: only(syntax) }),
  },
  STOPSIGNAL: {
    form: 'text',
    change: true,
    least: 'exactly one',
    read: (syntax) => ({ kind: 'stopsignal', value: only(syntax) }),
  },
  MAINTAINER: {
    form: 'text',
    least: 'exactly one',
    read: (syntax) => ({ kind: 'maintainer', value: only(syntax) }),
  },
  HEALTHCHECK: {
    form: 'health',
    flags: {
      interval: 'value',
      timeout: 'value',
      'start-period': 'value',
      'start-interval': 'value',
      retries: 'value',
    },
    change: true,
    least: 'one',
    read: (syntax, flags) => ({ kind: 'healthcheck', health: healthcheck(syntax, flags) }),
  },
  ONBUILD: { form: 'instruction', change: true, hereDocuments: true, read: readOnbuild },
};

/** names of the instructions that `--change` has */
export const CHANGES = Object.keys(INSTRUCTIONS).filter((name) => INSTRUCTIONS[name]!.change);

const rowOf = (name: string) => (Object.hasOwn(INSTRUCTIONS, name) ? INSTRUCTIONS[name] : undefined);

/**
 * Reads the form of a line. The bodies of its here-documents are yet to be read.
 * @throws HuskError `invalid`
 */
export function readSyntax(line: Pick<LogicalLine, 'text' | 'range' | 'comments'>, escape: Escape): Syntax {
  const { word, flags, rest } = splitInstruction(line.text);
  const name = word.toUpperCase();
  const row = rowOf(name);
  const common = { name, word, flags, text: line.text.trim(), range: line.range, comments: line.comments };
  if (!row) return { ...common, args: [], json: false, hereDocuments: [] };
  if (row.form === 'instruction') {
    // A trigger of a trigger is refused before it is read: each level would be a call of its own.
    const trigger = rest === '' ? undefined : innerSyntax({ ...line, text: rest }, escape);
    return { ...common, args: [], json: false, hereDocuments: [], trigger };
  }
  return { ...common, ...readArguments(row.form, rest, name, escape), hereDocuments: [] };
}

function innerSyntax(line: Pick<LogicalLine, 'text' | 'range' | 'comments'>, escape: Escape): Syntax {
  const { word } = splitInstruction(line.text);
  if (word.toUpperCase() !== 'ONBUILD') return readSyntax(line, escape);
  const { range, comments } = line;
  return {
    name: 'ONBUILD',
    word,
    flags: [],
    args: [],
    json: false,
    text: line.text,
    range,
    comments,
    hereDocuments: [],
  };
}

/** @returns whether here-documents may stand in this instruction */
export function hasHereDocuments(syntax: Syntax): boolean {
  const inner = syntax.trigger ?? syntax;
  return !inner.json && rowOf(inner.name)?.hereDocuments === true && inner.name !== 'ONBUILD';
}

/**
 * Reads what an instruction means.
 * @throws HuskError `invalid` with BuildKit's text
 */
export function readCommand(syntax: Syntax): Command {
  const { name, word, text, range, comments } = syntax;
  const row = rowOf(name);
  if (!row) throw invalid(`unknown instruction: ${word}${meant(name, Object.keys(INSTRUCTIONS))}`);
  if (row.least && syntax.args.length === 0) throw invalid(`${name} requires ${argumentsText(row.least)}`);
  const flags = readFlags(syntax.flags, row.flags ?? {});
  return { name, word, text, range, comments, ...row.read(syntax, flags) };
}

const argumentsText = (least: NonNullable<Row['least']>) =>
  least === 'one' ? 'at least one argument' : 'exactly one argument';

function readFrom({ args }: Syntax, flags: Flags): Fields<FromCommand> {
  const [base, as, stage] = args;
  const platform = flags.get('platform')?.[0];
  if (args.length === 1) return { kind: 'from', base: base!, stage: undefined, platform };
  if (args.length !== 3 || as!.toUpperCase() !== 'AS') throw invalid('FROM requires either one or three arguments');
  const name = stage!.toLowerCase();
  if (!STAGE_NAME.test(name))
    throw invalid(
      `invalid name for build stage: ${goQuote(stage!)}, name can't start with a number or contain symbols`,
    );
  return { kind: 'from', base: base!, stage: name, written: { stage: stage!, as: as! }, platform };
}

function readArg({ args }: Syntax): Fields<ArgCommand> {
  return {
    kind: 'arg',
    args: args.map((word) => {
      const equals = word.indexOf('=');
      if (equals === 0) throw invalid('ARG names can not be blank');
      return equals === -1
        ? { name: word, value: undefined }
        : { name: word.slice(0, equals), value: word.slice(equals + 1) };
    }),
  };
}

function readPairs({ name, args, legacy = false }: Syntax): Fields<PairsCommand> {
  const pairs: Pair[] = [];
  for (let at = 0; at < args.length; at += 3) {
    if (args[at] === '') throw invalid(`${name} names can not be blank`);
    pairs.push({ name: args[at]!, value: args[at + 1]! });
  }
  return { kind: name === 'ENV' ? 'env' : 'label', pairs, legacy };
}

function readRun(syntax: Syntax, flags: Flags): Fields<RunCommand> {
  const mounts = flags.get('mount') ?? [];
  for (const mount of mounts) checkMount(mount);
  const network = flags.get('network')?.[0] || 'default';
  const security = flags.get('security')?.[0] || 'sandbox';
  if (!NETWORKS.some((mode) => mode === network))
    throw invalid(`unsupported network mode ${goQuote(network)}${meant(network, NETWORKS)}`);
  if (security !== 'sandbox' && security !== 'insecure')
    throw invalid(`unsupported security mode ${goQuote(security)}${meant(security, ['sandbox', 'insecure'])}`);
  return {
    kind: 'run',
    line: lineOf(syntax),
    hereDocuments: syntax.hereDocuments,
    mounts,
    network: network as RunCommand['network'],
    insecure: security === 'insecure',
  };
}

function readCopy({ name, args, hereDocuments }: Syntax, flags: Flags): Fields<CopyCommand> {
  if (args.length === 0) throw invalid(`${name} requires at least two arguments`);
  if (args.length === 1)
    throw invalid(
      `${name} requires at least two arguments, but only one was provided. Destination could not be determined`,
    );
  const destination = args.at(-1)!;
  if (hereDocuments.length > 0 && hereDocument(destination))
    throw invalid(`${name} cannot accept a heredoc as a destination`);
  const value = (flag: string) => flags.get(flag)?.[0] ?? '';
  const isOn = (flag: string) => flags.get(flag)?.[0] === 'true';
  const bodies = [...hereDocuments];
  return {
    kind: 'copy',
    add: name === 'ADD',
    // In shell form the words that open here-documents come in the order of their bodies.
    sources: args.slice(0, -1).map((word) => (bodies.length > 0 && hereDocument(word) ? bodies.shift()! : word)),
    destination,
    from: flags.get('from')?.[0] || undefined,
    chown: value('chown'),
    chmod: value('chmod'),
    checksum: value('checksum'),
    exclude: flags.get('exclude') ?? [],
    parents: isOn('parents'),
    link: isOn('link'),
    keepGitDir: isOn('keep-git-dir'),
    unpack: flags.has('unpack') ? isOn('unpack') : undefined,
  };
}

function readOnbuild({ text, trigger }: Syntax): Fields<ConfigCommand> {
  if (!trigger) throw invalid('ONBUILD requires at least one argument');
  if (trigger.name === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger.name === 'MAINTAINER' || trigger.name === 'FROM')
    throw invalid(`${trigger.name} isn't allowed as an ONBUILD trigger`);
  // What can be read now is refused now, and not when somebody builds on the image.
  readCommand(trigger);
  const bodies = trigger.hereDocuments.map(({ name, content }) => `\n${content}${name}`);
  return {
    kind: 'onbuild',
    value: text.replace(/^onbuild\s*/i, '') + bodies.join(''),
    trigger: trigger.name,
  };
}
