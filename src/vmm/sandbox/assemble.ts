/**
 * What the machine of a container is made of: its devices in their order, and what the guest calls them. Runs nothing.
 */
import type { ImageDevice, InterfaceSetup } from '../../agent-protocol.ts';
import type { Spec } from '../../spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { addressBytes } from '../../host/streams/netlink.ts';
import type { ImageTree, SandboxConfig } from '../../sandbox.ts';
import { MAX_IMAGES, PLACES, SHARES_TAG } from '../binds.ts';
import { Balloon } from '../devices/balloon/device.ts';
import { Backing } from '../devices/block/backing.ts';
import { Block } from '../devices/block/device.ts';
import { Console } from '../devices/console/device.ts';
import { mappedOwners, rootIsOwner, sameOwners, type Ownership } from '../devices/fs/share/attributes.ts';
import { Fs } from '../devices/fs/device.ts';
import { Net } from '../devices/net/device.ts';
import { frameFilter } from '../devices/net/filter.ts';
import type { Link } from '../devices/net/link.ts';
import { Rng } from '../devices/rng/device.ts';
import type { Vsock } from '../devices/vsock/device.ts';
import { Machine } from '../machine.ts';

/** What every VM of this husk is made of; paths. */
interface VmParts {
  kernel: string;
  agentDisk: string;
}

export interface VmSize {
  /** bytes of guest RAM */
  memory: number;
  cpus: number;
}

interface VmNetwork {
  link: Link;
  /** six bytes, `02:42:…` */
  mac: string;
  /** bytes */
  mtu: number;
  interface: InterfaceSetup;
}

export interface MachineOptions {
  parts: VmParts;
  size: VmSize;
  /**
   * this process has the container's ids, 0 and all: owners in shared folders are the same on both sides, or as the
   * spec's id maps exchange them; otherwise the spec's id maps say whose is whose
   */
  sameIds: boolean;
  /** absent: the machine has no network device */
  network?: VmNetwork;
}

/** What the machine has for whoever runs it. */
export interface MachineHooks {
  vsock: Vsock;
  onConsole: (bytes: Uint8Array) => void;
  /** a driver broke its device's rules */
  onReport: (message: string) => void;
  /** the guest remembers a great many inodes of the shares */
  onCrowded: () => void;
}

/**
 * Documentation/admin-guide/kernel-parameters.txt; panic=-1 and reboot=k: a guest that panics resets at once, and the
 * VMM sees it
 */
export const COMMAND_LINE =
  'console=hvc0 quiet reboot=k panic=-1 8250.nr_uarts=0 root=/dev/vda rootfstype=erofs ro init=/husk/husk-init';
/** in the order the devices are given, virtio-blk names them */
export const ROOT_DEVICE = '/dev/vdb';
export const WRITABLE_DEVICE = '/dev/vdc';
const FIRST_IMAGE_DEVICE = 'd';
/** ms; 0: each side sees the other's changes at once */
const SHARE_FRESHNESS = 0;

/**
 * Opens every disk.
 * @param hasShares whether folders of the host are shared with the guest
 * @returns the machine, which owns its devices, and the one that the container writes to
 */
export function assembleMachine(
  config: SandboxConfig,
  { parts, size, sameIds, network }: MachineOptions,
  { hasShares, ...hooks }: MachineHooks & { hasShares: boolean },
): { machine: Machine; writable: Block } {
  const { rootfs } = config;
  if (rootfs.kind !== 'disk')
    throw new HuskError('VM isolation runs on disks, not on unpacked layers', { kind: 'internal' });
  const { linux } = config.spec;
  const ownership = sameIds ? keptOwners(linux) : ownersOf(linux);
  const writable = new Block(Backing.file(rootfs.writable, { readOnly: false }), { serial: 'husk-writable' });
  const machine = new Machine({
    kernel: parts.kernel,
    commandLine: COMMAND_LINE + (size.cpus === 1 ? ' noreplace-smp' : ''),
    memory: size.memory,
    cpus: size.cpus,
    devices: [
      new Console(hooks.onConsole),
      new Block(Backing.file(parts.agentDisk, { readOnly: true }), { serial: 'husk-agent' }),
      new Block(new Backing(rootfs.root, { readOnly: true }), { serial: 'husk-root', blockSize: 512 }),
      writable,
      ...imageDisks(config.images).map(({ root }, index) => imageBlock(root, index)),
      hooks.vsock,
      new Rng(),
      new Balloon(),
      ...(network
        ? [
            new Net(network.link, {
              mac: Buffer.from(network.mac.replaceAll(':', ''), 'hex'),
              mtu: network.mtu,
              filter: frameFilter(network.interface.addresses.map(({ address }) => addressBytes(address))),
            }),
          ]
        : []),
      // what is read-only among them is so by the jail's mounts
      ...(hasShares
        ? [
            new Fs({
              tag: SHARES_TAG,
              path: PLACES,
              readOnly: false,
              ownership,
              freshness: { milliseconds: SHARE_FRESHNESS },
              onCrowded: hooks.onCrowded,
            }),
          ]
        : []),
    ],
    onReport: hooks.onReport,
  });
  return { machine, writable };
}

/** @returns what the guest calls the disks of the images. @throws HuskError as imageDisks */
export const imageDevices = (images: SandboxConfig['images']): ImageDevice[] =>
  imageDisks(images).map(({ id }, index) => ({ id, device: imageDevice(index) }));

/** @throws HuskError `unsupported` for more than a machine has places for: `--volumes-from` may bring some along */
function imageDisks(images: readonly ImageTree[] = []): Extract<ImageTree, { kind: 'disk' }>[] {
  if (images.length > MAX_IMAGES)
    throw new HuskError(`cannot mount ${images.length} images in a virtual machine: it has disks for ${MAX_IMAGES}`, {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: 'use --isolation=userns',
    });
  return images.map((image) => {
    if (image.kind === 'disk') return image;
    throw new HuskError('VM isolation runs on disks, not on unpacked layers', { kind: 'internal' });
  });
}

/** Read-only by the device, whatever the guest's kernel does with it. */
function imageBlock(root: Extract<ImageTree, { kind: 'disk' }>['root'], index: number): Block {
  return new Block(new Backing(root, { readOnly: true }), { serial: `husk-image${index}`, blockSize: 512 });
}

/** The next letter; MAX_IMAGES keeps it within the alphabet. */
function imageDevice(index: number): string {
  return `/dev/vd${String.fromCharCode(FIRST_IMAGE_DEVICE.charCodeAt(0) + index)}`;
}

/**
 * The host kernel says what this process may do, and the spec which of its ids is whose; without a word they are the
 * same.
 */
function keptOwners({ uidMappings, gidMappings }: Spec['linux']): Ownership {
  if (!uidMappings || !gidMappings) return sameOwners;
  const { toGuest, toHost } = mappedOwners({ uid: uidMappings, gid: gidMappings });
  return { toGuest, toHost };
}

/**
 * Without maps this process's own user is the guest's root, and everybody else is nobody; host root is never a guest's.
 */
function ownersOf({ uidMappings, gidMappings }: Spec['linux']): Ownership {
  if (!uidMappings && process.getuid!() === 0) return mappedOwners({ uid: [], gid: [] });
  return uidMappings && gidMappings
    ? mappedOwners({ uid: uidMappings, gid: gidMappings })
    : rootIsOwner(process.getuid!(), process.getgid!());
}
