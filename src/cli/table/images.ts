/** The image commands. This module has data only. */
import type { Command } from '../grammar/command.ts';
import type { Flag } from '../grammar/flag.ts';
import { IMAGE_FILTERS, IMAGE_PRUNE_FILTERS, PLATFORMS, SEARCH_FILTERS } from './completions.ts';
import { FORMAT_INSPECT, FORMAT_LIST } from './format-flags.ts';

const PLATFORM: Flag = {
  name: 'platform',
  type: 'string',
  help: 'Platform of the image (os/arch[/variant])',
  env: 'DOCKER_DEFAULT_PLATFORM',
  complete: PLATFORMS,
};
/** `--platform` of commands about local images, which has no default from the environment */
const PLATFORM_HERE: Flag = {
  name: 'platform',
  type: 'string',
  help: 'The platform that the image must have (os[/arch[/variant]])',
  complete: PLATFORMS,
};
const TRUST: Flag = {
  name: 'disable-content-trust',
  type: 'bool',
  default: true,
  help: 'Accepted for compatibility; no effect',
  hidden: true,
};
const both = (name: string, ...others: string[][]): Pick<Command, 'name' | 'parent' | 'spellings'> => ({
  name,
  parent: [],
  spellings: [['image', name], ...others],
});

export const IMAGE_COMMANDS: readonly Command[] = [
  {
    name: 'image',
    parent: [],
    section: 'management',
    usage: 'COMMAND',
    help: 'Manage images',
    flags: [],
    arguments: { minimum: 0 },
  },
  {
    ...both('pull'),
    section: 'common',
    order: 5,
    usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
    help: 'Download an image from a registry',
    flags: [
      { name: 'all-tags', short: 'a', type: 'bool', help: 'Download every tag of the repository' },
      TRUST,
      PLATFORM,
      { name: 'quiet', short: 'q', type: 'bool', help: 'Show nothing but the name' },
    ],
    arguments: { minimum: 1, maximum: 1, complete: ['image'] },
    load: () => import('../commands/pull.ts'),
  },
  {
    ...both('push'),
    section: 'common',
    order: 6,
    usage: '[OPTIONS] NAME[:TAG]',
    help: 'Upload an image to a registry',
    flags: [
      { name: 'all-tags', short: 'a', type: 'bool', help: 'Upload every tag of the repository' },
      TRUST,
      PLATFORM_HERE,
      { name: 'quiet', short: 'q', type: 'bool', help: 'Show nothing but the name' },
    ],
    arguments: { minimum: 1, maximum: 1, complete: ['image'] },
    load: () => import('../commands/push.ts'),
  },
  {
    name: 'search',
    parent: [],
    section: 'common',
    order: 10,
    usage: '[OPTIONS] TERM',
    help: 'Search a registry for images',
    flags: [
      { name: 'filter', short: 'f', type: 'filter', help: 'Show only what meets conditions', complete: SEARCH_FILTERS },
      FORMAT_LIST,
      { name: 'limit', type: 'int', help: 'Number of results at most (default 25)' },
      { name: 'no-trunc', type: 'bool', help: "Don't truncate output" },
    ],
    arguments: { minimum: 1, maximum: 1 },
    load: () => import('../commands/search.ts'),
  },
  {
    name: 'images',
    parent: [],
    spellings: [
      ['image', 'ls'],
      ['image', 'list'],
    ],
    section: 'common',
    order: 7,
    usage: '[OPTIONS] [REPOSITORY[:TAG]]',
    help: 'List images',
    flags: [
      { name: 'all', short: 'a', type: 'bool', help: 'Show all images, those without a name that others build on too' },
      { name: 'digests', type: 'bool', help: 'Show digests' },
      { name: 'filter', short: 'f', type: 'filter', help: 'Show only what meets conditions', complete: IMAGE_FILTERS },
      FORMAT_LIST,
      { name: 'no-trunc', type: 'bool', help: "Don't truncate output" },
      { name: 'quiet', short: 'q', type: 'bool', help: 'Only show image IDs' },
      {
        name: 'tree',
        type: 'bool',
        help: 'Show all names of an image together, and whether it is used (experimental, as in Docker)',
      },
    ],
    arguments: { minimum: 0, maximum: 1, complete: ['image'] },
    load: () => import('../commands/images.ts'),
  },
  {
    name: 'rmi',
    parent: [],
    spellings: [
      ['image', 'rm'],
      ['image', 'remove'],
    ],
    usage: '[OPTIONS] IMAGE [IMAGE...]',
    help: 'Remove one or more images',
    flags: [
      {
        name: 'force',
        short: 'f',
        type: 'bool',
        help: 'Remove it even when it has several names or a stopped container',
      },
      { name: 'no-prune', type: 'bool', help: 'Keep parents without a name' },
      PLATFORM_HERE,
    ],
    arguments: { minimum: 1, complete: ['image'] },
    load: () => import('../commands/rmi.ts'),
  },
  {
    ...both('tag'),
    usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
    help: 'Give an image a further name',
    flags: [],
    arguments: { minimum: 2, maximum: 2, complete: ['image'] },
    load: () => import('../commands/tag.ts'),
  },
  {
    ...both('history'),
    usage: '[OPTIONS] IMAGE',
    help: 'Show how an image was made',
    flags: [
      FORMAT_LIST,
      { name: 'human', short: 'H', type: 'bool', default: true, help: 'Show sizes and times for people' },
      { name: 'no-trunc', type: 'bool', help: "Don't truncate output" },
      PLATFORM_HERE,
      { name: 'quiet', short: 'q', type: 'bool', help: 'Only show image IDs' },
    ],
    arguments: { minimum: 1, maximum: 1, complete: ['image'] },
    load: () => import('../commands/history.ts'),
  },
  {
    ...both('save'),
    usage: '[OPTIONS] IMAGE [IMAGE...]',
    help: 'Write one or more images to a tar archive (to STDOUT by default)',
    flags: [
      { name: 'output', short: 'o', type: 'string', help: 'Write to a file instead of STDOUT', complete: 'file' },
      PLATFORM_HERE,
    ],
    arguments: { minimum: 1, complete: ['image'] },
    load: () => import('../commands/save.ts'),
  },
  {
    ...both('load'),
    usage: '[OPTIONS]',
    help: 'Load images from a tar archive or STDIN',
    flags: [
      { name: 'input', short: 'i', type: 'string', help: 'Read from a file instead of STDIN', complete: 'file' },
      {
        name: 'platform',
        type: 'string',
        help: 'Load only images of this platform (os[/arch[/variant]])',
        complete: PLATFORMS,
      },
      { name: 'quiet', short: 'q', type: 'bool', help: 'Do not show progress' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/load.ts'),
  },
  {
    ...both('import'),
    usage: '[OPTIONS] file|URL|- [REPOSITORY[:TAG]]',
    help: "Make an image of a file system's tar archive",
    flags: [
      { name: 'change', short: 'c', type: 'list', help: 'Apply a Dockerfile instruction to the image' },
      { name: 'message', short: 'm', type: 'string', help: 'Message for the history of the image' },
      { name: 'platform', type: 'string', help: 'Platform of the image (os/arch[/variant])', complete: PLATFORMS },
    ],
    arguments: { minimum: 1, maximum: 2, complete: ['file', 'image'] },
    load: () => import('../commands/import.ts'),
  },
  {
    name: 'inspect',
    parent: ['image'],
    usage: '[OPTIONS] IMAGE [IMAGE...]',
    help: 'Show everything about one or more images',
    flags: [FORMAT_INSPECT, PLATFORM_HERE],
    arguments: { minimum: 1, complete: ['image'] },
    load: () => import('../commands/inspect.ts'),
  },
  {
    name: 'prune',
    parent: ['image'],
    usage: '[OPTIONS]',
    help: 'Remove unused images',
    flags: [
      { name: 'all', short: 'a', type: 'bool', help: 'Remove every image no container uses, those with a name too' },
      {
        name: 'filter',
        type: 'filter',
        help: 'Remove only what meets conditions (e.g. "until=24h")',
        complete: IMAGE_PRUNE_FILTERS,
      },
      { name: 'force', short: 'f', type: 'bool', help: 'Do not ask first' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/image-prune.ts'),
  },
];
