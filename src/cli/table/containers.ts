/** The container commands. Data only. */
import type { Command, Flag } from '../command.ts';
import { validateEnv } from '../grammar/validate.ts';
import { CREATE_FLAGS } from './create-flags.ts';
import { FORMAT_INSPECT, FORMAT_LIST } from './format-flags.ts';

const DETACH_KEYS: Flag = { name: 'detach-keys', type: 'string', help: 'Keys that leave the container running (default "ctrl-p,ctrl-q")' };
const SIG_PROXY: Flag = { name: 'sig-proxy', type: 'bool', default: true, help: 'Pass signals on to the process' };
const SIGNAL: Flag = { name: 'signal', short: 's', type: 'string', help: 'Signal to send to the container', complete: 'signal' };
const TIMEOUT: Flag = { name: 'timeout', short: 't', type: 'int', aliases: ['time'], help: 'Time to wait before it is killed (seconds)' };

/** `husk X` is the short form of `husk container X` */
const both = (name: string, ...others: string[][]): Pick<Command, 'name' | 'parent' | 'spellings'> => ({ name, parent: [], spellings: [['container', name], ...others] });
const onlyContainers = { minimum: 1, complete: ['container'] } as const;

export const CONTAINER_COMMANDS: readonly Command[] = [
  { name: 'container', parent: [], section: 'management', usage: 'COMMAND', help: 'Manage containers', flags: [], arguments: { minimum: 0 } },
  {
    ...both('run'),
    section: 'common',
    order: 1,
    usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
    help: 'Create and run a new container from an image',
    flags: [...CREATE_FLAGS, { name: 'detach', short: 'd', type: 'bool', help: "Run in the background and print the container's ID" }, SIG_PROXY],
    arguments: { minimum: 1, complete: ['image', 'none'] },
    interspersed: false,
    runLike: true,
    load: () => import('../commands/run.ts'),
  },
  {
    ...both('exec'),
    section: 'common',
    order: 2,
    usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
    help: 'Execute a command in a running container',
    flags: [
      { name: 'detach', short: 'd', type: 'bool', help: 'Run the command in the background' },
      DETACH_KEYS,
      { name: 'env', short: 'e', type: 'list', help: 'Set environment variables', validate: validateEnv },
      { name: 'env-file', type: 'list', help: 'Read environment variables from a file', complete: 'file' },
      { name: 'interactive', short: 'i', type: 'bool', help: 'Keep STDIN open even if not attached' },
      { name: 'privileged', type: 'bool', help: 'Give the command every right its isolation allows' },
      { name: 'tty', short: 't', type: 'bool', help: 'Allocate a pseudo-TTY' },
      { name: 'user', short: 'u', type: 'string', help: 'User to run as (<name|uid>[:<group|gid>])' },
      { name: 'workdir', short: 'w', type: 'string', help: 'Working directory in the container' },
    ],
    arguments: { minimum: 2, complete: ['container-running', 'none'] },
    interspersed: false,
    load: () => import('../commands/exec.ts'),
  },
  {
    name: 'ps',
    parent: [],
    spellings: [
      ['container', 'ls'],
      ['container', 'list'],
      ['container', 'ps'],
    ],
    section: 'common',
    order: 3,
    usage: '[OPTIONS]',
    help: 'List containers',
    flags: [
      { name: 'all', short: 'a', type: 'bool', help: 'Show all containers (default shows just running)' },
      { name: 'filter', short: 'f', type: 'filter', help: 'Show only what meets conditions', complete: ['id=', 'name=', 'label=', 'status=', 'exited=', 'ancestor=', 'before=', 'since=', 'health=', 'network=', 'volume=', 'isolation='] },
      FORMAT_LIST,
      { name: 'last', short: 'n', type: 'int', default: -1, help: 'Show the last n containers made (in any state)' },
      { name: 'latest', short: 'l', type: 'bool', help: 'Show the last container made (in any state)' },
      { name: 'no-trunc', type: 'bool', help: "Don't truncate output" },
      { name: 'quiet', short: 'q', type: 'bool', help: 'Only show container IDs' },
      { name: 'size', short: 's', type: 'bool', help: 'Show file sizes' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/ps.ts'),
  },
  {
    ...both('create'),
    usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
    help: 'Create a new container',
    flags: CREATE_FLAGS,
    arguments: { minimum: 1, complete: ['image', 'none'] },
    interspersed: false,
    runLike: true,
    load: () => import('../commands/create.ts'),
  },
  {
    ...both('start'),
    usage: '[OPTIONS] CONTAINER [CONTAINER...]',
    help: 'Start one or more stopped containers',
    flags: [
      { name: 'attach', short: 'a', type: 'bool', help: 'Attach STDOUT and STDERR and pass signals on' },
      DETACH_KEYS,
      { name: 'interactive', short: 'i', type: 'bool', help: 'Attach STDIN' },
    ],
    arguments: { minimum: 1, complete: ['container-stopped'] },
    load: () => import('../commands/start.ts'),
  },
  {
    ...both('stop'),
    usage: '[OPTIONS] CONTAINER [CONTAINER...]',
    help: 'Stop one or more running containers',
    flags: [SIGNAL, TIMEOUT],
    arguments: { minimum: 1, complete: ['container-running'] },
    load: () => import('../commands/stop.ts'),
  },
  {
    ...both('restart'),
    usage: '[OPTIONS] CONTAINER [CONTAINER...]',
    help: 'Restart one or more containers',
    flags: [SIGNAL, TIMEOUT],
    arguments: onlyContainers,
    load: () => import('../commands/restart.ts'),
  },
  {
    ...both('kill'),
    usage: '[OPTIONS] CONTAINER [CONTAINER...]',
    help: 'Kill one or more running containers',
    flags: [SIGNAL],
    arguments: { minimum: 1, complete: ['container-running'] },
    load: () => import('../commands/kill.ts'),
  },
  { ...both('wait'), usage: 'CONTAINER [CONTAINER...]', help: 'Wait for one or more containers to stop and print their exit codes', flags: [], arguments: onlyContainers, load: () => import('../commands/wait.ts') },
  {
    ...both('attach'),
    usage: '[OPTIONS] CONTAINER',
    help: "Attach to a running container's standard streams",
    flags: [DETACH_KEYS, { name: 'no-stdin', type: 'bool', help: 'Do not attach STDIN' }, SIG_PROXY],
    arguments: { minimum: 1, maximum: 1, complete: ['container-running'] },
    load: () => import('../commands/attach.ts'),
  },
  {
    ...both('logs'),
    usage: '[OPTIONS] CONTAINER',
    help: 'Fetch the logs of a container',
    flags: [
      { name: 'details', type: 'bool', help: 'Accepted for compatibility; no effect', hidden: true },
      { name: 'follow', short: 'f', type: 'bool', help: 'Go on with what comes' },
      { name: 'since', type: 'string', help: 'From a time on ("2013-01-02T13:23:37Z") or for a time back ("42m")' },
      { name: 'tail', short: 'n', type: 'string', default: 'all', help: 'Number of lines from the end' },
      { name: 'timestamps', short: 't', type: 'bool', help: 'Show the time of each line' },
      { name: 'until', type: 'string', help: 'Up to a time ("2013-01-02T13:23:37Z") or a time back ("42m")' },
    ],
    arguments: { minimum: 1, maximum: 1, complete: ['container'] },
    load: () => import('../commands/logs.ts'),
  },
  {
    ...both('rm', ['container', 'remove']),
    usage: '[OPTIONS] CONTAINER [CONTAINER...]',
    help: 'Remove one or more containers',
    flags: [
      { name: 'force', short: 'f', type: 'bool', help: 'Remove it even while it runs (with SIGKILL)' },
      { name: 'link', short: 'l', type: 'bool', help: 'Remove the link of that name' },
      { name: 'volumes', short: 'v', type: 'bool', help: 'Remove its anonymous volumes too' },
    ],
    arguments: onlyContainers,
    load: () => import('../commands/rm.ts'),
  },
  { ...both('rename'), usage: 'CONTAINER NEW_NAME', help: 'Rename a container', flags: [], arguments: { minimum: 2, maximum: 2, complete: ['container', 'none'] }, load: () => import('../commands/rename.ts') },
  {
    name: 'inspect',
    parent: ['container'],
    usage: '[OPTIONS] CONTAINER [CONTAINER...]',
    help: 'Show everything about one or more containers',
    flags: [FORMAT_INSPECT, { name: 'size', short: 's', type: 'bool', help: 'Show file sizes' }],
    arguments: onlyContainers,
    load: () => import('../commands/inspect.ts'),
  },
  {
    ...both('top'),
    usage: 'CONTAINER [ps OPTIONS]',
    help: 'Show the running processes of a container',
    flags: [],
    arguments: { minimum: 1, complete: ['container-running', 'none'] },
    interspersed: false,
    load: () => import('../commands/top.ts'),
  },
  { ...both('pause'), usage: 'CONTAINER [CONTAINER...]', help: 'Pause all processes of one or more containers', flags: [], arguments: { minimum: 1, complete: ['container-running'] }, load: () => import('../commands/pause.ts') },
  { ...both('unpause'), usage: 'CONTAINER [CONTAINER...]', help: 'Let the processes of one or more containers go on', flags: [], arguments: onlyContainers, load: () => import('../commands/unpause.ts') },
  {
    ...both('export'),
    usage: '[OPTIONS] CONTAINER',
    help: "Write a container's file system as a tar archive",
    flags: [{ name: 'output', short: 'o', type: 'string', help: 'Write to a file instead of STDOUT', complete: 'file' }],
    arguments: { minimum: 1, maximum: 1, complete: ['container'] },
    load: () => import('../commands/export.ts'),
  },
  {
    name: 'prune',
    parent: ['container'],
    usage: '[OPTIONS]',
    help: 'Remove all stopped containers',
    flags: [
      { name: 'filter', type: 'filter', help: 'Remove only what meets conditions (e.g. "until=24h")', complete: ['until=', 'label='] },
      { name: 'force', short: 'f', type: 'bool', help: 'Do not ask first' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/container-prune.ts'),
  },
];
