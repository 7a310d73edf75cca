/** The commands about builds. This module has data only; ../build-options.ts reads the flags. */
import type { Command } from '../grammar/command.ts';
import type { Flag } from '../grammar/flag.ts';
import { validateEnv, validateLabel } from '../grammar/validate.ts';
import { parseExtraHost } from '../../notation/extra-hosts.ts';
import { BUILD_CACHE_FILTERS, BUILD_OUTPUT, BUILD_SECRET, PLATFORMS, ULIMITS } from './completions.ts';
import { FORMAT_LIST } from './format-flags.ts';

/** What is taken because scripts have it, and changes nothing. */
const taken = (name: string, options: Partial<Flag> = {}): Flag => ({
  name,
  type: 'bool',
  help: 'Accepted for compatibility; no effect',
  hidden: true,
  ...options,
});
/** What is parsed so that it can be refused in one line. */
const refused = (name: string, type: Flag['type'], options: Partial<Flag> = {}): Flag => ({
  name,
  type,
  help: 'Refused',
  hidden: true,
  ...options,
});

/** the flag by which every command of buildx names a builder; there is one */
const BUILDER: Flag = {
  name: 'builder',
  type: 'string',
  help: 'The builder there is: "default"',
  validate: (value) => {
    if (value !== 'default' && value !== '') throw new Error('husk has one builder, "default"');
  },
  hidden: true,
};

const BUILD_FLAGS: readonly Flag[] = [
  {
    name: 'add-host',
    type: 'list',
    help: 'Add a host name and its address (host:ip) to /etc/hosts',
    validate: (text) => void parseExtraHost(text),
  },
  {
    name: 'allow',
    type: 'list',
    help: 'Allow what a Dockerfile may only ask for (network.host, security.insecure)',
    complete: ['network.host', 'security.insecure'],
  },
  { name: 'annotation', type: 'list', help: "Add an annotation to the image's manifest" },
  {
    name: 'build-arg',
    type: 'list',
    help: 'Set build-time variables (NAME takes the value from the environment)',
    validate: validateEnv,
    complete: 'environment',
  },
  {
    name: 'build-context',
    type: 'list',
    help: 'Further context by name (name=FOLDER, URL, repository, docker-image://IMAGE or target:STAGE)',
  },
  refused('attest', 'list'),
  BUILDER,
  {
    name: 'cache-from',
    type: 'list',
    help: 'Build cache to ask for what is not here (IMAGE, type=registry,ref=IMAGE or type=local,src=FOLDER)',
  },
  {
    name: 'cache-to',
    type: 'list',
    help: 'Where to write the build cache (type=registry,ref=IMAGE, type=local,dest=FOLDER or type=inline; mode=min|max)',
  },
  {
    name: 'call',
    type: 'string',
    default: 'build',
    help: 'What to do with the Dockerfile ("build", "check", "outline", "targets"; FORM,format=json)',
    complete: ['build', 'check', 'outline', 'targets'],
  },
  { name: 'cgroup-parent', type: 'string', help: 'Cgroup below which RUN steps run' },
  { name: 'check', type: 'bool', help: 'Look for faults in the Dockerfile, and build nothing' },
  taken('compress'),
  { name: 'cpu-period', type: 'int', help: 'Length of a CPU scheduling period of RUN steps (microseconds)' },
  { name: 'cpu-quota', type: 'int', help: 'CPU time of RUN steps in each period (microseconds)' },
  { name: 'cpu-shares', short: 'c', type: 'int', help: 'CPU weight of RUN steps (relative to others)' },
  { name: 'cpus', type: 'decimal', help: 'Number of CPUs of a RUN step' },
  { name: 'cpuset-cpus', type: 'string', help: 'CPUs on which RUN steps may run (0-3, 0,1)' },
  { name: 'cpuset-mems', type: 'string', help: 'Memory nodes of RUN steps (0-3, 0,1)' },
  refused('device', 'list'),
  taken('disable-content-trust', { default: true }),
  {
    name: 'file',
    short: 'f',
    type: 'string',
    help: 'Name of the Dockerfile (default "PATH/Dockerfile"; "-" for STDIN)',
    complete: 'file',
  },
  taken('force-rm'),
  { name: 'iidfile', type: 'string', help: 'Write the image ID to a file', complete: 'file' },
  {
    name: 'isolation',
    type: 'string',
    default: 'auto',
    help: 'Where RUN steps run (auto, vm, userns)',
    complete: ['auto', 'vm', 'userns'],
  },
  { name: 'label', type: 'list', help: 'Set a label of the image', validate: validateLabel },
  { name: 'load', type: 'bool', help: 'Put the image into the store too, where --output sends the result elsewhere' },
  { name: 'memory', short: 'm', type: 'bytes', help: 'Memory limit of a RUN step' },
  { name: 'memory-swap', type: 'memory-swap', help: 'Memory and swap of a RUN step together (-1: endless)' },
  { name: 'metadata-file', type: 'string', help: 'Write what was built to a file, as JSON', complete: 'file' },
  {
    name: 'network',
    type: 'string',
    default: 'default',
    help: 'Network of the RUN steps (default, none, host)',
    complete: ['default', 'none', 'host'],
  },
  { name: 'no-cache', type: 'bool', help: 'Run every step, and keep the new results for later builds' },
  { name: 'no-cache-filter', type: 'strings', help: 'Run every step of these stages' },
  {
    name: 'output',
    short: 'o',
    type: 'list',
    help: 'Where the result goes (FOLDER, "-" or type=TYPE,dest=FILE; several times)',
    complete: BUILD_OUTPUT,
  },
  {
    name: 'platform',
    type: 'string',
    help: 'Platform of the image (os/arch[/variant]), or several with commas, to be pushed',
    env: 'DOCKER_DEFAULT_PLATFORM',
    complete: PLATFORMS,
  },
  { name: 'print', type: 'string', help: 'As --call, under its old name', hidden: true },
  {
    name: 'progress',
    type: 'string',
    default: 'auto',
    help: 'Form of the progress (auto, tty, plain, rawjson, quiet)',
    env: 'BUILDKIT_PROGRESS',
    complete: ['auto', 'tty', 'plain', 'rawjson', 'quiet'],
  },
  refused('provenance', 'string'),
  { name: 'pull', type: 'bool', help: 'Ask registries for the newest bases, though they are here' },
  { name: 'push', type: 'bool', help: 'Push the image by each of its names (as --output=type=registry)' },
  { name: 'quiet', short: 'q', type: 'bool', help: "Show no progress, and print the image's ID" },
  taken('rm', { default: true }),
  refused('sbom', 'string'),
  {
    name: 'secret',
    type: 'list',
    help: 'Secret for RUN steps (id=ID[,src=FILE|,env=NAME])',
    complete: BUILD_SECRET,
  },
  refused('security-opt', 'strings'),
  { name: 'shm-size', type: 'bytes', help: 'Size of /dev/shm in RUN steps' },
  refused('squash', 'bool'),
  { name: 'ssh', type: 'list', help: 'SSH agent or keys for RUN steps (default, ID=SOCKET or ID=KEY[,KEY])' },
  { name: 'tag', short: 't', type: 'list', help: 'Name of the image (name[:tag])', complete: 'image' },
  { name: 'target', type: 'string', help: 'Stage to build' },
  { name: 'ulimit', type: 'ulimit', help: 'Resource limits of RUN steps (name=soft[:hard])', complete: ULIMITS },
];

/** Flags of the plugin itself stand before the name of its command. */
const group = (name: string, help: string): Command => ({
  name,
  parent: [],
  section: 'management',
  usage: 'COMMAND',
  help,
  flags: [BUILDER, { ...taken('debug'), short: 'D' }],
  arguments: { minimum: 0 },
});

export const BUILD_COMMANDS: readonly Command[] = [
  group('builder', 'Manage builds and their cache'),
  // Docker's plugin, whose words scripts have
  {
    ...group('buildx', 'Manage builds, by the words of the plugin of that name'),
    // The plugin itself has all the other words: bake, imagetools.
    loadOthers: () => import('../commands/buildx.ts'),
  },
  {
    name: 'build',
    parent: [],
    spellings: [
      ['image', 'build'],
      ['builder', 'build'],
      ['buildx', 'build'],
    ],
    section: 'common',
    order: 4,
    usage: '[OPTIONS] PATH | URL | -',
    help: 'Build an image from a Dockerfile',
    flags: BUILD_FLAGS,
    arguments: { minimum: 1, maximum: 1, complete: ['file'] },
    load: () => import('../commands/build.ts'),
  },
  {
    name: 'prune',
    parent: ['builder'],
    spellings: [['buildx', 'prune']],
    usage: '[OPTIONS]',
    help: 'Remove build cache',
    flags: [
      BUILDER,
      { name: 'all', short: 'a', type: 'bool', help: 'Remove all of it, what images share too' },
      {
        name: 'filter',
        type: 'filter',
        help: 'Remove only what meets conditions (e.g. "until=24h")',
        complete: BUILD_CACHE_FILTERS,
      },
      { name: 'force', short: 'f', type: 'bool', help: 'Do not ask first' },
      { name: 'keep-storage', type: 'bytes', help: 'Amount of cache to keep, what was used last first' },
      { name: 'max-used-space', type: 'bytes', help: 'Amount of cache that is not to be exceeded' },
      { name: 'min-free-space', type: 'bytes', help: 'Amount of the disk that is to be free afterwards' },
      { name: 'reserved-space', type: 'bytes', help: 'Amount of cache that may always stay (as --keep-storage)' },
      taken('verbose'),
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/build-prune.ts'),
  },
  {
    name: 'du',
    parent: ['builder'],
    spellings: [['buildx', 'du']],
    usage: '[OPTIONS]',
    help: 'Show what the build cache takes',
    flags: [
      BUILDER,
      {
        name: 'filter',
        type: 'filter',
        help: 'Show only what meets conditions (e.g. "until=24h")',
        complete: BUILD_CACHE_FILTERS,
      },
      { name: 'verbose', type: 'bool', help: 'Show the whole of each step' },
    ],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/build-du.ts'),
  },
  {
    name: 'ls',
    parent: ['builder'],
    spellings: [['buildx', 'ls']],
    usage: '[OPTIONS]',
    help: 'Show the builder there is',
    flags: [BUILDER, FORMAT_LIST, taken('no-trunc')],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/builder-ls.ts'),
  },
  {
    name: 'inspect',
    parent: ['builder'],
    spellings: [['buildx', 'inspect']],
    usage: '[NAME]',
    help: 'Show what the builder is',
    flags: [BUILDER, taken('bootstrap')],
    arguments: { minimum: 0, maximum: 1, complete: [['default']] },
    load: () => import('../commands/builder-inspect.ts'),
  },
  {
    name: 'use',
    parent: ['builder'],
    spellings: [['buildx', 'use']],
    usage: '[OPTIONS] NAME',
    help: 'Choose the builder there is',
    flags: [BUILDER, taken('default'), taken('global')],
    arguments: { minimum: 1, maximum: 1, complete: [['default']] },
    load: () => import('../commands/builder-use.ts'),
  },
  {
    name: 'version',
    parent: ['buildx'],
    usage: '',
    help: 'Show the version',
    flags: [],
    arguments: { minimum: 0, maximum: 0 },
    load: () => import('../commands/buildx-version.ts'),
  },
];
