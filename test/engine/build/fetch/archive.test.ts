/** What git archives, as a part of a tar: judged by tar's parser, in whatever pieces it comes. */
import { execFileSync } from 'node:child_process';
import test from 'ava';
import { archivePart } from '../../../../src/engine/build/fetch/archive.ts';
import { HuskError } from '../../../../src/errors.ts';
import { TarParser } from '../../../../src/tar/parser.ts';
import { TAR_END } from '../../../../src/tar/write.ts';
import { temporaryFolder } from '../../../fixtures/temporary.ts';
import { makeRepository } from './git-server.ts';

const LONG = `${'d'.repeat(120)}/${'f'.repeat(120)}`;
const work = temporaryFolder('husk-archive-');
makeRepository(work, 'a.git', { a: 'A'.repeat(513), [LONG]: 'L', l: { mode: '120000', data: 'x'.repeat(200) }, z: '' });
const archive = execFileSync('git', ['--git-dir', `${work}/a.git`, 'archive', '--format=tar', 'main']);

async function part(bytes: Buffer, piece: number): Promise<Buffer> {
  const pieces = async function* () {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  };
  const chunks: Buffer[] = [];
  for await (const chunk of archivePart(pieces(), 1234)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function listed(tar: Buffer): [path: string, size: number, mtime: number, linkname: string][] {
  const found: [string, number, number, string][] = [];
  const parser = new TarParser(({ path, size, mtime, linkname }) => void found.push([path, size, mtime, linkname]));
  parser.push(tar);
  parser.end();
  return found;
}

test('all members, one time, no end: two parts are one tar', async (t) => {
  const whole = await part(archive, archive.length);
  for (const piece of [1, 100, 511, 512, 513, 4096]) t.deepEqual(await part(archive, piece), whole);
  const expected = [
    ['a', 513, 1234, ''],
    [LONG.slice(0, 120), 0, 1234, ''],
    [LONG, 1, 1234, ''],
    ['l', 0, 1234, 'x'.repeat(200)],
    ['z', 0, 1234, ''],
  ];
  t.deepEqual(listed(Buffer.concat([whole, TAR_END])), expected as ReturnType<typeof listed>);
  t.deepEqual(listed(Buffer.concat([whole, whole, TAR_END])), [...expected, ...expected] as ReturnType<typeof listed>);
});

test('one that is cut off, or changed, is a part or refused', async (t) => {
  await t.throwsAsync(part(archive.subarray(0, 2000), 512), { message: /has no end/ });
  let random = 3;
  const next = (limit: number) => (random = (random * 48_271) % 2_147_483_647) % limit;
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(archive);
    bytes[next(bytes.length)] = next(256);
    await part(bytes, 1 + next(2000)).catch((error: unknown) => t.true(error instanceof HuskError, String(error)));
  }
});
