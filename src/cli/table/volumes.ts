/** The volume commands. This module has data only. */
import type { Command } from '../grammar/command.ts';
import { VOLUME_FILTERS, VOLUME_OPTIONS, VOLUME_PRUNE_FILTERS } from './completions.ts';
import { FORMAT_INSPECT, FORMAT_LIST } from './format-flags.ts';

export const VOLUME_COMMANDS: readonly Command[] = [
  {
    name: 'volume',
    parent: [],
    section: 'management',
    usage: 'COMMAND',
    help: 'Manage volumes',
    flags: [],
    arguments: { minimum: 0 },
  },
  {
    name: 'create',
    parent: ['volume'],
    usage: '[OPTIONS] [VOLUME]',
    help: 'Make a volume',
    flags: [
      {
        name: 'driver',
        short: 'd',
        type: 'string',
        default: 'local',
        help: 'Driver of the volume',
        complete: ['local'],
      },
      { name: 'label', type: 'list', help: 'Label of the volume' },
      { name: 'name', type: 'string', help: 'The old way to give its name', hidden: true },
      {
        name: 'opt',
        short: 'o',
        type: 'map',
        help: 'Option of the driver (type=none, o=bind, device=/host/folder)',
        complete: VOLUME_OPTIONS,
      },
    ],
    arguments: { minimum: 0, maximum: 1, complete: ['none'] },
    load: () => import('../commands/volume-create.ts'),
  },
  {
    name: 'list',
    parent: ['volume'],
    spellings: [['volume', 'ls']],
    usage: '[OPTIONS]',
    help: 'List volumes',
    flags: [
      {
        name: 'filter',
        short: 'f',
        type: 'filter',
        help: 'Show only what meets conditions (e.g. "dangling=true")',
        complete: VOLUME_FILTERS,
      },
      FORMAT_LIST,
      { name: 'quiet', short: 'q', type: 'bool', help: 'Only show names' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/volume-ls.ts'),
  },
  {
    name: 'inspect',
    parent: ['volume'],
    usage: '[OPTIONS] VOLUME [VOLUME...]',
    help: 'Show everything about one or more volumes',
    flags: [FORMAT_INSPECT],
    arguments: { minimum: 1, complete: ['volume'] },
    load: () => import('../commands/inspect.ts'),
  },
  {
    name: 'remove',
    parent: ['volume'],
    spellings: [['volume', 'rm']],
    usage: '[OPTIONS] VOLUME [VOLUME...]',
    help: 'Remove one or more volumes',
    flags: [{ name: 'force', short: 'f', type: 'bool', help: 'Do not mind those that are not there' }],
    arguments: { minimum: 1, complete: ['volume'] },
    load: () => import('../commands/volume-rm.ts'),
  },
  {
    name: 'prune',
    parent: ['volume'],
    usage: '[OPTIONS]',
    help: 'Remove unused volumes',
    flags: [
      { name: 'all', short: 'a', type: 'bool', help: 'Remove those with a name too' },
      {
        name: 'filter',
        type: 'filter',
        help: 'Remove only what meets conditions (e.g. "label=<label>")',
        complete: VOLUME_PRUNE_FILTERS,
      },
      { name: 'force', short: 'f', type: 'bool', help: 'Do not ask first' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/volume-prune.ts'),
  },
];
