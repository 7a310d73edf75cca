/** The sandbox of the program that fetches, looked at from outside while a server lets it wait. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { startFetchProgram } from '../../../src/rootless/build/fetch.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const root = temporaryFolder('husk-fetch-');
const tmp = join(root, 'tmp');
mkdirSync(tmp, { mode: 0o711 });
const marked = join(root, 'marked');
writeFileSync(marked, 'of the host', { mode: 0o644 });

/** folders of the sandbox's root that are not there for husk's own code */
const USUAL = new Set(['bin', 'dev', 'etc', 'lib', 'lib32', 'lib64', 'libx32', 'proc', 'run', 'sbin', 'tmp', 'usr']);
/** where it may write */
const WRITABLE = /^\/(?:run\/husk-work|dev|proc)(?:\/|$)/;

/** @returns the pid of the program in a sandbox of this process: Node, started with `fetch` */
function programs(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--internal\0fetch\0/run/husk-work');
      } catch {
        return false;
      }
    })
    .map(Number);
}

test('it sees programs and certificates, writes to one folder, and has no right', async (t) => {
  const asked = Promise.withResolvers<void>();
  const server = createServer(() => asked.resolve());
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const folder = join(tmp, 'tree-of-a-test');
  const before = programs();
  const program = await startFetchProgram({
    paths: { dataRoot: root },
    folder,
    hosts: '127.0.0.1 localhost\n',
    resolvConf: '',
    maxFile: 1 << 20,
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  program.stdin.write(`${JSON.stringify({ kind: 'http', url, etags: [], maxSize: 10, userAgent: 'x' })}\n`);
  await asked.promise;
  const [pid] = programs().filter((each) => !before.includes(each));
  const at = `/proc/${pid}`;
  const own = process.execPath.split('/')[1]!;
  const code = import.meta.dirname.split('/')[1]!;
  t.deepEqual(
    readdirSync(`${at}/root`).filter((name) => !USUAL.has(name) && name !== own && name !== code),
    [],
  );
  const hasCode = (path: string): boolean =>
    [process.execPath, import.meta.dirname].some((each) => each.startsWith(`${path}/`));
  for (const path of [marked, '/etc/shadow', '/etc/machine-id', '/root', '/home', '/var'])
    t.is(existsSync(`${at}/root${path}`), hasCode(path), path);
  for (const [name, value] of [
    ['CapEff', '0000000000000000'],
    ['CapPrm', '0000000000000000'],
    ['CapBnd', '0000000000000000'],
    ['NoNewPrivs', '1'],
    ['Seccomp', '2'],
  ])
    t.regex(readFileSync(`${at}/status`, 'utf8'), new RegExp(`^${name}:\\s+${value}$`, 'm'));
  const mounts = readFileSync(`${at}/mountinfo`, 'utf8').trim().split('\n');
  t.true(mounts.length > 5);
  for (const line of mounts) {
    const [, , , , place, options] = line.split(' ') as string[];
    if (!WRITABLE.test(place!)) t.true(options!.split(',').includes('ro'), line);
    if (place !== '/' && !place!.startsWith('/proc')) t.true(options!.split(',').includes('nosuid'), line);
  }
  await program[Symbol.asyncDispose]();
  t.false(existsSync(folder));
  t.deepEqual(
    programs().filter((each) => !before.includes(each)),
    [],
  );
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});
