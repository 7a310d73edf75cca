/**
 * One case of the golden corpus (test/images/build/corpus/INDEX.md): its context is made, it is built by husk's own
 * command line in this process, and what came out is told in the words in which BuildKit's outcome was recorded.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { bzip2, gzip, xz, zstd } from './compressed.ts';
import type { Output } from '../../../src/cli/grammar/command.ts';
import { main } from '../../../src/cli/main.ts';
import { openEngine } from '../../../src/engine/assembly/engine.ts';
import { mergeLayers, type MergedNode } from '../../../src/images/layers/merge.ts';
import { LayerTree } from '../../../src/images/layers/tree.ts';
import type { Image } from '../../../src/images/store/contract.ts';
import { scanTar } from '../../../src/tar/scan.ts';
import { paddingOf, TAR_END, tarHeader } from '../../../src/tar/write.ts';

const checkout = join(import.meta.dirname, '../../..');

interface Member {
  name: string;
  type: 'f' | 'd' | 'l';
  data?: string;
  owner?: number;
}

type CaseFile =
  | string
  | {
      type?: 'file' | 'dir' | 'link' | 'hard' | 'fifo' | 'sock' | 'tar';
      data?: string;
      hex?: string;
      mode?: string;
      to?: string;
      compression?: 'none' | 'gz' | 'bz2' | 'xz' | 'zst';
      members?: Member[];
    };

export interface Outcome {
  rc: number;
  error?: string;
  excerpt?: string[];
  warnings?: string[];
  out?: string[];
  config?: Record<string, unknown>;
  tree?: Record<string, string>;
  /** `created_by` of the history, the newest first */
  history?: string[];
  later?: { rc: number; cached?: number; out?: string[] }[];
}

export interface GoldenCase {
  id: string;
  dockerfile?: string;
  files?: Record<string, CaseFile>;
  args?: string;
  env?: Record<string, string>;
  context?: string;
  stdin?: string;
  then?: { do?: string; args?: string }[];
  tree_is?: 'whole';
  buildkit: Omit<Outcome, 'later'> & { then?: Outcome['later'] };
}

/** `{{x*70000}}` stands for that many x. */
const long = (text: string): string =>
  text.replace(/\{\{(.)\*(\d+)\}\}/g, (_, letter: string, count: string) => letter.repeat(Number(count)));

/** @returns the folder of the context */
export function makeContext(parent: string, { dockerfile, files = {} }: GoldenCase): string {
  const folder = mkdtempSync(join(parent, 'context-'));
  chmodSync(folder, 0o755);
  if (dockerfile !== undefined) writeFileSync(join(folder, 'Dockerfile'), long(dockerfile));
  const modes: [string, number][] = [];
  // A folder's mode comes when all is in it.
  for (const [name, file] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    if (typeof file === 'string') {
      writeFileSync(path, long(file));
      continue;
    }
    const { type = 'file', data = '', hex, mode, to = '', compression = 'none', members = [] } = file;
    if (type === 'dir') mkdirSync(path, { recursive: true, mode: 0o755 });
    else if (type === 'link') symlinkSync(to, path);
    else if (type === 'hard') linkSync(join(folder, to), path);
    else if (type === 'fifo') spawnSync('mkfifo', [path]);
    else if (type === 'sock') makeSocket(path);
    else if (type === 'tar') writeFileSync(path, compress(tarOf(members), compression));
    else writeFileSync(path, hex === undefined ? long(data) : Buffer.from(hex, 'hex'));
    if (mode !== undefined) modes.push([path, Number.parseInt(mode, 8)]);
  }
  for (const [path, mode] of modes.reverse()) chmodSync(path, mode);
  return folder;
}

/** The name stays when whoever listened is gone, if nobody takes it away. */
function makeSocket(path: string): void {
  const server = createServer().listen(path);
  server.unref();
}

/** Members belong to 7:7 where they do not say. */
function tarOf(members: readonly Member[]): Buffer {
  const pieces = members.flatMap(({ name, type, data = '', owner = 7 }) => {
    const body = Buffer.from(type === 'f' ? data : '');
    return [
      tarHeader({
        type: type === 'f' ? 'file' : type === 'd' ? 'directory' : 'symlink',
        path: type === 'd' ? `${name}/` : name,
        linkname: type === 'l' ? data : '',
        mode: type === 'd' ? 0o755 : type === 'l' ? 0o777 : 0o640,
        uid: owner,
        gid: owner,
        size: body.length,
        mtime: 1_700_000_000,
      }),
      body,
      paddingOf(body.length),
    ];
  });
  return Buffer.concat([...pieces, TAR_END]);
}

function compress(bytes: Buffer, how: string): Buffer {
  const by = { none: (same: Buffer) => same, gz: gzip, bz2: bzip2, xz, zst: zstd }[how];
  if (!by) throw new Error(`unknown compression ${how}`);
  return by(bytes);
}

class Captured extends PassThrough implements Output {
  text = '';

  override write(bytes: string | Uint8Array): boolean {
    this.text += typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('utf8');
    return true;
  }
}

/** Runs husk's command line in this process, in a folder. */
export async function huskIn(
  folder: string,
  words: string[],
  options: { env?: Record<string, string>; stdin?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [new Captured(), new Captured()];
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? '');
  const before = process.cwd();
  process.chdir(folder);
  try {
    const code = await main(words, {
      stdout: stdout as unknown as Output,
      stderr: stderr as unknown as Output,
      stdin: stdin as unknown as NodeJS.ReadStream,
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...options.env },
    });
    return { code, stdout: stdout.text, stderr: stderr.text };
  } finally {
    process.chdir(before);
  }
}

/** where `buildIn` has the image's id written: beside the folder, which is the context */
export const idFileOf = (folder: string): string => `${folder}.iid`;

/** Builds what stands in a folder. @returns what was said, and the id of the image; '' where there is none */
export async function buildIn(
  folder: string,
  root: string,
  words: readonly string[] = [],
): Promise<{ code: number; said: string; id: string }> {
  const iid = idFileOf(folder);
  const options = ['--progress=plain', '--isolation=userns', '--iidfile', iid];
  const { code, stdout, stderr } = await huskIn(folder, ['--data-root', root, 'build', ...options, ...words, '.']);
  return { code, said: stdout + stderr, id: code === 0 ? readFileSync(iid, 'utf8') : '' };
}

/** As huskIn, in a process of its own: a machine's monitor is started out of what is built. */
export async function huskBeside(
  folder: string,
  words: string[],
  options: { env?: Record<string, string>; stdin?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', ...options.env };
  const child = spawn(join(checkout, 'bin/husk'), words, { cwd: folder, env, stdio: 'pipe' });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => (said[name] += text));
  child.stdin.end(options.stdin ?? '');
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...said };
}

interface Built {
  rc: number;
  stderr: string;
  out: string[];
  /** steps but FROM that came out of the cache, and all steps but FROM */
  cached: number;
  steps: number;
}

async function buildOnce(folder: string, { root, isolation }: Place, golden: GoldenCase, args: string): Promise<Built> {
  const husk = isolation === 'vm' ? huskBeside : huskIn;
  const { code, stderr } = await husk(
    folder,
    [
      '--data-root',
      root,
      'build',
      '--progress=plain',
      `--isolation=${isolation}`,
      ...args.split(' ').filter((word) => word !== ''),
      '-t',
      'result',
      golden.context ?? '.',
    ],
    { ...(golden.env && { env: golden.env }), ...(golden.stdin !== undefined && { stdin: golden.stdin }) },
  );
  const names = new Map([...stderr.matchAll(/^#(\d+) (\[.*)$/gm)].map(([, step, name]) => [step!, name!]));
  const isStep = (number: string): boolean => /^\[.*\] (?:RUN|COPY|ADD|WORKDIR)\b/.test(names.get(number) ?? '');
  const ended = (how: string): string[] =>
    [...stderr.matchAll(new RegExp(`^#(\\d+) ${how}`, 'gm'))].map(([, step]) => step!).filter(isStep);
  return {
    rc: code,
    stderr,
    out: [...stderr.matchAll(/^#\d+ [\d.]+ (OUT:.*)$/gm)].map(([, line]) => line!),
    cached: ended('CACHED').length,
    steps: [...names.keys()].filter(isStep).length,
  };
}

interface Place {
  /** the data root */
  root: string;
  isolation: 'userns' | 'vm';
}

/** Builds a case and what follows it. */
export async function runCase(
  folder: string,
  root: string,
  golden: GoldenCase,
  box: Image,
  isolation: Place['isolation'] = 'userns',
): Promise<Outcome> {
  const place = { root, isolation };
  const first = await buildOnce(folder, place, golden, golden.args ?? '');
  const outcome: Outcome = { rc: first.rc };
  if (first.rc !== 0) {
    outcome.error = first.stderr
      .split('\n')
      .filter((line) => line.startsWith('ERROR: ') || line.startsWith('Error: '))
      .at(-1);
    const [, excerpt] = /^-{20}\n([^]*?)\n-{20}$/m.exec(first.stderr) ?? [];
    if (excerpt !== undefined) outcome.excerpt = excerpt.split('\n');
  }
  outcome.out = first.out;
  outcome.warnings = [...first.stderr.matchAll(/^ - \w+: (.*) \(line \d+\)$/gm)].map(([, text]) => text!);
  const later: NonNullable<Outcome['later']> = [];
  for (const step of golden.then ?? []) {
    if (step.do !== undefined) spawnSync('sh', ['-c', step.do], { cwd: folder });
    const built = await buildOnce(folder, place, golden, step.args ?? golden.args ?? '');
    // BuildKit says of a local base that it is cached when a step above it is made, and nothing otherwise.
    const cached = built.cached + (built.cached < built.steps ? 1 : 0);
    later.push({ rc: built.rc, cached, out: built.out });
  }
  if (later.length > 0) outcome.later = later;
  if (first.rc === 0) {
    using engine = await openEngine({ dataRoot: root });
    const image = engine.images.get('result');
    outcome.config = configBeside(image, box);
    outcome.tree = treeBeside(image, golden.tree_is === 'whole' ? undefined : box);
    outcome.history = (image.config.history ?? []).map((entry) => entry.created_by ?? '').reverse();
  }
  return outcome;
}

function configBeside({ config }: Image, box: Image): Record<string, unknown> {
  const own = (config.config ?? {}) as Record<string, unknown>;
  const base = (box.config.config ?? {}) as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(own).filter(
      // The corpus tells nothing of what is empty.
      ([key, value]) =>
        JSON.stringify(value) !== JSON.stringify(base[key]) &&
        !['""', '[]', '{}', 'null'].includes(JSON.stringify(value)),
    ),
  );
}

/** `type mode uid:gid content` of an image, by path. */
export function treeOf({ layers }: Image): Map<string, string> {
  const trees = layers.map(({ tar }) => {
    const tree = new LayerTree();
    scanTar(tar, (entry) => tree.add(entry));
    return tree;
  });
  const found = new Map<string, string>();
  const first = new Map<MergedNode, string>();
  const walk = (folder: MergedNode, path: string): void => {
    if (folder.kind !== 'directory') return;
    for (const [name, node] of [...folder.children].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const text = Buffer.from(name, 'latin1').toString('utf8');
      const at = path === '' ? text : `${path}/${text}`;
      found.set(at, describe(node, at, first, layers));
      walk(node, at);
    }
  };
  walk(mergeLayers(trees), '');
  return found;
}

function describe(node: MergedNode, path: string, first: Map<MergedNode, string>, layers: Image['layers']): string {
  const { entry } = node;
  const mode = (entry?.mode ?? 0o755).toString(8).padStart(4, '0');
  const owner = `${entry?.uid ?? 0}:${entry?.gid ?? 0}`;
  if (node.kind === 'directory') return `d ${mode} ${owner}`;
  const known = first.get(node);
  if (known !== undefined) return `h ${mode} ${owner} -> ${known}`;
  first.set(node, path);
  switch (node.entry.type) {
    case 'symlink':
      return `l 0777 ${owner} -> ${Buffer.from(node.entry.linkname, 'latin1').toString()}`;
    case 'fifo':
      return `p ${mode} ${owner}`;
    case 'file':
      return `f ${mode} ${owner} ${quoted(contents(layers[node.layer]!.tar, node.entry.dataOffset, node.entry.dataSize))}`;
    default:
      return `${node.entry.type} ${mode} ${owner}`;
  }
}

function contents(tar: string, offset: number, size: number): string {
  const fd = openSync(tar, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(size, 200));
    readSync(fd, bytes, 0, bytes.length, offset);
    return bytes.toString('utf8');
  } finally {
    closeSync(fd);
  }
}

/** As Python's repr has it. */
function quoted(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escapes: Record<string, string> = {
    '\n': '\\n',
    '\t': '\\t',
    '\r': '\\r',
    '\\': '\\\\',
    '\ufeff': '\\ufeff',
    [mark]: `\\${mark}`,
  };
  return `${mark}${text.replace(/[\n\t\r\\'"\ufeff]/g, (letter) => escapes[letter] ?? letter)}${mark}`;
}

function treeBeside(image: Image, box: Image | undefined): Record<string, string> {
  const own = treeOf(image);
  const base = box ? treeOf(box) : new Map<string, string>();
  const changed: Record<string, string> = {};
  for (const [path, what] of own) if (base.get(path) !== what) changed[path] = what;
  for (const path of base.keys()) if (!own.has(path)) changed[path] = 'DELETED';
  return changed;
}
