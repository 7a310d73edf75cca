/** Completes a command line from the command table, and with names from the engine. Errors mean no candidates. */
import type { Command, Context } from '../grammar/command.ts';
import type { Combined, Completion, Flag } from '../grammar/flag.ts';
import { findCommand, GLOBAL_FLAGS, subcommands } from '../table/table.ts';

export interface Candidates {
  candidates: { word: string; help?: string }[];
  /** whether the shell should offer files too */
  files: boolean;
}

/** limit of candidates, which are read by a user */
const MAX_CANDIDATES = 500;
const SIGNALS = ['HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'ALRM', 'TERM', 'CONT', 'STOP', 'TSTP', 'WINCH'].map(
  (name) => `SIG${name}`,
);

/** @param words the words after `husk`; the last one is being typed and may be empty */
export async function complete(words: readonly string[], context: Context): Promise<Candidates> {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const { command, group, rest, globals, unknown } = place(before);
  if (unknown) return { candidates: [], files: false };
  const flags = command ? command.flags : globals ? GLOBAL_FLAGS : [];

  // The last word may be a flag's value: `--name VALUE`, `-n VALUE`, `--name=VALUE`.
  const equals = /^(--[^=]+)=(.*)$/.exec(typed);
  const waiting = waitingFlag(command, flags, rest);
  if (waiting !== undefined && waiting !== 'done') return values(waiting.complete, typed, context);
  if (equals) {
    const flag = byName(flags, equals[1]!);
    const inner = await values(flag?.complete, equals[2]!, context);
    return { ...inner, candidates: inner.candidates.map(({ word, help }) => ({ word: `${equals[1]}=${word}`, help })) };
  }
  if (typed.startsWith('-') && waiting !== 'done') {
    const all = flags
      .filter((flag) => !flag.hidden)
      .map((flag) => ({ word: `--${flag.name}`, help: flag.help.split('\n')[0]! }));
    return narrow([...all, { word: '--help', help: 'Print usage' }], typed);
  }
  if (!command?.load) {
    const names = subcommands(group).filter((each) => !each.command.hidden);
    return narrow(
      names.map(({ name, command: each }) => ({ word: name, help: each.help })),
      typed,
    );
  }
  const position = positional(command, rest).length;
  const kinds = command.arguments.complete ?? [];
  if (command.arguments.maximum !== undefined && position >= command.arguments.maximum)
    return { candidates: [], files: false };
  const kind = kinds[Math.min(position, kinds.length - 1)];
  return values(kind === 'object' ? objectKind(command, rest) : kind, typed, context);
}

/** @returns the kind of object that `inspect --type` names, so that `--type volume` completes volumes only */
function objectKind(command: Command, rest: readonly string[]): Completion {
  const typed = rest
    .flatMap((word, index) =>
      word === '--type' ? [rest[index + 1] ?? ''] : word.startsWith('--type=') ? [word.slice('--type='.length)] : [],
    )
    .at(-1);
  const known = command.flags.find(({ name }) => name === 'type')?.complete;
  return typed !== undefined && Array.isArray(known) && known.includes(typed) ? (typed as Completion) : 'object';
}

/** Finds the command in the words typed so far. */
function place(words: readonly string[]): {
  command: Command | undefined;
  group: string[];
  rest: string[];
  globals: boolean;
  unknown?: boolean;
} {
  const index = behindFlags(GLOBAL_FLAGS, words, 0);
  const first = findCommand(words.slice(index, index + 1));
  if (!first) return { command: undefined, group: [], rest: [], globals: true, unknown: index < words.length };
  if (first.load) return { command: first, group: [], rest: words.slice(index + 1), globals: false };
  const next = behindFlags(first.flags, words, index + 1);
  const second = findCommand([words[index]!, ...words.slice(next, next + 1)]);
  if (second?.load) return { command: second, group: [], rest: words.slice(next + 1), globals: false };
  return { command: undefined, group: words.slice(index, index + 1), rest: [], globals: false };
}

/** @returns the index of the first word that is neither a flag nor its value */
function behindFlags(flags: readonly Flag[], words: readonly string[], from: number): number {
  let index = from;
  while (index < words.length && words[index]!.startsWith('-')) {
    const flag = byName(flags, words[index]!);
    index += flag && flag.type !== 'bool' && !words[index]!.includes('=') ? 2 : 1;
  }
  return index;
}

function byName(flags: readonly Flag[], word: string): Flag | undefined {
  const name = word.replace(/=.*$/, '');
  return flags.find(
    (flag) =>
      name === `--${flag.name}` ||
      flag.aliases?.some((alias) => name === `--${alias}`) ||
      (flag.short !== undefined && new RegExp(`^-[a-zA-Z]*${flag.short}$`).test(name)),
  );
}

/**
 * @returns the flag that waits for its value; 'done' after `--` or, where flags must come first, after the first
 * argument
 */
function waitingFlag(
  command: Command | undefined,
  flags: readonly Flag[],
  rest: readonly string[],
): Flag | 'done' | undefined {
  let index = 0;
  while (index < rest.length) {
    const word = rest[index++]!;
    if (word === '--') return 'done';
    if (!word.startsWith('-') || word === '-') {
      if (command?.interspersed === false) return 'done';
      continue;
    }
    const flag = byName(flags, word);
    if (!flag || flag.type === 'bool' || word.includes('=')) continue;
    if (index === rest.length) return flag;
    index++;
  }
  return undefined;
}

function positional(command: Command, rest: readonly string[]): string[] {
  const found: string[] = [];
  for (let index = 0; index < rest.length; index++) {
    const word = rest[index]!;
    if (found.length > 0 && command.interspersed === false) found.push(word);
    else if (word.startsWith('-') && word !== '-') {
      const flag = byName(command.flags, word);
      if (flag && flag.type !== 'bool' && !word.includes('=')) index++;
    } else found.push(word);
  }
  return found;
}

async function values(kind: Completion | undefined, typed: string, context: Context): Promise<Candidates> {
  if (kind === undefined || kind === 'none') return { candidates: [], files: false };
  if (Array.isArray(kind))
    return narrow(
      kind.map((word: string) => ({ word })),
      typed,
    );
  if (typeof kind === 'object') return combined(kind as Combined, typed, context);
  switch (kind) {
    case 'capability': {
      const { ALL_CAPABILITIES } = await import('../../engine/words.ts');
      // --cap-add takes names with and without the prefix; the short form is what users type.
      const names = typed.toUpperCase().startsWith('CAP_')
        ? ALL_CAPABILITIES
        : ALL_CAPABILITIES.map((name) => name.slice('CAP_'.length));
      return narrow(
        ['ALL', ...names].map((word) => ({ word })),
        typed.toUpperCase(),
      );
    }
    case 'environment':
      // A value is never offered, because it may be a secret.
      return typed.includes('=')
        ? { candidates: [], files: false }
        : narrow(
            Object.keys(context.env).map((word) => ({ word })),
            typed,
          );
    case 'object': {
      const found = await Promise.all(
        (['container', 'image', 'network', 'volume'] as const).map((each) => values(each, typed, context)),
      );
      return { candidates: found.flatMap(({ candidates }) => candidates).slice(0, MAX_CANDIDATES), files: false };
    }
    case 'copy': {
      const { candidates } = await values('container', typed, context);
      return { candidates: candidates.map(({ word, help }) => ({ word: `${word}:`, help })), files: true };
    }
    case 'file':
      return { candidates: [], files: true };
    case 'signal':
      return narrow(
        SIGNALS.map((word) => ({ word })),
        typed,
      );
    case 'shell':
      return narrow(
        ['bash', 'zsh', 'fish'].map((word) => ({ word })),
        typed,
      );
    case 'command':
      return narrow(
        subcommands([])
          .filter(({ command }) => !command.hidden)
          .map(({ name, command }) => ({ word: name, help: command.help })),
        typed,
      );
    case 'volume':
      return narrow(
        await fromEngine(async () =>
          (await (await context.engine()).volumes()).list().map(({ name }) => ({ word: name })),
        ),
        typed,
      );
    case 'network':
    case 'network-own':
      return narrow(
        await fromEngine(async () => {
          const networks = await (await context.engine()).networks();
          return networks
            .list(kind === 'network' ? {} : { type: ['custom'] })
            .map(({ name, driver }) => ({ word: name, help: driver }));
        }),
        typed,
      );
    case 'image':
      return narrow(
        await fromEngine(async () =>
          (await context.engine()).images.list().flatMap((image) => image.repoTags.map((word) => ({ word }))),
        ),
        typed,
      );
    default: {
      const wanted = (status: string): boolean =>
        kind === 'container' || (kind === 'container-running') === ['running', 'paused', 'restarting'].includes(status);
      const list = await fromEngine(async () =>
        (await context.engine())
          .list({ all: true })
          .filter((container) => wanted(container.state.status))
          .map((container) => ({ word: container.name, help: container.config.image })),
      );
      return narrow(list, typed);
    }
  }
}

/** Completes a value with parts. @param typed the value so far; it may have pairs before the one that is being typed */
async function combined(
  { words = [], also, pairs = {}, mark = '=', bare = [], list = false }: Combined,
  typed: string,
  context: Context,
): Promise<Candidates> {
  const before = list ? typed.slice(0, typed.lastIndexOf(',') + 1) : '';
  const part = typed.slice(before.length);
  const at = part.indexOf(mark);
  const key = part.slice(0, at);
  if (at !== -1 && Object.hasOwn(pairs, key)) {
    const inner = await values(pairs[key], part.slice(at + 1), context);
    return {
      ...inner,
      candidates: inner.candidates.map(({ word, help }) => ({ word: `${before}${key}${mark}${word}`, help })),
    };
  }
  const used = new Set(before.split(',').map((each) => each.split(mark)[0]));
  const keys = [...Object.keys(pairs).map((each) => `${each}${mark}`), ...bare].filter(
    (each) => !used.has(each.replace(mark, '')),
  );
  const found = also === undefined || before !== '' ? [] : (await values(also, typed, context)).candidates;
  return narrow(
    [...found, ...[...(before === '' ? words : []), ...keys].map((word) => ({ word: `${before}${word}` }))],
    typed,
  );
}

/** Calls the engine; an error gives no candidates, because a shell's prompt is no place for it. */
async function fromEngine(
  list: () => Promise<{ word: string; help?: string }[]>,
): Promise<{ word: string; help?: string }[]> {
  try {
    return await list();
  } catch {
    return [];
  }
}

function narrow(list: { word: string; help?: string }[], typed: string): Candidates {
  // Names come from images and containers, so those with characters that a shell's line editor would act on are left
  // out.
  const clean = list.filter(
    ({ word, help }) => !/[\x00-\x20\x7f-\x9f]/.test(word) && !/[\x00-\x1f\x7f-\x9f]/.test(help ?? ''),
  );
  return { candidates: clean.filter(({ word }) => word.startsWith(typed)).slice(0, MAX_CANDIDATES), files: false };
}
