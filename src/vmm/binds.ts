/**
 * What a spec's bind mounts become in a VM. Small files husk made itself (/etc/hosts and its like) travel as bytes; the
 * devices every Linux has are the guest's own; everything else of the host, folder or file, is bound into the VMM's
 * jail at a numbered place, and one virtio-fs device shares all of these. What is read-only is so in the jail, by the
 * host's kernel: whatever the guest does, and were it to take over the VMM.
 */
import { lstatSync, readFileSync, realpathSync, statSync, type Stats } from 'node:fs';
import { FILES_FOLDER, SHARES_FOLDER } from '../agent-protocol.ts';
import type { Mount, Spec } from '../spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';

/** where the jail has them: <PLACES>/<number> */
export const PLACES = '/shares';
/** of the virtio-fs device that shares PLACES, virtio 1.2 §5.11.4: at most 36 bytes */
export const SHARES_TAG = 'binds';
/** names and inodes in the jail's root, src/rootless/jail.ts */
export const MAX_BINDS = 256;
/** disks of images that are mounted: MMIO_MAX_DEVICES (memory/layout.ts) less a machine's own nine, VmSandbox */
export const MAX_IMAGES = 7;
/** bytes of a file that travels by content */
const MAX_FILE = 256 << 10;
/** mem(4), random(4), tty(4): one is as good as another, and a device node of the host cannot be shared */
const DEVICES_OF_ANY_LINUX = new Set([
  '/dev/null',
  '/dev/zero',
  '/dev/full',
  '/dev/random',
  '/dev/urandom',
  '/dev/tty',
]);

export interface Bind {
  /** of the host, links followed */
  source: string;
  /** in the jail */
  place: string;
  /** `unknown`: it lies where only a user of a container may look; the jail's root can */
  kind: 'directory' | 'file' | 'unknown';
  readOnly: boolean;
}

/**
 * For who makes the jail. @returns what to bind into it, and the spec with sources as the jail has them
 * @param directory containers/<id>: its files are husk's own
 * @throws HuskError `unsupported` for what cannot be shared with a VM
 */
export function jailBinds(spec: Spec, options: { directory: string }): { spec: Spec; binds: Bind[] } {
  const binds: Bind[] = [];
  const mounts = spec.mounts.map((mount) => {
    if (!isBind(mount) || isOwnFile(mount.source!, options.directory) || DEVICES_OF_ANY_LINUX.has(mount.source!))
      return mount;
    const source = mount.source!;
    const kind = kindOf(source);
    if (binds.length === MAX_BINDS)
      throw cannotShare(
        source,
        `${MAX_BINDS} bind mounts are possible`,
        'mount a folder above several of them, or use --isolation=userns',
      );
    const place = `${PLACES}/${binds.length}`;
    binds.push({
      source: kind === 'unknown' ? source : realpathSync(source),
      place,
      kind,
      readOnly: isReadOnly(mount),
    });
    return { ...mount, source: place };
  });
  return { spec: { ...spec, mounts }, binds };
}

function kindOf(source: string): Bind['kind'] {
  const stat = lookAt(source);
  if (stat === 'closed') return 'unknown';
  if (stat === undefined)
    throw cannotShare(source, 'it is not there', 'make it again, or run the container without it');
  const why = notShareable(source);
  if (why !== undefined) throw cannotShare(source, why, 'share a folder or a regular file, or use --isolation=userns');
  return stat.isDirectory() ? 'directory' : 'file';
}

/** @returns why this cannot be shared with a VM; undefined when it can, or is not there (yet) */
export function notShareable(source: string): string | undefined {
  const stat = DEVICES_OF_ANY_LINUX.has(source) ? undefined : lookAt(source);
  if (stat === undefined || stat === 'closed' || stat.isDirectory() || stat.isFile()) return undefined;
  return `${nameOf(stat)} leads to this host's kernel, and a virtual machine has its own`;
}

/** undefined: it is not there (yet) */
function lookAt(source: string): Stats | 'closed' | undefined {
  try {
    return statSync(source, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return 'closed';
    throw error;
  }
}

const nameOf = (stat: Stats) => (stat.isSocket() ? 'a socket' : stat.isFIFO() ? 'a pipe' : 'a device');

function cannotShare(source: string, why: string, fix: string): HuskError {
  return new HuskError(`cannot share ${source} with a virtual machine: ${why}`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix,
  });
}

export interface GuestBinds {
  /** with every bind mount's source as the guest has it */
  spec: Spec;
  /** there is something at PLACES to share */
  shares: boolean;
  files: { name: string; content: string }[];
}

/** For the VMM, in its jail: the same mounts as the guest names them. Opens nothing but husk's own small files. */
export function guestBinds(spec: Spec, options: { directory: string }): GuestBinds {
  const files: GuestBinds['files'] = [];
  let shares = false;
  const mounts = spec.mounts.map((mount) => {
    if (!isBind(mount)) return mount;
    const source = mount.source!;
    if (source.startsWith(`${PLACES}/`)) {
      shares = true;
      return { ...mount, source: `${SHARES_FOLDER}/${SHARES_TAG}${source.slice(PLACES.length)}` };
    }
    if (!isOwnFile(source, options.directory)) return mount;
    const name = `file${files.length}`;
    files.push({ name, content: readFileSync(source).toString('base64') });
    return { ...mount, source: `${FILES_FOLDER}/${name}` };
  });
  return { spec: { ...spec, mounts }, shares, files };
}

export const isBind = ({ type, options }: Mount) =>
  type === 'bind' || options?.includes('bind') === true || options?.includes('rbind') === true;
const isReadOnly = ({ options }: Mount) => options?.includes('ro') === true || options?.includes('rro') === true;

function isOwnFile(source: string, directory: string): boolean {
  if (!source.startsWith(`${directory}/`)) return false;
  const stat = lstatSync(source, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size <= MAX_FILE;
}
