/** Build caches that travel: what one data root writes, another finds, and what is missing or lies costs a warning. */
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { missingImageTools, startRegistry, type Registry } from '../../fixtures/images.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { CacheImports } from '../../../src/engine/build/caches.ts';
import type { Steps } from '../../../src/engine/build/steps.ts';
import { makeBox } from './box.ts';
import { huskIn, makeContext } from './golden-case.ts';

const missing = missingImageTools();
const real = missing ? test.skip : test.serial;
if (missing) test(`real registry: skipped: ${missing}`, (t) => t.pass());

const work = temporaryFolder('husk-caches-');
chmodSync(work, 0o755);
const DOCKERFILE = `FROM box AS tools
RUN echo tool > /tool
RUN echo unused > /unused
FROM box AS lower
COPY f /f
FROM lower
WORKDIR /w
COPY --from=tools /tool /tool
RUN cat /tool /f > /both
`;
const STEPS = 6;
/** both copies of /tool are one layer */
const LAYERS = 5;
const folder = makeContext(work, { id: 'caches', dockerfile: DOCKERFILE, files: { f: 'f' }, buildkit: { rc: 0 } });

let count = 0;
let registry: Registry;

const husk = async (root: string, words: string[]) => {
  const done = await huskIn(folder, ['--data-root', root, ...words]);
  if (done.code !== 0) throw new Error(done.stderr);
  return done.stderr;
};

/** A new data root with the same base. */
async function newRoot(): Promise<string> {
  const root = join(work, `root-${count++}`);
  await husk(root, ['load', '-q', '-i', join(work, 'box-image.tar')]);
  return root;
}

async function build(root: string, ...words: string[]) {
  const iid = join(work, `iid-${count++}`);
  const said = await husk(root, ['build', '--progress=plain', '--isolation=userns', '--iidfile', iid, ...words, '.']);
  const steps = new Map(
    [...said.matchAll(/^#(\d+) \[(?!internal)[^\]]*\] (RUN|COPY|WORKDIR)/gm)].map(([, step]) => [step!, true]),
  );
  const cached = [...said.matchAll(/^#(\d+) CACHED$/gm)].filter(([, step]) => steps.has(step!)).length;
  return { said, id: readFileSync(iid, 'utf8'), cached, made: steps.size - cached };
}

test.before(async () => {
  const root = join(work, 'root-box');
  await makeBox(work, root);
  await husk(root, ['save', '-o', join(work, 'box-image.tar'), 'box']);
  if (!missing) registry = await startRegistry();
});
test.after.always(async () => registry?.[Symbol.asyncDispose]());

for (const [what, to, from] of [
  ['registry', 'type=registry,ref=HOST/cache:max,mode=max', 'type=registry,ref=HOST/cache:max'],
  ['registry, zstd', 'type=registry,ref=HOST/cache:zstd,mode=max,compression=zstd', 'HOST/cache:zstd'],
  ['folder', 'type=local,dest=FOLDER,mode=max', 'type=local,src=FOLDER'],
  ['folder, gzip, tag', 'type=local,dest=FOLDER,mode=max,compression=gzip,tag=t', 'type=local,src=FOLDER,tag=t'],
] as const)
  real(`${what}: another data root has every step out of the cache, and the same image`, async (t) => {
    const place = (text: string) => text.replace('HOST', registry.host).replace('FOLDER', join(work, 'cache-folder'));
    const first = await build(await newRoot(), '--cache-to', place(to));
    t.deepEqual([first.cached, first.made], [0, STEPS], first.said);
    const root = await newRoot();
    const second = await build(root, '--cache-from', place(from));
    t.deepEqual([second.cached, second.made], [STEPS, 0], second.said);
    t.is(second.id, first.id);
    // What was fetched is here now.
    const third = await build(root);
    t.deepEqual([third.cached, third.id], [STEPS, first.id], third.said);
  });

real('an image that has its cache in it gives the steps of its own stages', async (t) => {
  const name = `${registry.host}/app:1`;
  const root = await newRoot();
  const first = await build(root, '-t', name, '--cache-to', 'type=inline');
  await husk(root, ['push', '-q', name]);
  const second = await build(await newRoot(), '--cache-from', name, '--cache-to', 'type=inline');
  // The two steps of the stage that is copied from are in no layer of the image.
  t.deepEqual([second.cached, second.made], [STEPS - 2, 2], second.said);
  // Only the steps that were made anew have other times, and none of them is in the image.
  t.is(second.id, first.id);
  const plain = await build(root);
  t.not(plain.id, first.id, 'the cache is a part of the config');
});

real('what skopeo copies is the same cache, and a second export sends nothing', async (t) => {
  const ref = `${registry.host}/copied:1`;
  const root = await newRoot();
  const first = await build(root, '--cache-to', `type=registry,ref=${ref},mode=max`);
  const again = await build(root, '--cache-to', `type=registry,ref=${ref},mode=max`);
  t.is([...first.said.matchAll(/ writing layer sha256:/g)].length, LAYERS, first.said);
  t.regex(again.said, / has layer sha256:/);
  t.notRegex(again.said, / writing layer/);
  const copy = join(work, 'skopeo-copy');
  execFileSync('skopeo', [
    '--insecure-policy',
    'copy',
    '-q',
    '--src-tls-verify=false',
    `docker://${ref}`,
    `oci:${copy}:c`,
  ]);
  const second = await build(await newRoot(), '--cache-from', `type=local,src=${copy},tag=c`);
  t.deepEqual([second.cached, second.id], [STEPS, first.id], second.said);
});

test.serial('a cache that is missing, or lies, costs a warning; --no-cache asks none', async (t) => {
  const cache = join(work, 'lying');
  const first = await build(await newRoot(), '--cache-to', `type=local,dest=${cache},mode=max`);
  const none = await build(await newRoot(), '--no-cache', '--cache-from', `type=local,src=${cache}`);
  t.is(none.cached, 0, none.said);
  // One byte of every layer is another: of the only file that the first COPY has, or of a header.
  const blobs = join(cache, 'blobs/sha256');
  for (const name of readdirSync(blobs)) {
    const bytes = readFileSync(join(blobs, name));
    if (bytes[0] === '{'.charCodeAt(0)) continue;
    bytes[512]! ^= 1;
    writeFileSync(join(blobs, name), bytes);
  }
  const root = await newRoot();
  const second = await build(root, '--cache-from', '127.0.0.1:1/nothing', '--cache-from', `type=local,src=${cache}`);
  t.is(second.cached, 0, second.said);
  t.regex(second.said, /the cache 127\.0\.0\.1:1\/nothing is not used: /);
  t.regex(second.said, /\] COPY f \/f: what the cache \S+ has is not used: .*\bdigest\b/);
  t.deepEqual(
    readdirSync(join(root, 'tmp')).filter((name) => name.startsWith('half')),
    [],
  );
  // A second export mends what is damaged.
  await build(root, '--cache-to', `type=local,dest=${cache},mode=max`);
  const third = await build(await newRoot(), '--cache-from', `type=local,src=${cache}`);
  t.is(third.cached, STEPS, third.said);
  t.truthy(first.id);
});

test.serial('a cache that cannot be written fails the build, unless that is to be told only', async (t) => {
  const root = await newRoot();
  const file = join(work, 'a-file');
  writeFileSync(file, '');
  await t.throwsAsync(build(root, '--cache-to', `type=local,dest=${file}`), {
    message: /failed to solve: the cache \S+a-file was not written: cannot write .*a-file: file exists/,
  });
  const { said } = await build(root, '--cache-to', `type=local,dest=${file},ignore-error=true`);
  t.regex(said, /the cache \S+a-file was not written: /);
  rmSync(file);
});

for (const [what, stop, told] of [
  ['a cache that no step asked for is not waited for, and nothing was cancelled', undefined, ['not needed', 'done']],
  ['a cache is still opened when the build is interrupted', new Error('interrupted'), ['canceled']],
] as const)
  test(what, async (t) => {
    const said: string[] = [];
    const outer = new AbortController();
    const step = { message: (text: string) => void said.push(text), end: (how: string) => void said.push(how) };
    const openCache = (_: unknown, signal?: AbortSignal) =>
      new Promise<never>((_done, fail) => signal!.addEventListener('abort', () => fail(signal!.reason)));
    {
      await using imports = new CacheImports({
        store: { openCache, keep: () => t.fail() },
        sources: [{ type: 'local', folder: '/nowhere' }],
        steps: { start: () => step } as unknown as Steps,
        note: (text) => t.fail(text),
        signal: outer.signal,
      });
      t.truthy(imports);
      if (stop) outer.abort(stop);
    }
    t.deepEqual(said, [...told]);
  });
