/** The commands about lists of manifests. This module has data only. */
import type { Command } from '../grammar/command.ts';
import type { Flag } from '../grammar/flag.ts';

const INSECURE: Flag = {
  name: 'insecure',
  type: 'bool',
  help: 'Allow a registry without TLS, or with a certificate that nobody vouches for',
};

export const MANIFEST_COMMANDS: readonly Command[] = [
  {
    name: 'manifest',
    parent: [],
    section: 'management',
    usage: 'COMMAND',
    help: 'Manage manifests, and lists of them for several platforms',
    flags: [],
    arguments: { minimum: 0 },
  },
  {
    name: 'annotate',
    parent: ['manifest'],
    usage: '[OPTIONS] MANIFEST_LIST MANIFEST',
    help: 'Change the platform of a manifest in a local list',
    flags: [
      { name: 'arch', type: 'string', help: 'Set the architecture' },
      { name: 'os', type: 'string', help: 'Set the operating system' },
      { name: 'os-features', type: 'strings', help: 'Set the features that the operating system must have' },
      { name: 'os-version', type: 'string', help: 'Set the version of the operating system' },
      { name: 'variant', type: 'string', help: 'Set the variant of the architecture' },
    ],
    arguments: { minimum: 2, maximum: 2, complete: ['image'] },
    load: () => import('../commands/manifest-annotate.ts'),
  },
  {
    name: 'create',
    parent: ['manifest'],
    usage: '[OPTIONS] MANIFEST_LIST MANIFEST [MANIFEST...]',
    help: 'Make a local list of manifests that a registry has',
    flags: [{ name: 'amend', short: 'a', type: 'bool', help: 'Add to a list that is there' }, INSECURE],
    arguments: { minimum: 2, complete: ['image'] },
    load: () => import('../commands/manifest-create.ts'),
  },
  {
    name: 'inspect',
    parent: ['manifest'],
    usage: '[OPTIONS] [MANIFEST_LIST] MANIFEST',
    help: 'Show a manifest, or a list of them',
    flags: [
      INSECURE,
      { name: 'verbose', short: 'v', type: 'bool', help: 'Show where each manifest is, and all of it' },
    ],
    arguments: { minimum: 1, maximum: 2, complete: ['image'] },
    load: () => import('../commands/manifest-inspect.ts'),
  },
  {
    name: 'push',
    parent: ['manifest'],
    usage: '[OPTIONS] MANIFEST_LIST',
    help: 'Upload a local list to its registry',
    flags: [INSECURE, { name: 'purge', short: 'p', type: 'bool', help: 'Remove the local list after it was pushed' }],
    arguments: { minimum: 1, maximum: 1, complete: ['image'] },
    load: () => import('../commands/manifest-push.ts'),
  },
  {
    name: 'rm',
    parent: ['manifest'],
    usage: 'MANIFEST_LIST [MANIFEST_LIST...]',
    help: 'Remove one or more local lists',
    flags: [],
    arguments: { minimum: 1, complete: ['image'] },
    load: () => import('../commands/manifest-rm.ts'),
  },
];
