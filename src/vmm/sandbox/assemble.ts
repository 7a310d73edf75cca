/**
 * What the machine of a container is made of: its devices in their order, and what the guest calls them. Runs nothing.
 */
import { templateMac, type ImageDevice, type InterfaceSetup } from '../../agent-protocol.ts';
import type { Spec } from '../../spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
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
import type { PacketLink } from '../devices/net/link.ts';
import { Rng } from '../devices/rng/device.ts';
import type { TellNews } from '../devices/fs/share/news.ts';
import type { Vsock } from '../devices/vsock/device.ts';
import { Machine, type Snapshot } from '../machine.ts';
import type { MachineShape, VmSize } from '../templates/shape.ts';

/** What every VM of this husk is made of; paths. */
export interface VmParts {
  kernel: string;
  agentDisk: string;
}

/** A network device of the machine, and what the container's interface on it is to be. */
export interface VmInterface extends InterfaceSetup {
  link: PacketLink;
}

export interface MachineOptions {
  parts: VmParts;
  size: VmSize;
  /**
   * this process has the container's ids, 0 and all: owners in shared folders are the same on both sides, or as the
   * spec's id maps exchange them; otherwise the spec's id maps say whose is whose
   */
  sameIds: boolean;
  /** a network device for each */
  interfaces: readonly VmInterface[];
  /** of a machine of this shape that waited for its container; undefined: the machine boots */
  template?: Snapshot | undefined;
}

/** What the machine has for whoever runs it. */
export interface MachineHooks {
  vsock: Vsock;
  onConsole: (bytes: Uint8Array) => void;
  /** a driver broke its device's rules */
  onReport: (message: string) => void;
  /** the guest remembers a great many inodes of the shares */
  onCrowded: () => void;
  /** the host has changed something in the shares */
  onNews: TellNews;
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

/** What stands behind the devices of a machine. */
interface MachineParts {
  root: Backing;
  writable: Backing;
  /** disks of images, one after another */
  images: readonly Backing[];
  nets: readonly Net[];
  /** the folder that is shared, and whose its files are; undefined: none */
  share?: { path: string; ownership: Ownership } | undefined;
}

export interface Assembled {
  /** owns its devices */
  machine: Machine;
  /** the disk that the container writes to */
  writable: Block;
  /** every disk but the agent's, and its bytes */
  disks: { device: string; bytes: number }[];
}

/**
 * Opens every disk.
 * @param hasShares whether folders of the host are shared with the guest
 * @throws HuskError also for a template that this host's KVM refuses
 */
export function assembleMachine(
  config: Pick<SandboxConfig, 'rootfs' | 'images'> & { spec: Pick<Spec, 'linux'> },
  { parts, size, sameIds, interfaces, template }: MachineOptions,
  { hasShares, ...hooks }: MachineHooks & { hasShares: boolean },
): Assembled {
  const { rootfs } = config;
  if (rootfs.kind !== 'disk')
    throw new HuskError('VM isolation runs on disks, not on unpacked layers', { kind: 'internal' });
  const [root, written] = [
    new Backing(rootfs.root, { readOnly: true }),
    Backing.file(rootfs.writable, { readOnly: false }),
  ];
  const images = imageDisks(config.images).map((image) => new Backing(image.root, { readOnly: true }));
  return makeMachine(
    {
      root,
      writable: written,
      images,
      nets: interfaces.map(({ link, mac, mtu }) => new Net(link, { mac: macOf(mac), mtu, filter: frameFilter })),
      // what is read-only among them is so by the jail's mounts
      share: hasShares ? { path: PLACES, ownership: ownershipOf(config.spec, sameIds) } : undefined,
    },
    { parts, size, hooks, template },
  );
}

/**
 * A machine of a shape with nothing behind its devices: no sectors, no carrier, an empty folder.
 * @param share an empty folder, for a shape with shared folders
 * @param template the machine goes on from it
 * @param disk path of an empty disk: a container can be made in it, whose root is the agent's own disk
 */
export function assembleTemplate(
  shape: MachineShape,
  {
    parts,
    share,
    template,
    disk,
    ...hooks
  }: MachineHooks & { parts: VmParts; share: string; template?: Snapshot; disk?: string | undefined },
): Assembled {
  const nothing = (readOnly: boolean): Backing => new Backing([], { readOnly });
  return makeMachine(
    {
      root: disk === undefined ? nothing(true) : Backing.file(parts.agentDisk, { readOnly: true }),
      writable: disk === undefined ? nothing(false) : Backing.file(disk, { readOnly: false }),
      images: Array.from({ length: shape.images }, () => nothing(true)),
      nets: shape.mtus.map(
        (mtu, number) => new Net(undefined, { mac: macOf(templateMac(number)), mtu, filter: frameFilter }),
      ),
      share: shape.hasShares ? { path: share, ownership: sameOwners } : undefined,
    },
    { parts, size: shape, hooks, template },
  );
}

function makeMachine(
  { root, writable, images, nets, share }: MachineParts,
  {
    parts,
    size,
    hooks,
    template,
  }: { parts: VmParts; size: VmSize; hooks: MachineHooks; template?: Snapshot | undefined },
): Assembled {
  const written = new Block(writable, { serial: 'husk-writable' });
  const machine = new Machine(
    {
      kernel: parts.kernel,
      commandLine: COMMAND_LINE + (size.cpus === 1 ? ' noreplace-smp' : ''),
      memory: size.memory,
      cpus: size.cpus,
      devices: [
        new Console(hooks.onConsole),
        new Block(Backing.file(parts.agentDisk, { readOnly: true }), { serial: 'husk-agent' }),
        new Block(root, { serial: 'husk-root', blockSize: 512 }),
        written,
        ...images.map((image, index) => new Block(image, { serial: `husk-image${index}`, blockSize: 512 })),
        hooks.vsock,
        new Rng(),
        new Balloon(),
        ...nets,
        ...(share
          ? [
              new Fs({
                tag: SHARES_TAG,
                ...share,
                readOnly: false,
                onCrowded: hooks.onCrowded,
                onNews: hooks.onNews,
              }),
            ]
          : []),
      ],
      onReport: hooks.onReport,
    },
    template,
  );
  const disks = [
    { device: ROOT_DEVICE, bytes: root.size },
    { device: WRITABLE_DEVICE, bytes: writable.size },
    ...images.map(({ size: bytes }, index) => ({ device: imageDevice(index), bytes })),
  ];
  return { machine, writable: written, disks };
}

const macOf = (mac: string): Uint8Array => Buffer.from(mac.replaceAll(':', ''), 'hex');

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

/** The next letter; MAX_IMAGES keeps it within the alphabet. */
function imageDevice(index: number): string {
  return `/dev/vd${String.fromCharCode(FIRST_IMAGE_DEVICE.charCodeAt(0) + index)}`;
}

/** Whose the host's files are in the guest. */
export function ownershipOf({ linux }: Pick<Spec, 'linux'>, sameIds: boolean): Ownership {
  return sameIds ? keptOwners(linux) : ownersOf(linux);
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
