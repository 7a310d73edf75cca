/**
 * Extended attributes in EROFS: an attribute of one inode is stored behind that inode; an attribute that several inodes
 * have with the same value is stored once and referred to. Source: Linux fs/erofs/erofs_fs.h (struct
 * erofs_xattr_ibody_header, struct erofs_xattr_entry), fs/erofs/xattr.c.
 */
import { HuskError } from '../../errors.ts';
import { type ByteString, display } from '../../tar/byte-string.ts';
import { BLOCK, MAX_XATTR_BODY, XATTR_ENTRY_SIZE, XATTR_HEADER_SIZE } from './format.ts';

/** EROFS_XATTR_INDEX_*: the number that stands for a prefix; for the ACLs it stands for the whole name */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ['user.', 1],
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['trusted.', 4],
  ['security.', 6],
];
/** Attributes that overlay file systems read as their own; a layer must not control the overlay above it. */
const OVERLAY_XATTR = /^(?:trusted|user)\.(?:overlay|fuseoverlayfs|containers)\.|^security\.fuseoverlayfs\./;
/** limit of shared attributes of an inode: h_shared_count has 8 bits */
const MAX_SHARED = 255;

/**
 * Encodes one attribute as it stands on disk, padded to 4 bytes.
 * @returns undefined for an attribute that EROFS cannot or must not hold
 */
function encode(name: ByteString, value: Buffer): Buffer | undefined {
  if (OVERLAY_XATTR.test(name)) return undefined;
  const found = PREFIXES.find(([prefix]) => name.startsWith(prefix));
  if (!found) return undefined;
  const [prefix, index] = found;
  const suffix = Buffer.from(name.slice(prefix.length), 'latin1');
  if ((suffix.length === 0) !== (index === 2 || index === 3) || value.length > 0xffff) return undefined;
  const entry = Buffer.alloc(Math.ceil((XATTR_ENTRY_SIZE + suffix.length + value.length) / 4) * 4);
  entry.writeUInt8(suffix.length, 0);
  entry.writeUInt8(index, 1);
  entry.writeUInt16LE(value.length, 2);
  suffix.copy(entry, XATTR_ENTRY_SIZE);
  value.copy(entry, XATTR_ENTRY_SIZE + suffix.length);
  return entry;
}

type Attributes = ReadonlyMap<ByteString, Buffer>;

/** A table of a disk's attributes: it collects all of them first, and then gives each inode what to store. */
export class XattrTable {
  readonly #uses = new Map<string, { entry: Buffer; count: number; id: number }>();
  readonly #encoded = new Map<Attributes, string[]>();
  /** the area of shared attributes, whole blocks */
  shared = Buffer.alloc(0);

  /** Adds the attributes of one inode; called once for each inode. */
  add(attributes: Attributes): void {
    const keys: string[] = [];
    for (const name of [...attributes.keys()].sort()) {
      const entry = encode(name, attributes.get(name)!);
      if (!entry) continue;
      const key = entry.toString('latin1');
      const use = this.#uses.get(key);
      if (use) use.count++;
      else this.#uses.set(key, { entry, count: 1, id: -1 });
      keys.push(key);
    }
    this.#encoded.set(attributes, keys);
  }

  /**
   * Lays out the shared area: attributes that two or more inodes have, sorted, so that the same image gives the same
   * bytes.
   */
  finish(): void {
    const entries: Buffer[] = [];
    let offset = 0;
    for (const key of [...this.#uses.keys()].sort()) {
      const use = this.#uses.get(key)!;
      if (use.count < 2) continue;
      use.id = offset / 4;
      entries.push(use.entry);
      offset += use.entry.length;
    }
    this.shared = Buffer.concat([...entries, Buffer.alloc((BLOCK - (offset % BLOCK)) % BLOCK)]);
  }

  /**
   * @returns what stands behind the inode; empty for none
   * @throws HuskError `limit` when an inode has more than EROFS can hold
   */
  body(attributes: Attributes | undefined, path: ByteString): Buffer {
    const keys = (attributes && this.#encoded.get(attributes)) ?? [];
    if (keys.length === 0) return Buffer.alloc(0);
    const shared: number[] = [];
    const inline: Buffer[] = [];
    for (const key of keys) {
      const use = this.#uses.get(key)!;
      if (use.id >= 0 && shared.length < MAX_SHARED) shared.push(use.id);
      else inline.push(use.entry);
    }
    const header = Buffer.alloc(XATTR_HEADER_SIZE + 4 * shared.length);
    header.writeUInt8(shared.length, 4);
    for (const [index, id] of shared.entries()) header.writeUInt32LE(id, XATTR_HEADER_SIZE + 4 * index);
    const body = Buffer.concat([header, ...inline]);
    if (body.length > MAX_XATTR_BODY)
      throw new HuskError(
        `"/${display(path)}" has ${body.length} bytes of extended attributes, more than the root disk can hold`,
        { kind: 'limit' },
      );
    return body;
  }
}
