/** Help pages and usage texts in Docker's style, from the command table. The functions are pure: they return text. */
import type { Command } from './grammar/command.ts';
import type { Flag, FlagType } from './grammar/flag.ts';
import { COMMANDS, GLOBAL_FLAGS, spellings, subcommands } from './table/table.ts';

/** characters of a line where the terminal does not report its width */
const DEFAULT_WIDTH = 80;

/** the word in a flag's column, as pflag derives it from the type */
export const TYPE_WORDS: Record<FlagType, string> = {
  bool: '',
  string: 'string',
  int: 'int',
  uint16: 'uint16',
  duration: 'duration',
  bytes: 'bytes',
  'memory-swap': 'bytes',
  decimal: 'decimal',
  list: 'list',
  strings: 'strings',
  map: 'map',
  ulimit: 'ulimit',
  mount: 'mount',
  network: 'network',
  filter: 'filter',
};

/** @returns the text of `Usage:  husk run [OPTIONS] IMAGE …` without the prefix */
export function usageLine(command: Command, spelling: string): string {
  return `${spelling} ${command.usage}`;
}

/** @param spelling the command as typed, with `husk` in front */
export function commandHelp(command: Command, spelling: string, width = DEFAULT_WIDTH): string {
  const parts = [`Usage:  ${usageLine(command, spelling)}`, command.help];
  const all = spellings(command);
  if (all.length > 1) parts.push(`Aliases:\n  ${all.map((words) => ['husk', ...words].join(' ')).join(', ')}`);
  if (!command.load) {
    const group = [...command.parent, command.name];
    parts.push(
      `Commands:\n${commandRows(subcommands(group).filter((each) => !each.command.hidden))}`,
      `Run '${spelling} COMMAND --help' for more information on a command.`,
    );
    return `${parts.join('\n\n')}\n`;
  }
  if (command.flags.some((flag) => !flag.hidden)) parts.push(`Options:\n${flagRows(withHelp(command.flags), width)}`);
  return `${parts.join('\n\n')}\n`;
}

/** Adds `--help`, which Docker lists only where `-h` means something else. */
function withHelp(flags: readonly Flag[]): readonly Flag[] {
  return flags.some((flag) => flag.short === 'h')
    ? [...flags, { name: 'help', type: 'bool', help: 'Print usage' }]
    : flags;
}

export function rootHelp(width = DEFAULT_WIDTH): string {
  const shown = subcommands([]).filter(({ command }) => !command.hidden);
  const common = shown
    .filter(({ command }) => command.section === 'common')
    .sort((a, b) => (a.command.order ?? 0) - (b.command.order ?? 0));
  const management = shown.filter(({ command }) => command.section === 'management');
  const plain = shown.filter(({ command }) => command.section === undefined || command.section === 'plain');
  // All three lists have one width, as in Docker.
  const pad = Math.max(11, ...shown.map(({ name }) => name.length));
  return [
    'Usage:  husk [OPTIONS] COMMAND',
    'Containers in virtual machines or user namespaces, without root and without a daemon',
    `Common Commands:\n${commandRows(common, pad)}`,
    `Management Commands:\n${commandRows(management, pad)}`,
    `Commands:\n${commandRows(plain, pad)}`,
    `Global Options:\n${flagRows(GLOBAL_FLAGS, width)}`,
    "Run 'husk COMMAND --help' for more information on a command.\n",
  ].join('\n\n');
}

function commandRows(
  rows: readonly { name: string; command: Command }[],
  pad = Math.max(11, ...rows.map(({ name }) => name.length)),
): string {
  return rows.map(({ name, command }) => `  ${name.padEnd(pad)} ${command.help}`).join('\n');
}

/** Formats pflag's columns: `  -s, --long type   help`, with the help wrapped at `width`. */
export function flagRows(flags: readonly Flag[], width: number): string {
  const rows = [...flags]
    .filter((flag) => !flag.hidden)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((flag) => {
      const type = TYPE_WORDS[flag.type];
      return {
        left: `${flag.short === undefined ? '      ' : `  -${flag.short}, `}--${flag.name}${type === '' ? '' : ` ${type}`}`,
        right: flag.help + defaultText(flag),
      };
    });
  const column = Math.max(...rows.map((row) => row.left.length)) + 3;
  const room = Math.max(width - column, 24);
  return rows
    .map(({ left, right }) => left.padEnd(column) + wrap(right, room).join(`\n${' '.repeat(column)}`))
    .join('\n');
}

/** @returns ` (default …)`, or nothing */
export function defaultText(flag: Flag): string {
  if (flag.default === undefined || flag.default === false || flag.default === '') return '';
  if (flag.type === 'duration') return ` (default ${flag.default === 0 ? '0s' : flag.default})`;
  if (typeof flag.default === 'string') return ` (default ${JSON.stringify(flag.default)})`;
  return flag.default === 0 ? '' : ` (default ${flag.default})`;
}

/** Wraps a text at spaces; a line break in the text stays one. */
export function wrap(text: string, room: number): string[] {
  return text.split('\n').flatMap((line) => {
    const lines: string[] = [];
    let rest = line;
    while (rest.length > room) {
      let cut = rest.lastIndexOf(' ', room);
      if (cut <= 0) cut = rest.indexOf(' ', room);
      if (cut <= 0) break;
      lines.push(rest.slice(0, cut).trimEnd());
      rest = rest.slice(cut).trimStart();
    }
    return [...lines, rest];
  });
}

/** @returns names of commands that may have been meant, for "did you mean" */
export function commandNames(group: readonly string[]): string[] {
  return group.length === 0
    ? COMMANDS.filter((command) => !command.hidden).flatMap((command) =>
        spellings(command)
          .filter((words) => words.length === 1)
          .map((words) => words[0]!),
      )
    : subcommands(group).map(({ name }) => name);
}
