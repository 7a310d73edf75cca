/**
 * The EROFS metadata of an image: superblock, inodes, folders and attributes. File contents stay in the layers' tars,
 * which lie behind the metadata on one linear disk: [metadata | tar of layer 1 | tar of layer 2 | …]. The same layers
 * always give the same bytes. The writer is pure, but for reading the pieces of a tar that must be copied
 * (contents.ts).
 */
import { HuskError } from '../../errors.ts';
import { mergeLayers, type MergedDirectory, type MergedNode } from '../layers/merge.ts';
import type { LayerTree } from '../layers/tree.ts';
import type { ByteString } from '../../tar/byte-string.ts';
import type { TarEntry } from '../../tar/entry.ts';
import { type Contents, CopiedBlocks, placeContents, type TarOnDisk } from './contents.ts';
import { type DirectoryShape, shapeDirectory, writeDirectory } from './directory.ts';
import {
  BLOCK,
  encodeDevice,
  FILE_TYPES,
  HOLE,
  INODE_SIZE,
  LAYOUT_CHUNKS,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  MAX_BLOCKS,
  MAX_ROOT_NID,
  META_BLOCK,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SLOT,
  writeInode,
  writeSuperBlock,
} from './format.ts';
import { XattrTable } from './xattrs.ts';

/** bytes; the metadata ends at a page, so that what the guest reads from the tars is aligned on the host */
const ALIGNMENT = 4096;

export interface DiskLayer {
  tree: LayerTree;
  /** bytes of the tar */
  size: number;
  /** called only for contents that cannot be used where they lie */
  read: (offset: number, length: number) => Buffer;
}

export interface RootDisk {
  metadata: Buffer;
  /** bytes of each layer's tar that follow the metadata: the tar without its last, incomplete block */
  lengths: number[];
}

interface Inode {
  path: ByteString;
  node: MergedNode;
  entry: TarEntry | undefined;
  mode: number;
  links: number;
  xattrs: Buffer;
  /** bytes that follow inode and attributes within the same block */
  tail: number;
  /** byte offset from the beginning of the inode area */
  at: number;
  shape?: DirectoryShape;
  parent?: Inode;
  children?: Map<ByteString, Inode>;
  contents?: Contents;
  /** index of the inode's first block in the area of folders and long link targets */
  firstBlock?: number;
}

/**
 * Writes an image's metadata.
 * @param layers bottom first
 * @param uuid 16 bytes that name the disk
 * @throws HuskError `limit` for images larger than EROFS with 512-byte blocks can address
 */
export function writeErofs(layers: readonly DiskLayer[], uuid: Uint8Array): RootDisk {
  const root = mergeLayers(layers.map(({ tree }) => tree));
  const xattrs = new XattrTable();
  const inodes = collect(root, xattrs);
  const copied = new CopiedBlocks();
  const lengths = layers.map(({ size }) => Math.floor(size / BLOCK) * BLOCK);

  // Block numbers depend on the size of the metadata, which depends on how many blocks everything needs. So the blocks
  // are counted first, and placed afterwards.
  const tars: TarOnDisk[] = layers.map((layer, index) => ({ block: 0, length: lengths[index]!, read: layer.read }));
  for (const inode of inodes)
    if (inode.node.kind === 'leaf' && inode.entry!.type === 'file' && inode.entry!.size > 0)
      inode.contents = placeContents(inode.entry!, tars[inode.node.layer]!, copied, () => 0);
  const inodeBytes = placeInodes(inodes);
  const dataBlocks = placeBlocks(inodes);

  const dataBlock = META_BLOCK + Math.ceil(inodeBytes / BLOCK);
  const copiedBlock = dataBlock + dataBlocks;
  const xattrBlock = copiedBlock + copied.length / BLOCK;
  const metadataLength = Math.ceil(((xattrBlock + xattrs.shared.length / BLOCK) * BLOCK) / ALIGNMENT) * ALIGNMENT;
  let next = metadataLength / BLOCK;
  for (const [index, tar] of tars.entries()) {
    tar.block = next;
    next += lengths[index]! / BLOCK;
  }
  if (next >= MAX_BLOCKS)
    throw new HuskError('the image has more than 2 TiB, more than a root disk can address', {
      kind: 'limit',
      fix: 'use --isolation=userns',
    });

  const placed = new CopiedBlocks();
  for (const inode of inodes)
    if (inode.contents && inode.node.kind === 'leaf')
      inode.contents = placeContents(inode.entry!, tars[inode.node.layer]!, placed, (index) => copiedBlock + index);

  const metadata = Buffer.alloc(metadataLength);
  for (const [index, inode] of inodes.entries()) serialise(metadata, inode, index + 1, dataBlock);
  Buffer.concat(placed.blocks).copy(metadata, copiedBlock * BLOCK);
  xattrs.shared.copy(metadata, xattrBlock * BLOCK);
  writeSuperBlock(metadata, { rootNid: nidOf(inodes[0]!), inodes: inodes.length, blocks: next, xattrBlock, uuid });
  return { metadata, lengths };
}

const nidOf = (inode: Inode): number => inode.at / SLOT;

/**
 * Lists every inode once, folders before their contents and names in order. When it returns, attributes and folder
 * sizes are known.
 */
function collect(root: MergedDirectory, xattrs: XattrTable): Inode[] {
  const inodes: Inode[] = [];
  const known = new Map<MergedNode, Inode>();
  const add = (node: MergedNode, path: ByteString, parent: Inode | undefined): Inode => {
    const existing = known.get(node);
    if (existing) return existing;
    const inode: Inode = {
      path,
      node,
      entry: node.entry,
      mode: modeOf(node),
      links: node.kind === 'leaf' ? node.links : 2,
      xattrs: Buffer.alloc(0),
      tail: 0,
      at: 0,
      parent,
    };
    inodes.push(inode);
    if (node.kind === 'leaf' && node.links > 1) known.set(node, inode);
    if (node.entry?.xattrs) xattrs.add(node.entry.xattrs);
    return inode;
  };
  add(root, '', undefined);
  // The list grows while the loop walks it, which makes the walk breadth-first.
  for (const inode of inodes) {
    if (inode.node.kind !== 'directory') continue;
    const { children } = inode.node;
    inode.children = new Map();
    for (const name of [...children.keys()].sort()) {
      const child = add(children.get(name)!, inode.path === '' ? name : `${inode.path}/${name}`, inode);
      if (child.node.kind === 'directory') inode.links++;
      inode.children.set(name, child);
    }
    inode.shape = shapeDirectory(['.', '..', ...children.keys()]);
  }
  xattrs.finish();
  for (const inode of inodes) inode.xattrs = xattrs.body(inode.entry?.xattrs, inode.path);
  return inodes;
}

const TYPE_BITS = {
  file: S_IFREG,
  hardlink: S_IFREG,
  symlink: S_IFLNK,
  char: S_IFCHR,
  block: S_IFBLK,
  directory: S_IFDIR,
  fifo: S_IFIFO,
} as const;

function modeOf(node: MergedNode): number {
  if (node.kind === 'directory') return S_IFDIR | (node.entry?.mode ?? 0o755);
  return TYPE_BITS[node.entry.type] | (node.entry.type === 'symlink' ? 0o777 : node.entry.mode);
}

/** @returns bytes of a folder or a link target, both of which the metadata holds */
const ownSize = (inode: Inode): number =>
  inode.shape?.size ?? (inode.entry?.type === 'symlink' ? inode.entry.linkname.length : 0);

/** Gives each inode its place. Only inline bytes must not cross a block. @returns bytes of the area */
function placeInodes(inodes: Inode[]): number {
  let at = 0;
  for (const inode of inodes) {
    const head = INODE_SIZE + inode.xattrs.length;
    const map = inode.contents?.layout === LAYOUT_CHUNKS ? inode.contents.map.length * 4 : 0;
    const tail = ownSize(inode) % BLOCK;
    inode.tail = 0;
    if (tail > 0) {
      let place = at;
      while (place < at + BLOCK && ((place + head) % BLOCK) + tail > BLOCK) place += SLOT;
      // When no slot lets the tail share a block with what stands before it, the tail gets a block of its own,
      // elsewhere.
      if (place < at + BLOCK) {
        at = place;
        inode.tail = tail;
      }
    }
    inode.at = at;
    at += Math.ceil((head + inode.tail + map) / SLOT) * SLOT;
  }
  if (nidOf(inodes[0]!) > MAX_ROOT_NID) throw new HuskError('the root inode lies too far back', { kind: 'internal' });
  return at;
}

/** Gives folders and long link targets their blocks. @returns how many there are */
function placeBlocks(inodes: Inode[]): number {
  let blocks = 0;
  for (const inode of inodes) {
    const outside = ownSize(inode) - inode.tail;
    if (outside === 0) continue;
    inode.firstBlock = blocks;
    blocks += Math.ceil(outside / BLOCK);
  }
  return blocks;
}

function serialise(metadata: Buffer, inode: Inode, ino: number, dataBlock: number): void {
  const { entry, contents } = inode;
  const at = META_BLOCK * BLOCK + inode.at;
  const behind = at + INODE_SIZE + inode.xattrs.length;
  const block = inode.firstBlock === undefined ? 0 : dataBlock + inode.firstBlock;
  const type = inode.mode & S_IFMT;
  let union = block;
  let layout = inode.tail > 0 ? LAYOUT_INLINE : LAYOUT_PLAIN;
  let size = ownSize(inode);
  if (type === S_IFREG) {
    size = entry!.size;
    if (contents) layout = contents.layout;
    if (contents?.layout === LAYOUT_PLAIN) union = contents.block;
    if (contents?.layout === LAYOUT_CHUNKS) {
      union = contents.shift;
      for (const [index, chunk] of contents.map.entries()) metadata.writeUInt32LE(chunk, behind + 4 * index);
    }
  } else if (type === S_IFCHR || type === S_IFBLK) {
    union = encodeDevice(entry!.deviceMajor, entry!.deviceMinor);
  } else if (size > 0) {
    const own = inode.shape ? folderBytes(inode) : Buffer.from(entry!.linkname, 'latin1');
    own.copy(metadata, block * BLOCK, 0, size - inode.tail);
    own.copy(metadata, behind, size - inode.tail, size);
    // An inode whose bytes are all in its tail has no first block.
    if (inode.firstBlock === undefined) union = HOLE;
  }
  writeInode(metadata, at, {
    layout,
    xattrSize: inode.xattrs.length,
    mode: inode.mode,
    size,
    union,
    ino,
    uid: entry?.uid ?? 0,
    gid: entry?.gid ?? 0,
    mtime: entry?.mtime ?? 0,
    mtimeNanoseconds: entry?.mtimeNanoseconds ?? 0,
    links: inode.links,
  });
  inode.xattrs.copy(metadata, at + INODE_SIZE);
}

function folderBytes(inode: Inode): Buffer {
  return writeDirectory(inode.shape!, (name) => {
    const target = name === '.' ? inode : name === '..' ? (inode.parent ?? inode) : inode.children!.get(name)!;
    return { name, nid: nidOf(target), type: FILE_TYPES[target.mode & S_IFMT]! };
  });
}
