/**
 * Stages and contexts for tests of COPY, ADD and WORKDIR: layers out of a few words, folders out of an object, and the
 * tar that an instruction makes as one line for each member.
 */
import { createHash } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Context, type ContextOptions, openContext } from '../../../src/images/build/files/context.ts';
import { parseIgnoreFile } from '../../../src/images/build/files/ignore.ts';
import { filled, LayerFile, type LayerTar } from '../../../src/images/build/files/layer-file.ts';
import { View } from '../../../src/images/build/files/view.ts';
import type { CopyOperation } from '../../../src/images/build/operations.ts';
import { LayerTree } from '../../../src/images/layers/tree.ts';
import type { TarEntry } from '../../../src/tar/entry.ts';
import { scanTar } from '../../../src/tar/scan.ts';
import { type RawMember, tarball } from '../../fixtures/tar.ts';

/** time of every file that a test makes, unless it says another: seconds since 1970 */
const TIME = 1_600_000_000;

/** A file's text, or what else it is. */
export type Entry =
  | string
  | { dir: true; mode?: number }
  | { data: string; mode?: number; mtime?: number }
  | { link: string }
  | { hard: string };

/** A folder of files and layers that is gone with the test. */
export class Place implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'husk-copy-'));
  readonly #open: Disposable[] = [];
  #count = 0;

  /** Writes a context, and reads its ignore file. */
  context(files: Record<string, Entry>, options: ContextOptions = {}): Context {
    const folder = this.folder(files);
    const ignore = files['.dockerignore'];
    const context = openContext(folder, {
      ...(typeof ignore === 'string' ? { ignore: parseIgnoreFile(Buffer.from(ignore), '.dockerignore') } : {}),
      ...options,
    });
    this.#open.push(context);
    return context;
  }

  folder(files: Record<string, Entry>): string {
    const folder = join(this.root, `context-${this.#count++}`);
    mkdirSync(folder);
    const modes: [string, number][] = [];
    for (const [name, entry] of Object.entries(files)) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      if (typeof entry === 'object' && 'link' in entry) symlinkSync(entry.link, path);
      else if (typeof entry === 'object' && 'hard' in entry) linkSync(join(folder, entry.hard), path);
      else if (typeof entry === 'object' && 'dir' in entry) {
        mkdirSync(path, { recursive: true });
        if (entry.mode !== undefined) modes.push([path, entry.mode]);
      } else {
        const { data, mode = 0o644, mtime = TIME } = typeof entry === 'string' ? { data: entry } : entry;
        writeFileSync(path, data);
        utimesSync(path, mtime, mtime);
        modes.push([path, mode]);
      }
    }
    for (const [path, mode] of modes) chmodSync(path, mode);
    return folder;
  }

  /** Makes a layer of members, or of words: `d /etc`, `d /e 700 500:600`, `f /etc/passwd`, `l /lnk real`. */
  layer(...members: (string | RawMember | Buffer)[]): LayerTar {
    const bytes = tarball(...members.map((member) => (typeof member === 'string' ? memberOf(member) : member)));
    return this.layerOf(bytes);
  }

  layerOf(bytes: Uint8Array): LayerTar {
    const tar = join(this.root, `layer-${this.#count++}.tar`);
    writeFileSync(tar, bytes);
    return { diffId: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, tar };
  }

  view(...layers: LayerTar[]): View {
    const view = View.of(layers);
    this.#open.push(view);
    return view;
  }

  [Symbol.dispose](): void {
    for (const one of this.#open) one[Symbol.dispose]();
    rmSync(this.root, { recursive: true });
  }
}

function memberOf(words: string): RawMember {
  const [kind, path = '', ...rest] = words.split(' ');
  const name = path.slice(1);
  if (kind === 'l') return { name, type: '2', link: rest[0] ?? '', mode: 0o777, mtime: TIME };
  if (kind === 'h') return { name, type: '1', link: rest[0]?.slice(1) ?? '' };
  const [mode, owner, ...text] = rest;
  const [uid = '0', gid = '0'] = (owner ?? '').split(':');
  const common = { name, uid: Number(uid), gid: Number(gid), mtime: TIME };
  if (kind === 'd') return { ...common, name: `${name}/`, type: '5', mode: Number.parseInt(mode ?? '755', 8) };
  return { ...common, mode: Number.parseInt(mode ?? '644', 8), body: text.join(' ') };
}

/** @returns an operation as the planner would make it: `copy('a', 'b', '/to/')` */
export function copy(words: string, options: Partial<CopyOperation> = {}): CopyOperation {
  const parts = words.split(' ');
  return {
    kind: 'copy',
    range: { start: 2, end: 2 },
    text: `COPY ${words}`,
    createdBy: `COPY ${words} # buildkit`,
    add: false,
    origin: { kind: 'context' },
    sources: parts.slice(0, -1).map((written) => ({ kind: 'path', path: written, written })),
    destination: parts.at(-1)!,
    exclude: [],
    parents: false,
    ...options,
  };
}

export async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return Buffer.concat(parts);
}

/**
 * @returns the members in order: `d 755 0:0 etc/`, `f 644 0:0 etc/x 'text'`; a time stands behind when it is not TIME
 */
export function members(tar: Buffer, place: Place): string[] {
  const layer = place.layerOf(tar);
  using file = new LayerFile(layer);
  const tree = new LayerTree();
  const lines: string[] = [];
  scanTar(layer.tar, (entry) => {
    // What the tree refuses is no layer.
    tree.add(entry);
    lines.push(lineOf(entry, file));
  });
  return lines;
}

const LETTERS: Record<string, string> = {
  file: 'f',
  hardlink: 'h',
  symlink: 'l',
  directory: 'd',
  char: 'c',
  block: 'b',
  fifo: 'p',
};

function lineOf(entry: TarEntry, file: LayerFile): string {
  const { type, path, linkname, mode, uid, gid, mtime, size } = entry;
  const name = Buffer.from(path, 'latin1').toString() + (type === 'directory' ? '/' : '');
  const what =
    type === 'file'
      ? size > 200
        ? ` ${size} bytes`
        : ` '${Buffer.concat([...filled(file.contents(entry))]).toString()}'`
      : linkname === ''
        ? ''
        : ` -> ${linkname}`;
  const time = mtime === TIME ? '' : ` @${mtime}`;
  const xattrs = [...(entry.xattrs ?? [])].map(([key, value]) => ` ${key}=${value.toString()}`).join('');
  return `${LETTERS[type]} ${mode.toString(8)} ${uid}:${gid} ${name}${what}${xattrs}${time}`;
}
