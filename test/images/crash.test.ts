/**
 * kill -9 of a pulling or removing process at random points: the store stays whole, and the next command finishes the
 * work.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { TIMEOUT } from '../fixtures/user.ts';
import { gzipSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { digestOf, hostileRegistry, tarOf, testImage } from './hostile-registry.ts';
import { testStore } from './store.ts';

const ROUNDS = 25;
/** ms; a whole pull takes a little longer here */
const LONGEST_LIFE = 250;

const PROGRAM = `
  import { testStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))};
  const [dataRoot, reference, action] = process.argv.slice(1);
  const { store } = testStore({ dataRoot });
  process.stdout.write('x');
  if (action === 'pull') await store.pull(reference);
  else { try { store.remove(reference, { force: true, inUse: () => [] }); } catch {} await store.swept; }
`;

function killed(args: string[], life: number): Promise<number | null> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', PROGRAM, ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  // counted from where the work begins: most of a short life would be Node's start
  child.stdout!.once('data', () => setTimeout(() => child.kill('SIGKILL'), life).unref());
  return new Promise((resolve) => child.once('exit', resolve));
}

test('a store survives kill -9 at any moment of pull and rmi', async (t) => {
  t.timeout(TIMEOUT);
  const tars = [1, 2, 3].map((n) => tarOf(`file-${n}`, randomBytes((2 << 20) + n)));
  const layers = tars.map((tar) => gzipSync(tar, { level: 1 }));
  const image = testImage({
    tar: tars[0]!,
    layer: layers[0]!,
    config: (config) => {
      config['rootfs'] = { type: 'layers', diff_ids: tars.map(digestOf) };
    },
    manifest: (manifest) => {
      manifest.layers = layers.map((layer) => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        digest: digestOf(layer),
        size: layer.length,
      }));
    },
  });
  for (const layer of layers) image.blobs.set(digestOf(layer), layer);
  await using registry = await hostileRegistry(image, (request, response, url) => {
    const blob = image.blobs.get(url.pathname.split('/').at(-1)!);
    if (!blob || blob.length < 1 << 20) return false;
    // in quarters, so that a kill hits the middle of a download
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from >= blob.length) return false;
    response.writeHead(from ? 206 : 200, {
      'content-length': blob.length - from,
      ...(from ? { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` } : {}),
    });
    let at = from;
    const next = () => {
      if (response.destroyed) return;
      const end = Math.min(blob.length, at + (512 << 10));
      const last = end === blob.length;
      response.write(blob.subarray(at, end));
      at = end;
      if (last) response.end();
      else setTimeout(next, 20);
    };
    next();
    return true;
  });
  using s = testStore();
  const reference = `${registry.host}/x:latest`;
  let interrupted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const action = round % 3 === 2 ? 'remove' : 'pull';
    if (
      (await killed([s.paths.dataRoot, reference, action], Math.random() * (action === 'pull' ? LONGEST_LIFE : 10))) ===
      null
    )
      interrupted++;
    t.deepEqual(s.fsck(), [], `after round ${round}`);
  }
  t.true(interrupted > ROUNDS / 4, `only ${interrupted} of ${ROUNDS} were interrupted`);
  const { image: pulled } = await s.store.pull(reference);
  t.is(pulled.layers.length, 3);
  t.deepEqual([s.fsck(), s.names('tmp').filter((name) => !name.startsWith('removed-'))], [[], []]);
  s.store.prune({ all: true, inUse: () => false });
  await s.store.swept;
  t.deepEqual([s.names('tmp'), s.names('layers'), s.names('blobs')], [[], [], []]);
});
