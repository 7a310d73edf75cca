/** All commands, and the lookup of a command by its words. */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Command } from '../grammar/command.ts';
import type { Flag } from '../grammar/flag.ts';
import { BUILD_COMMANDS } from './builds.ts';
import { CONTAINER_COMMANDS } from './containers.ts';
import { IMAGE_COMMANDS } from './images.ts';
import { MANIFEST_COMMANDS } from './manifests.ts';
import { NETWORK_COMMANDS } from './networks.ts';
import { SYSTEM_COMMANDS } from './system.ts';
import { VOLUME_COMMANDS } from './volumes.ts';

export const COMMANDS: readonly Command[] = [
  ...CONTAINER_COMMANDS,
  ...IMAGE_COMMANDS,
  ...MANIFEST_COMMANDS,
  ...BUILD_COMMANDS,
  ...VOLUME_COMMANDS,
  ...NETWORK_COMMANDS,
  ...SYSTEM_COMMANDS,
];

/** flags before the command's name */
export const GLOBAL_FLAGS: readonly Flag[] = [
  {
    name: 'config',
    type: 'string',
    help: 'husk\'s config file (default "~/.config/husk/config.json"), or the folder of Docker\'s client config (default "~/.docker")',
    complete: 'file',
  },
  { name: 'data-root', type: 'string', help: 'Folder of images, containers and volumes', complete: 'file' },
  {
    name: 'context',
    short: 'c',
    type: 'string',
    help: 'The context there is: "default"',
    validate: onlyHere,
    hidden: true,
  },
  { name: 'debug', short: 'D', type: 'bool', help: 'Show the causes of errors' },
  { name: 'host', short: 'H', type: 'list', help: 'No daemon to connect to', validate: onlyHere, hidden: true },
  {
    name: 'log-level',
    short: 'l',
    type: 'string',
    help: 'Taken, as husk logs nothing but warnings and errors',
    validate: logLevel,
    hidden: true,
  },
  // These flags are about a connection to a daemon, which husk does not have.
  { name: 'tls', type: 'bool', help: 'Taken, as there is no daemon to connect to', hidden: true },
  { name: 'tlscacert', type: 'string', help: 'Taken, as there is no daemon to connect to', hidden: true },
  { name: 'tlscert', type: 'string', help: 'Taken, as there is no daemon to connect to', hidden: true },
  { name: 'tlskey', type: 'string', help: 'Taken, as there is no daemon to connect to', hidden: true },
  { name: 'tlsverify', type: 'bool', help: 'Taken, as there is no daemon to connect to', hidden: true },
  { name: 'version', short: 'v', type: 'bool', help: 'Print the version and quit' },
];

/** Refuses values of --host and --context: work that is sent to another machine by name is never done on this one. */
function onlyHere(value: string): void {
  if (value !== 'default')
    throw new HuskError(`${value}: husk has no daemon to connect to, it runs containers on this machine`, {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: 'leave out -H, --host, --context',
    });
}

function logLevel(value: string): void {
  if (!['debug', 'info', 'warn', 'error', 'fatal'].includes(value))
    throw new Error('not one of "debug", "info", "warn", "error", "fatal"');
}

/** @returns every spelling of a command, the forms `husk container X` first, as in Docker's "Aliases" */
export function spellings(command: Command): string[][] {
  return [...(command.spellings ?? []).map((words) => [...words]), [...command.parent, command.name]];
}

const BY_SPELLING = new Map(
  COMMANDS.flatMap((command) => spellings(command).map((words) => [words.join(' '), command] as const)),
);

export function findCommand(words: readonly string[]): Command | undefined {
  return BY_SPELLING.get(words.join(' '));
}

/** @returns the commands of a group, by their name in it; for [] those of the root */
export function subcommands(group: readonly string[]): { name: string; command: Command }[] {
  const found = new Map<Command, string>();
  for (const command of COMMANDS) {
    for (const words of spellings(command)) {
      if (
        words.length === group.length + 1 &&
        group.every((word, index) => words[index] === word) &&
        !found.has(command)
      )
        found.set(command, words.at(-1)!);
    }
  }
  return [...found].map(([command, name]) => ({ name, command })).sort((a, b) => (a.name < b.name ? -1 : 1));
}
