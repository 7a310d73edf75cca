/** Layers as a hostile guest may tell them: what passes is stored, anything else leaves nothing behind. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { layerDoor } from '../../../../src/engine/build/run/layer-door.ts';
import { HuskError } from '../../../../src/errors.ts';
import { ingestLayer } from '../../../../src/images/layers/ingest.ts';
import { member, tarball } from '../../../fixtures/tar.ts';

/** bytes that a layer may have here */
const MAX_SIZE = 1 << 20;
const END = Buffer.alloc(1024);
const tar = (...members: Parameters<typeof member>[0][]): Buffer => Buffer.concat([...members.map(member), END]);

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function* endless(): AsyncGenerator<Buffer> {
  yield member({ name: 'big', size: 0o77777777777, body: '' });
  for (;;) yield Buffer.alloc(64 << 10);
}

async function* many(): AsyncGenerator<Buffer> {
  for (let number = 0; ; number++) yield member({ name: `f${number}` });
}

/** @returns the error's text, or undefined; and what is left on the disk */
async function ingested(source: AsyncIterable<Uint8Array>): Promise<{ error?: string; kind?: string; left: string[] }> {
  const root = mkdtempSync(join(tmpdir(), 'husk-door-'));
  const [tmp, layersDir] = [join(root, 'tmp'), join(root, 'layers')];
  const left = () => [tmp, layersDir].flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []));
  try {
    await ingestLayer({ source: layerDoor(source), diffId: undefined, tmp, layersDir, maxSize: MAX_SIZE });
    return { left: left() };
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    return { error: error.message, kind: error.kind, left: left() };
  } finally {
    rmSync(root, { recursive: true });
  }
}

const whole = tar(
  { name: 'd/', type: '5', mode: 0o755 },
  { name: 'd/f', body: 'x'.repeat(700) },
  { name: 'd/.wh.gone' },
);

for (const size of [1, 511, 512, 10_000])
  test(`a layer as the packer writes it passes, in pieces of ${size}`, async (t) => {
    const { error, left } = await ingested(pieces(whole, size));
    t.is(error, undefined);
    t.is(left.length, 1);
  });

const HOSTILE: [what: string, bytes: Buffer | (() => AsyncIterable<Buffer>), error: RegExp][] = [
  ['a character device', tar({ name: 'dev', type: '3', major: 1, minor: 3 }), /\/dev is a device/],
  ['the character device that overlay takes for a whiteout', tar({ name: 'gone', type: '3' }), /\/gone is a device/],
  ['a block device', tar({ name: 'sda', type: '4', major: 8 }), /\/sda is a device/],
  ['the root itself', tar({ name: './', type: '5', mode: 0 }), /it says what \/ is/],
  ['a path that leads out', tar({ name: '../out', body: 'x' }), /\.\./],
  ['a path that leads out of a folder', tar({ name: 'a/../../out', body: 'x' }), /\.\./],
  ['a hard link that leads out', tar({ name: 'l', type: '1', link: '../../etc/shadow' }), /\.\.|hard link/],
  ['a hard link to nothing', tar({ name: 'l', type: '1', link: 'nothing' }), /hard link/],
  ['a whiteout of the folder above', tar({ name: '.wh...' }), /whiteout/],
  ['a whiteout as a folder', tar({ name: '.wh.x/f', body: 'x' }), /whiteout/],
  ['a file below a link to a file', tar({ name: 'f' }, { name: 'l', type: '2', link: 'f' }, { name: 'l/x' }), /folder/],
  ['a header that lies about its length', tar({ name: 'f', size: 5000, body: 'short' }), /cut short|end|trunc/],
  ['a negative length', tar({ name: 'f', patch: (header) => void header.fill(0xff, 124, 136) }), /size|number|length/],
  ['a wrong checksum', tar({ name: 'f', checksum: 1 }), /checksum/],
  ['a tar that is cut short', whole.subarray(0, 900), /cut short|end|trunc/],
  ['no tar', Buffer.from('#!/bin/sh\necho hello\n'.repeat(100)), /tar|checksum/],
  ['nothing', Buffer.alloc(0), /it has no end/],
  ['a tar that ends between two members', whole.subarray(0, 512), /it has no end/],
  ['a compressed tar', gzipSync(whole), /tar|checksum|end|short/],
  ['bytes behind the end', Buffer.concat([whole, Buffer.alloc(1 << 16, 'x')]), /behind its end/],
  ['a file without end', endless, /larger than 1048576 bytes/],
  ['files without end', many, /larger than 1048576 bytes/],
];

for (const [what, bytes, error] of HOSTILE)
  test(`${what} is refused, and nothing is left`, async (t) => {
    const result = await ingested(Buffer.isBuffer(bytes) ? pieces(bytes, 512) : bytes());
    t.regex(result.error ?? 'it passed', error);
    t.true(['corrupt', 'limit'].includes(result.kind!), result.kind);
    t.deepEqual(result.left, []);
  });

test('a failure of the machine in the middle is the failure', async (t) => {
  async function* broken(): AsyncGenerator<Buffer> {
    yield tarball({ name: 'a' }).subarray(0, 512);
    throw new HuskError('the machine is gone', { kind: 'start-failed' });
  }
  t.deepEqual(await ingested(broken()), { error: 'the machine is gone', kind: 'start-failed', left: [] });
});
