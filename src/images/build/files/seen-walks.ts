/**
 * What earlier builds found by walking a context, so that a build whose context is as it was looks at each inode once
 * and makes nothing of it: one file for each question that was asked of a context, beside the context's index. It has
 * the answer and, folder by folder, the names and identities of all inodes that were looked at; those folders first
 * that were changed last. A folder whose names were asked for is one of them: its times move when a name comes or goes.
 * The answer counts while all of them are the same, by the index's own rule (context-index.ts), git's racy rule
 * included.
 *
 * A walk that something else than inodes has a part in is not kept: one that left out a socket, which is told each
 * time, or a folder that would be there if a name in it were let in again.
 */
import { hash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HuskError } from '../../../errors.ts';
import { type FactsTable, IDENTITY_WORDS, KnownInodes } from '../../../host/files/facts.ts';
import { type ByteString, toBytes } from '../../../tar/byte-string.ts';
import { type ContextIndex, TICK, writeKept } from './context-index.ts';
import type { Answers, SourceNode } from './source.ts';

/**
 * What a file begins with: another version is another format. Then, little-endian: 32-bit numbers (folders, inodes,
 * bytes of the folders' paths, of the names, of the answer) and the SHA-256 of what follows: the identity of each inode
 * (FactsTable), how many of them each folder has, the length of each name (a byte), the paths and the names, each with
 * a NUL, and the answer.
 */
const FORMAT = Buffer.from('husk-walk-1\n\0\0\0\0');
const NUMBERS = 5;
const DIGEST = 32;
const HEADER = FORMAT.length + 4 * NUMBERS + DIGEST;
/** most inodes of a walk that is kept: 15 MB */
const MAX_INODES = 200_000;
/** questions of one context whose walks are kept, those of the latest builds */
const MAX_WALKS = 32;

/** A node of a tree that notes which walk last asked for it. */
export interface WalkedNode extends SourceNode {
  row: number;
  /** number of the last walk that it was part of */
  walk: number;
  /** number of the last walk that asked for its names, or for one that it has not */
  listed: number;
  children: Map<ByteString, WalkedNode | undefined> | undefined;
}

/** A tree that is walked, and where its walks are kept. */
export interface WalkedTree {
  readonly root: WalkedNode;
  readonly facts: FactsTable;
  readonly index: ContextIndex;
  /** what leaves names out, as text */
  readonly rules: string;
  /** whether inodes alone have decided what was found so far */
  readonly isPlain: () => boolean;
  /** Opens a folder; the descriptor is good until the next call. @throws HuskError when it is not there any more */
  readonly open: (path: ByteString) => number;
}

export class SeenWalks implements Answers {
  /** number of the walk that goes on; several at once are each part of the others' */
  current = 0;
  readonly #tree: WalkedTree;

  constructor(tree: WalkedTree) {
    this.#tree = tree;
  }

  known(question: string): string | undefined {
    const walk = read(this.#file(question));
    if (walk === undefined) return undefined;
    try {
      for (const { path, count } of walk.folders)
        if (!walk.inodes.areStill(this.#tree.open(path), count)) return undefined;
    } catch (error) {
      // A folder is gone: the walk that comes now says what that means.
      if (!(error instanceof HuskError)) throw error;
      return undefined;
    }
    return walk.answer;
  }

  begin(question: string): (answer: string) => void {
    const from = ++this.current;
    return (answer) => {
      const bytes = this.#tree.isPlain() ? this.#encode(from, answer) : undefined;
      if (bytes === undefined) return;
      const file = this.#file(question);
      writeKept(file, bytes);
      collect(`${this.#tree.index.file}-`);
    };
  }

  #file(question: string): string {
    return `${this.#tree.index.file}-${hash('sha256', JSON.stringify([question, this.#tree.rules]), 'hex')}`;
  }

  /**
   * @returns undefined where an inode was so young that a second change could look like the first, or is of another
   * file system than the context, whose folders may keep their times when a name comes
   */
  #encode(from: number, answer: string): Buffer | undefined {
    const { root, facts, index } = this.#tree;
    const walked: { path: ByteString; inodes: { name: ByteString; row: number }[]; newest: number }[] = [];
    let count = 0;
    const folders: { path: ByteString; node: WalkedNode }[] = [{ path: '', node: root }];
    if (root.listed >= from) walked.push({ path: '', inodes: [{ name: '.', row: root.row }], newest: 0 });
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const inodes: { name: ByteString; row: number }[] = [];
      for (const [name, node] of folder.node.children ?? []) {
        if (node === undefined) continue;
        if (node.walk >= from || node.listed >= from) inodes.push({ name, row: node.row });
        if (node.children !== undefined)
          folders.push({ path: folder.path === '' ? name : `${folder.path}/${name}`, node });
      }
      count += inodes.length;
      if (count > MAX_INODES) return undefined;
      if (inodes.length > 0) walked.push({ path: folder.path, inodes, newest: 0 });
    }
    for (const folder of walked)
      for (const { row } of folder.inodes) {
        const newest = facts.newest(row);
        if (newest + TICK >= index.began || !facts.shareDevice(row, root.row)) return undefined;
        folder.newest = Math.max(folder.newest, newest);
      }
    // What was changed last is mostly what is changed next: looked at first, it spares a look at all that is the same.
    walked.sort((one, other) => other.newest - one.newest);
    const inodes = walked.flatMap((folder) => folder.inodes);
    const identities = new Uint32Array(inodes.length * IDENTITY_WORDS);
    for (const [at, { row }] of inodes.entries()) facts.copyIdentity(row, identities, at * IDENTITY_WORDS);
    const names = inodes.map(({ name }) => name);
    const counts = walked.map((folder) => folder.inodes.length);
    const pathBytes = toBytes(walked.map(({ path }) => `${path}\0`).join(''));
    const nameBytes = toBytes(names.map((name) => `${name}\0`).join(''));
    const answerBytes = toBytes(answer);
    const rest = Buffer.concat([
      Buffer.from(identities.buffer),
      Buffer.from(Uint32Array.from(counts).buffer),
      Uint8Array.from(names, ({ length }) => length),
      pathBytes,
      nameBytes,
      answerBytes,
    ]);
    const header = Buffer.alloc(HEADER);
    FORMAT.copy(header);
    const numbers = [counts.length, inodes.length, pathBytes.length, nameBytes.length, answerBytes.length];
    for (const [at, number] of numbers.entries()) header.writeUInt32LE(number, FORMAT.length + 4 * at);
    header.write(hash('sha256', rest, 'hex'), HEADER - DIGEST, 'hex');
    return Buffer.concat([header, rest]);
  }
}

interface Walk {
  folders: readonly { path: ByteString; count: number }[];
  inodes: KnownInodes;
  answer: string;
}

/** @returns undefined where the file is not there, is of another format, or is not what was written */
function read(file: string): Walk | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
  if (bytes.length < HEADER || !bytes.subarray(0, FORMAT.length).equals(FORMAT)) return undefined;
  const numbers = Array.from({ length: NUMBERS }, (_, at) => bytes.readUInt32LE(FORMAT.length + 4 * at));
  const [folders, inodes, pathBytes, nameBytes, answer] = numbers as [number, number, number, number, number];
  const words = inodes * IDENTITY_WORDS + folders;
  if (bytes.length !== HEADER + 4 * words + inodes + pathBytes + nameBytes + answer) return undefined;
  if (bytes.toString('hex', HEADER - DIGEST, HEADER) !== hash('sha256', bytes.subarray(HEADER), 'hex'))
    return undefined;
  let at = HEADER;
  const take = (length: number): Buffer => bytes.subarray(at, (at += length));
  // A copy: the words of a view would have to begin at a multiple of four.
  const numbersOf = new Uint32Array(new Uint8Array(take(4 * words)).buffer);
  const lengths = take(inodes);
  const paths = take(pathBytes).toString('latin1').split('\0');
  const counts = numbersOf.subarray(inodes * IDENTITY_WORDS);
  return {
    inodes: new KnownInodes(lengths, take(nameBytes), numbersOf),
    folders: Array.from(counts, (count, index) => ({ path: paths[index]!, count })),
    answer: take(answer).toString('latin1'),
  };
}

/** Removes the walks of a context that no build has kept for longest. @param prefix of their files */
function collect(prefix: string): void {
  const folder = dirname(prefix);
  const files = readdirSync(folder).filter((name) => name.startsWith(basename(prefix)));
  if (files.length <= MAX_WALKS) return;
  const byAge = files
    .map((name) => ({ name, time: statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.time - a.time);
  for (const { name } of byAge.slice(MAX_WALKS)) rmSync(join(folder, name), { force: true });
}
