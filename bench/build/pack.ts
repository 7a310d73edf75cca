/**
 * What packing a layer costs: `pack.ts FOLDER TAR`, as root of a user namespace: makes a layer of a folder as a build
 * does of what a step has written, and prints the ms of CPU time that took. The code is as cold as it is for the first
 * step of a build.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { sealUpper } from '../../src/container/files/seal.ts';
import { loadLibc } from '../../src/host/libc.ts';
import { TarParser } from '../../src/tar/parser.ts';

const [folder, tar] = process.argv.slice(2) as [string, string];
loadLibc();
const hash = createHash('sha256');
const parser = new TarParser(() => {});
const before = process.cpuUsage();
const upper = openSync(folder, 'r');
const out = openSync(tar, 'w');
for (const piece of sealUpper(upper, { lower: () => [] })) {
  hash.update(piece);
  parser.push(piece);
  writeSync(out, piece);
}
parser.end();
closeSync(out);
const { user, system } = process.cpuUsage(before);
console.log((user + system) / 1000);
