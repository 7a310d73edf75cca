/**
 * Keeps compiled filters by the content of their profile: compiling Docker's default takes milliseconds of a cold
 * start, reading 8 KiB does not. A damaged file's filter is compiled again; nothing here fails a start.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWholeFile } from '../../whole-file.ts';
import type { Seccomp } from '../../spec.ts';
import { compileSeccomp, type CompiledFilter } from './compile.ts';

/** part of the key; raised whenever the compiler or a system call table changes */
const COMPILER = 1;
/**
 * The file is little-endian: u32 magic, u32 flags for seccomp(2), u32 bytes of the key, u32 bytes of the filter, key,
 * filter.
 */
const MAGIC = 0x47534b48;
const HEADER_BYTES = 16;
/** http://www.isthe.com/chongo/tech/comp/fnv/ */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * @param folder the cache's folder, made when missing
 * @throws as compileSeccomp
 */
export function cachedFilter(seccomp: Seccomp, folder: string): CompiledFilter {
  const key = Buffer.from(`${COMPILER} ${JSON.stringify(seccomp)}`);
  const file = join(folder, nameOf(key));
  const known = read(file, key);
  if (known) return known;
  const compiled = compileSeccomp(seccomp);
  write(folder, file, key, compiled);
  return compiled;
}

/**
 * @returns the name of the cache file. The name only says where to look: the file has the whole key, so profiles with
 * the same name replace each other and are never mistaken for each other. The hash is FNV-1a over words of four bytes
 * and no digest, for which a supervisor would load node:crypto: 8 ms of CPU, and 0.8 MB for as long as its container
 * lives.
 */
function nameOf(key: Buffer): string {
  let hash = FNV_OFFSET;
  const words = new Int32Array(Uint8Array.prototype.slice.call(key, 0, key.length & ~3).buffer);
  for (let at = 0; at < words.length; at++) hash = Math.imul(hash ^ words[at]!, FNV_PRIME);
  for (let at = key.length & ~3; at < key.length; at++) hash = Math.imul(hash ^ key[at]!, FNV_PRIME);
  return `${(hash >>> 0).toString(16).padStart(8, '0')}-${key.length}`;
}

function read(file: string, key: Buffer): CompiledFilter | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    return undefined;
  }
  const start = HEADER_BYTES + key.length;
  if (
    bytes.length <= start ||
    bytes.readUInt32LE(0) !== MAGIC ||
    bytes.readUInt32LE(8) !== key.length ||
    bytes.readUInt32LE(12) !== bytes.length - start ||
    !bytes.subarray(HEADER_BYTES, start).equals(key)
  )
    return undefined;
  return { flags: bytes.readUInt32LE(4), filter: new Uint8Array(bytes.subarray(start)) };
}

function write(folder: string, file: string, key: Buffer, { flags, filter }: CompiledFilter): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(flags, 4);
  header.writeUInt32LE(key.length, 8);
  header.writeUInt32LE(filter.length, 12);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeWholeFile(file, Buffer.concat([header, key, filter]), { mode: 0o600 });
  } catch {
    // The disk is full or read-only: the filter is known all the same.
  }
}
