/**
 * Compiled filters by the content of their profile: compiling Docker's default takes milliseconds of a cold start,
 * reading 8 KiB does not. A file that is not whole is compiled anew; nothing here fails a start.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWholeFile } from '../../whole-file.ts';
import type { Seccomp } from '../../spec.ts';
import { compileSeccomp, type CompiledFilter } from './compile.ts';

/** raised whenever the compiler or a system call table changes: part of the key */
const COMPILER = 1;
/** file: u32 magic, u32 flags for seccomp(2), u32 bytes of the filter, filter; little-endian */
const MAGIC = 0x46534b48;
const HEADER_BYTES = 12;

/**
 * @param folder made when missing
 * @throws as compileSeccomp
 */
export function cachedFilter(seccomp: Seccomp, folder: string): CompiledFilter {
  const { createHash } = process.getBuiltinModule('node:crypto'); // 5 ms, which the guest's agent, who never gets here, is spared
  const key = createHash('sha256')
    .update(`${COMPILER} ${JSON.stringify(seccomp)}`)
    .digest('hex');
  const file = join(folder, key);
  const known = read(file);
  if (known) return known;
  const compiled = compileSeccomp(seccomp);
  write(folder, file, compiled);
  return compiled;
}

function read(file: string): CompiledFilter | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    return undefined;
  }
  if (
    bytes.length <= HEADER_BYTES ||
    bytes.readUInt32LE(0) !== MAGIC ||
    bytes.readUInt32LE(8) !== bytes.length - HEADER_BYTES
  )
    return undefined;
  return { flags: bytes.readUInt32LE(4), filter: new Uint8Array(bytes.subarray(HEADER_BYTES)) };
}

function write(folder: string, file: string, { flags, filter }: CompiledFilter): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(flags, 4);
  header.writeUInt32LE(filter.length, 8);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeWholeFile(file, Buffer.concat([header, filter]), { mode: 0o600 });
  } catch {
    // a full or read-only disk: the filter is in hand all the same
  }
}
