/**
 * What a spec's bind mounts become in a VM: small files husk made itself (/etc/hosts and its like) travel as bytes, folders of the
 * host as virtio-fs devices. Decides; opens nothing but the small files.
 */
import { lstatSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { FILES_FOLDER, SHARES_FOLDER } from '../agent-protocol.ts';
import type { Mount, Spec } from '../container/spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';

/** device pages left beside the machine's own devices, see memory/layout.ts */
export const MAX_SHARES = 8;
/** bytes of a file that travels by content */
const MAX_FILE = 256 << 10;

export interface Share {
  /** of the virtio-fs device, virtio 1.2 §5.11.4: at most 36 bytes */
  tag: string;
  /** folder of the host */
  path: string;
  readOnly: boolean;
}

export interface Binds {
  /** with every bind mount's source as the guest has it */
  spec: Spec;
  shares: Share[];
  files: { name: string; content: string }[];
}

/**
 * @param directory containers/<id>: its files are husk's own
 * @throws HuskError `unsupported` for what cannot be shared with a VM
 */
export function guestBinds(spec: Spec, options: { directory: string; maxShares: number }): Binds {
  const shares: Share[] = [];
  const files: Binds['files'] = [];
  const mounts = spec.mounts.map((mount) => {
    if (!isBind(mount)) return mount;
    const source = mount.source!;
    if (isOwnFile(source, options.directory)) {
      const name = `file${files.length}`;
      files.push({ name, content: readFileSync(source).toString('base64') });
      return { ...mount, source: `${FILES_FOLDER}/${name}` };
    }
    if (!statSync(source).isDirectory())
      throw new HuskError(`cannot share ${source} with a virtual machine: only folders can be shared`, { kind: 'unsupported', exitCode: EXIT_HUSK_FAILED, fix: `mount the folder ${dirname(source)}, or use --isolation=userns` });
    if (shares.length === options.maxShares)
      throw new HuskError(`cannot share ${source} with a virtual machine: it has room for ${options.maxShares} shared folders`, { kind: 'unsupported', exitCode: EXIT_HUSK_FAILED, fix: 'mount a folder above several of them, or use --isolation=userns' });
    const tag = `share${shares.length}`;
    shares.push({ tag, path: realpathSync(source), readOnly: isReadOnly(mount) });
    return { ...mount, source: `${SHARES_FOLDER}/${tag}` };
  });
  return { spec: { ...spec, mounts }, shares, files };
}

export const isBind = ({ type, options }: Mount) => type === 'bind' || options?.includes('bind') === true || options?.includes('rbind') === true;
const isReadOnly = ({ options }: Mount) => options?.includes('ro') === true || options?.includes('rro') === true;

function isOwnFile(source: string, directory: string): boolean {
  if (!source.startsWith(`${directory}/`)) return false;
  const stat = lstatSync(source);
  return stat.isFile() && stat.size <= MAX_FILE;
}
