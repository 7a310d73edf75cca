/** Which compression bytes have: magic numbers, and what only begins like one. */
import test from 'ava';
import { sniff, type Compression } from '../../../src/images/layers/decompress.ts';
import { tarHeader } from '../../../src/tar/write.ts';

const KINDS: [what: string, start: Buffer, kind: Compression][] = [
  ['gzip', Buffer.from('1f8b0800', 'hex'), 'gzip'],
  ['zstd', Buffer.from('28b52ffd00', 'hex'), 'zstd'],
  ['a skippable frame of zstd', Buffer.from('5a2a4d1800', 'hex'), 'zstd'],
  ['xz', Buffer.from('fd377a585a0000', 'hex'), 'xz'],
  ['bzip2', Buffer.from('425a6839314159265359', 'hex'), 'bzip2'],
  ['bzip2 of nothing', Buffer.from('425a6839177245385090', 'hex'), 'bzip2'],
  ['the beginning of a bzip2', Buffer.from('425a6839', 'hex'), 'none'],
  ['a tar whose first file is called BZh9', tarHeader({ type: 'file', path: 'BZh9' }), 'none'],
  ['nothing', Buffer.alloc(0), 'none'],
];
for (const [what, start, kind] of KINDS) test(`${what} is ${kind}`, (t) => t.is(sniff(start), kind));
