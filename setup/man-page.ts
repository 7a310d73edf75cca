/**
 * Manual pages (man(7), roff) out of the command table: a page for husk and one for each command. Pure: returns text,
 * knows no file. Nothing of the table is believed to be free of roff: every word is escaped.
 */
import type { Command } from '../src/cli/grammar/command.ts';
import type { Flag } from '../src/cli/grammar/flag.ts';
import { defaultText, TYPE_WORDS } from '../src/cli/help.ts';
import { COMMANDS, GLOBAL_FLAGS, spellings, subcommands } from '../src/cli/table/table.ts';

/** What stands at the foot of each page. */
export interface Release {
  version: string;
  /** YYYY-MM-DD */
  date: string;
}

/** A page, or another name of one. */
export interface Page {
  /** the file's name, e.g. `husk-run.1` */
  file: string;
  text: string;
}

/**
 * Text that roff prints as it stands: no request at the start of a line, no escape within one, `-` as the sign that is
 * typed.
 */
export function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(
      /[^\x00-\x7f]/gu,
      (character) => `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
    )
    .replaceAll(/^(?=[.'])/gm, '\\&');
}

/** Lines stay lines. */
const paragraph = (text: string): string => text.split('\n').map(escape).join('\n.br\n');

const bold = (text: string): string => `\\fB${escape(text)}\\fR`;
const italic = (text: string): string => `\\fI${escape(text)}\\fR`;

const pageName = (words: readonly string[]): string => ['husk', ...words].join('-');

function page(words: readonly string[], release: Release, sections: [title: string, body: string][]): Page {
  const name = pageName(words);
  const head = `.TH "${escape(name.toUpperCase())}" 1 "${escape(release.date)}" "husk ${escape(release.version)}" "User commands"`;
  return {
    file: `${name}.1`,
    text: `${[head, ...sections.filter(([, body]) => body !== '').map(([title, body]) => `.SH ${title}\n${body}`)].join('\n')}\n`,
  };
}

function options(flags: readonly Flag[]): string {
  return [...flags]
    .filter((flag) => !flag.hidden)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((flag) => {
      const type = TYPE_WORDS[flag.type];
      const names = [...(flag.short === undefined ? [] : [bold(`-${flag.short}`)]), bold(`--${flag.name}`)].join(', ');
      return `.TP\n${names}${type === '' ? '' : ` ${italic(type)}`}\n${paragraph(flag.help + defaultText(flag))}`;
    })
    .join('\n');
}

function commandList(group: readonly string[]): string {
  return subcommands(group)
    .filter(({ command }) => !command.hidden)
    .map(({ command, name }) => `.TP\n.BR ${escape(pageName([...group, name]))} (1)\n${paragraph(command.help)}`)
    .join('\n');
}

const ownWords = (command: Command): string[] => [...command.parent, command.name];

function commandPage(command: Command, release: Release): Page {
  const own = ownWords(command);
  const others = spellings(command).filter((words) => words.join(' ') !== own.join(' '));
  const parents = [['husk'], ...(command.parent.length > 0 ? [['husk', ...command.parent]] : [])];
  return page(own, release, [
    ['NAME', `${escape(pageName(own))} \\- ${escape(command.help)}`],
    [
      'SYNOPSIS',
      [
        `${bold(['husk', ...own].join(' '))} ${escape(command.usage)}`,
        ...others.map((words) => `${bold(['husk', ...words].join(' '))} ${escape(command.usage)}`),
      ].join('\n.br\n'),
    ],
    ['COMMANDS', command.load ? '' : commandList(own)],
    ['OPTIONS', options(command.flags)],
    ['SEE ALSO', parents.map((words) => `.BR ${escape(words.join('-'))} (1)`).join(',\n')],
  ]);
}

function rootPage(release: Release): Page {
  return page([], release, [
    ['NAME', 'husk \\- containers in virtual machines or user namespaces, without root and without a daemon'],
    ['SYNOPSIS', `${bold('husk')} [OPTIONS] COMMAND`],
    [
      'DESCRIPTION',
      [
        'Runs any OCI image as an ordinary user, with the commands and flags of Docker: each container in a small virtual machine of its own where',
        'the host has a KVM that is fit, else in user namespaces. There is no daemon: one supervisor process stands beside each running container.',
        `${bold('husk doctor')} says what this machine can do, and what to change.`,
      ]
        .map((line) => (line.startsWith('\\f') ? line : escape(line)))
        .join('\n'),
    ],
    ['OPTIONS', options(GLOBAL_FLAGS)],
    ['COMMANDS', commandList([])],
    [
      'ENVIRONMENT',
      [
        ['HUSK_DATA_ROOT', 'The folder of images, containers and volumes.'],
        ['XDG_DATA_HOME', 'Its parent where HUSK_DATA_ROOT is not set; ~/.local/share by default.'],
        ['XDG_RUNTIME_DIR', 'The parent of the folder with the sockets of running containers.'],
        [
          'HUSK_TRACE',
          'A file to which each process of a command appends its timeline, in the trace event format of Chrome.',
        ],
      ]
        .map(([name, meaning]) => `.TP\n.B ${escape(name!)}\n${escape(meaning!)}`)
        .join('\n'),
    ],
    ['FILES', `.TP\n.I ${escape('~/.config/husk/config.json')}\nThe configuration.`],
  ]);
}

/** All pages, by file name. Another spelling of a command (`husk container run`) is a page that names the first. */
export function manualPages(release: Release): Page[] {
  const shown = COMMANDS.filter((command) => !command.hidden);
  const pages = [rootPage(release), ...shown.map((command) => commandPage(command, release))];
  const taken = new Set(pages.map(({ file }) => file));
  for (const command of shown)
    for (const words of spellings(command)) {
      const file = `${pageName(words)}.1`;
      if (taken.has(file)) continue;
      taken.add(file);
      pages.push({ file, text: `.so man1/${pageName(ownWords(command))}.1\n` });
    }
  return pages.sort((a, b) => (a.file < b.file ? -1 : 1));
}
