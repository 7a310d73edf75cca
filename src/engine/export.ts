/**
 * `export`: a container's whole file system as a tar, running or not. The image's layers and the container's own are mounted read-only over
 * one another in a user namespace of our own, and `tar-tree` reads them there: nothing of the container is executed.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { relative } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { HuskError } from '../errors.ts';
import { runInUserNamespace } from '../rootless/namespace.ts';
import type { EngineContext } from './context.ts';
import type { Container } from './contract.ts';

/** mount.h */
const MS_RDONLY = 1;
const MAX_COMPLAINT = 4096;

export async function exportContainer(context: EngineContext, container: Container): Promise<Readable> {
  const image = context.images.get(container.config.imageId);
  const lower = await context.unpacked(image);
  const { paths } = context;
  const folder = paths.container(container.id);
  // folders of its own: the sandbox makes upper and merged, and gives them to the container's root, at the first start
  const target = `${folder}/export`;
  mkdirSync(target, { recursive: true, mode: 0o755 });
  const upper = existsSync(`${folder}/upper`) ? `${folder}/upper` : `${folder}/export-nothing`;
  if (upper.endsWith('nothing')) mkdirSync(upper, { recursive: true, mode: 0o755 });
  // named from the links' folder: the data root's own path may have what overlay splits at, and the options must fit in a page
  const layers = [upper, ...lower].map((path) => relative(paths.layerLinks, path));
  const launched = runInUserNamespace({
    program: { internal: 'tar-tree', args: [target] },
    mounts: true,
    steps: [
      { op: 'chdir', path: paths.layerLinks },
      { op: 'mount', source: 'overlay', target, fstype: 'overlay', flags: MS_RDONLY, data: `lowerdir=${layers.join(':')},userxattr` },
    ],
    stdout: 'pipe',
    stderr: 'pipe',
  });
  let complaint = '';
  launched.stderr!.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(0, MAX_COMPLAINT)));
  await launched.started;
  const output = new PassThrough();
  launched.stdout!.pipe(output, { end: false });
  const ended = new Promise((done) => launched.stdout!.once('close', done).once('end', done));
  void Promise.all([launched.exited, ended]).then(([{ code }]) => {
    if (code === 0) output.end();
    else output.destroy(new HuskError(`cannot export container ${container.id}: ${complaint.trim() || `tar-tree ended with ${code}`}`, { kind: 'internal' }));
  });
  output.once('close', () => launched.signal(9));
  return output;
}
