/**
 * Turns a spec's bind mounts into what a VM can have. Small files that husk made itself (/etc/hosts and the like)
 * travel as bytes; the devices that every Linux has are the guest's own. Everything else of the host, folder or file,
 * is bound into the VMM's jail at a numbered place, and one virtio-fs device shares all of these places. A read-only
 * mount is read-only in the jail already: the host's kernel enforces it, whatever the guest does and even if it takes
 * over the VMM. A unix socket is not in the jail: the guest's agent has one that stands for it, and a relay outside of
 * the jail connects (sockets/).
 */
import { lstatSync, readFileSync, realpathSync, statSync, type Stats } from 'node:fs';
import { FILES_FOLDER, SHARES_FOLDER, SOCKETS_FOLDER } from '../agent-protocol.ts';
import type { Mount, Spec } from '../spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import { SyscallError } from '../host/libc.ts';
import { connectDatagram } from '../host/streams/socket.ts';
import { MAX_SOCKETS } from './sockets/messages.ts';

/** the folder in the jail that holds them: <PLACES>/<number> */
export const PLACES = '/shares';
/** what stands in the spec for a socket, before its number; nothing is there */
const SOCKET_PLACES = '/sockets';
/** tag of the virtio-fs device that shares PLACES; at most 36 bytes (virtio 1.2 §5.11.4) */
export const SHARES_TAG = 'binds';
/** most bind mounts of a VM: each is a name and an inode in the jail's root, src/rootless/jail.ts */
export const MAX_BINDS = 256;
/**
 * most mounted images, each of which is a disk: MMIO_MAX_DEVICES (memory/layout.ts) less a machine's own nine devices,
 * VmSandbox
 */
export const MAX_IMAGES = 7;
/** most bytes of a file that travels by content */
const MAX_FILE = 256 << 10;
/** mem(4), random(4), tty(4): the guest's own serve as well, and a device node of the host cannot be shared */
const DEVICES_OF_ANY_LINUX = new Set([
  '/dev/null',
  '/dev/zero',
  '/dev/full',
  '/dev/random',
  '/dev/urandom',
  '/dev/tty',
]);

export interface Bind {
  /** path on the host, symbolic links followed */
  source: string;
  /** path in the jail */
  place: string;
  /** `unknown`: the mount lies where only a user of a container may look; the jail's root can tell */
  kind: 'directory' | 'file' | 'unknown';
  readOnly: boolean;
}

/** A unix socket of the host's that is mounted into a container. */
export interface BoundSocket {
  /** symbolic links followed */
  path: string;
  uid: number;
  gid: number;
  /** bits of permissions */
  mode: number;
}

/**
 * Lists the bind mounts for the process that makes the jail.
 * @returns what to bind into the jail, the sockets by their numbers, and the spec with the sources as the jail has them
 * @param directory containers/<id>: its files are husk's own
 * @throws HuskError `unsupported` for what cannot be shared with a VM
 */
export function jailBinds(
  spec: Spec,
  options: { directory: string },
): { spec: Spec; binds: Bind[]; sockets: BoundSocket[] } {
  const binds: Bind[] = [];
  const sockets: BoundSocket[] = [];
  const mounts = spec.mounts.map((mount) => {
    if (!isBind(mount) || isOwnFile(mount.source!, options.directory) || DEVICES_OF_ANY_LINUX.has(mount.source!))
      return mount;
    const source = mount.source!;
    const kind = kindOf(source);
    if (kind === 'socket') return { ...mount, source: `${SOCKET_PLACES}/${socketNumber(sockets, source)}` };
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
  return { spec: { ...spec, mounts }, binds, sockets };
}

/** The same socket at several places is one. */
function socketNumber(sockets: BoundSocket[], source: string): number {
  const path = realpathSync(source);
  const known = sockets.findIndex((socket) => socket.path === path);
  if (known >= 0) return known;
  if (sockets.length === MAX_SOCKETS)
    throw cannotShare(source, `${MAX_SOCKETS} sockets are possible`, 'use --isolation=userns');
  const { uid, gid, mode } = statSync(path);
  return sockets.push({ path, uid, gid, mode: mode & 0o777 }) - 1;
}

function kindOf(source: string): Bind['kind'] | 'socket' {
  const stat = lookAt(source);
  if (stat === 'closed') return 'unknown';
  if (stat === undefined)
    throw cannotShare(source, 'it is not there', 'make it again, or run the container without it');
  const why = notShareable(source);
  if (why !== undefined) throw cannotShare(source, why, 'share a folder or a regular file, or use --isolation=userns');
  if (stat.isSocket()) return 'socket';
  return stat.isDirectory() ? 'directory' : 'file';
}

/** @returns why this cannot be shared with a VM; undefined when it can, or does not exist (yet) */
export function notShareable(source: string): string | undefined {
  const stat = DEVICES_OF_ANY_LINUX.has(source) ? undefined : lookAt(source);
  if (stat === undefined || stat === 'closed' || stat.isDirectory() || stat.isFile()) return undefined;
  if (stat.isSocket())
    return takesDatagrams(source)
      ? 'it is a socket of datagrams, and only streams go into a virtual machine'
      : undefined;
  return `${nameOf(stat)} leads to this host's kernel, and a virtual machine has its own`;
}

/** A server of streams hears nothing of the question, and neither does one of datagrams (syslog's, the journal's). */
function takesDatagrams(path: string): boolean {
  try {
    connectDatagram(path).close();
    return true;
  } catch (error) {
    // EPROTOTYPE: of streams; ECONNREFUSED: nobody listens now. A path may be too long for an address, too
    if (error instanceof SyscallError || error instanceof RangeError) return false;
    throw error;
  }
}

/** @returns undefined when the source does not exist (yet) */
function lookAt(source: string): Stats | 'closed' | undefined {
  try {
    return statSync(source, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return 'closed';
    throw error;
  }
}

const nameOf = (stat: Stats) => (stat.isFIFO() ? 'a pipe' : 'a device');

function cannotShare(source: string, why: string, fix: string): HuskError {
  return new HuskError(`cannot share ${source} with a virtual machine: ${why}`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix,
  });
}

export interface GuestBinds {
  /** the spec with every bind mount's source as the guest has it */
  spec: Spec;
  /** whether PLACES has anything to share */
  shares: boolean;
  files: { name: string; content: string }[];
}

/**
 * Names the same mounts as the guest does, for the VMM in its jail. The function opens nothing but husk's own small
 * files.
 */
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
    if (source.startsWith(`${SOCKET_PLACES}/`))
      return { ...mount, source: `${SOCKETS_FOLDER}${source.slice(SOCKET_PLACES.length)}` };
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
