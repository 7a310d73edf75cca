/** The commands about husk itself, and those about everything. Data only. */
import type { Command } from '../command.ts';
import { FORMAT_INSPECT, FORMAT_LIST } from './format-flags.ts';

export const SYSTEM_COMMANDS: readonly Command[] = [
  { name: 'system', parent: [], section: 'management', usage: 'COMMAND', help: 'Manage husk', flags: [], arguments: { minimum: 0 } },
  {
    name: 'inspect',
    parent: [],
    usage: '[OPTIONS] NAME|ID [NAME|ID...]',
    help: 'Show everything about containers and images',
    flags: [FORMAT_INSPECT, { name: 'size', short: 's', type: 'bool', help: 'Show file sizes of containers' }, { name: 'type', type: 'string', help: 'Look only among things of this kind', complete: ['container', 'image'] }],
    arguments: { minimum: 1, complete: ['container'] },
    load: () => import('../commands/inspect.ts'),
  },
  {
    name: 'login',
    parent: [],
    section: 'common',
    order: 8,
    usage: '[OPTIONS] [SERVER]',
    help: 'Authenticate to a registry',
    flags: [
      { name: 'password', short: 'p', type: 'string', help: 'Password or access token' },
      { name: 'password-stdin', type: 'bool', help: 'Read the password or access token from STDIN' },
      { name: 'username', short: 'u', type: 'string', help: 'User name' },
    ],
    arguments: { minimum: 0, maximum: 1 },
    load: () => import('../commands/login.ts'),
  },
  { name: 'logout', parent: [], section: 'common', order: 9, usage: '[SERVER]', help: 'Forget the credentials of a registry', flags: [], arguments: { minimum: 0, maximum: 1 }, load: () => import('../commands/logout.ts') },
  { name: 'version', parent: [], section: 'common', order: 11, usage: '[OPTIONS]', help: 'Show the version of husk and of its parts', flags: [FORMAT_INSPECT], arguments: { minimum: 0, maximum: 0 }, load: () => import('../commands/version.ts') },
  { name: 'info', parent: [], spellings: [['system', 'info']], section: 'common', order: 12, usage: '[OPTIONS]', help: 'Show what husk has and what this host can do', flags: [FORMAT_INSPECT], arguments: { minimum: 0, maximum: 0 }, load: () => import('../commands/info.ts') },
  {
    name: 'events',
    parent: [],
    spellings: [['system', 'events']],
    usage: '[OPTIONS]',
    help: 'Show what happens, as it happens',
    flags: [
      { name: 'filter', short: 'f', type: 'filter', help: 'Show only what meets conditions (e.g. "type=container")', complete: ['container=', 'event=', 'image=', 'label=', 'network=', 'type=', 'volume='] },
      { name: 'format', type: 'string', help: "Form of the output:\n'json':             One JSON object a line\n'TEMPLATE':         What a Go template gives", complete: ['json'] },
      { name: 'since', type: 'string', help: 'From a time on ("2013-01-02T13:23:37Z") or for a time back ("42m")' },
      { name: 'until', type: 'string', help: 'Up to a time, and no longer' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/events.ts'),
  },
  { name: 'doctor', parent: [], section: 'common', order: 13, usage: '[OPTIONS]', help: 'Check this host and say what to change', flags: [FORMAT_LIST], arguments: { minimum: 0, maximum: 0 }, load: () => import('../commands/doctor.ts') },
  { name: 'completion', parent: [], usage: 'bash|zsh|fish', help: 'Print a completion script for a shell', flags: [], arguments: { minimum: 1, maximum: 1, complete: ['shell'] }, load: () => import('../commands/completion.ts') },
  { name: 'help', parent: [], usage: '[COMMAND]', help: 'Show the help of a command', flags: [], arguments: { minimum: 0, complete: ['command'] }, hidden: true, load: () => import('../commands/help.ts') },
  { name: '__complete', parent: [], usage: 'WORD...', help: 'What could follow; asked by completion scripts', flags: [], arguments: { minimum: 0 }, hidden: true, interspersed: false, load: () => import('../commands/complete.ts') },
];
