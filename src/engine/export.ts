/**
 * `export`: a container's whole file system as a tar, running or not. The image's layers and the container's own are mounted read-only over
 * one another in a user namespace of our own, and `tar-tree` reads them there: nothing of the container is executed.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import type { Launched } from '../container/executor.ts';
import { readOnlyOverlay } from '../container/rootfs.ts';
import { SIGKILL } from '../container/signals.ts';
import { HuskError } from '../errors.ts';
import { joinSteps, mountReadOnlyFuseOverlay, overlayKind } from '../rootless/fuse-overlay.ts';
import { idMaps } from '../rootless/idmap.ts';
import { runInUserNamespace, type NamespaceProgram } from '../rootless/namespace.ts';
import type { EngineContext } from './context.ts';
import type { Container } from './contract.ts';
import { recordEvent } from './events.ts';

/** mount.h */
const MS_RDONLY = 1;
/** characters of what tar-tree says that are kept for an error */
const MAX_COMPLAINT = 4096;

export async function exportContainer(context: EngineContext, container: Container): Promise<Readable> {
  // what it wrote lies on a disk only its machine mounts: the image alone would be a wrong answer
  if (container.config.isolation === 'vm' && container.state.status !== 'created')
    throw new HuskError(`cannot export container ${container.id}: its changes are on the disk of a VM, which export cannot read yet`, { kind: 'unsupported', fix: 'while it runs: husk exec CONTAINER tar -c --one-file-system -C / . >FILE' });
  const image = context.images.get(container.config.imageId);
  const lower = await context.unpacked(image);
  const { paths } = context;
  const folder = paths.container(container.id);
  // folders of its own: the sandbox makes upper and merged, and gives them to the container's root, at the first start
  const target = `${folder}/export`;
  mkdirSync(target, { recursive: true, mode: 0o755 });
  const upper = existsSync(`${folder}/upper`) ? `${folder}/upper` : `${folder}/export-nothing`;
  if (upper.endsWith('nothing')) mkdirSync(upper, { recursive: true, mode: 0o755 });
  const { launched, release } = await launchTarTree({ lower: [upper, ...lower], directory: paths.layerLinks, target, dataRoot: paths.dataRoot });
  recordEvent(context, container, 'export');
  let complaint = '';
  launched.stderr!.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(0, MAX_COMPLAINT)));
  const output = new PassThrough();
  const ended = new Promise((done) => launched.stdout!.once('close', done).once('end', done));
  launched.stdout!.pipe(output, { end: false });
  void Promise.all([launched.exited, ended]).then(async ([{ code }]) => {
    await release();
    if (code === 0) output.end();
    else output.destroy(new HuskError(`cannot export container ${container.id}: ${complaint.trim() || `tar-tree ended with ${code}`}`, { kind: 'internal' }));
  });
  output.once('close', () => launched.signal(SIGKILL));
  return output;
}

interface Tree {
  /** topmost first */
  lower: string[];
  /** of the layers' links */
  directory: string;
  target: string;
  dataRoot: string;
}

/** The mounted tree ends with the program that reads it. */
async function launchTarTree({ lower, directory, target, dataRoot }: Tree): Promise<{ launched: Launched; release: () => Promise<void> }> {
  const program: NamespaceProgram = { program: { internal: 'tar-tree', args: [target] }, stdout: 'pipe', stderr: 'pipe' };
  if (overlayKind(dataRoot) === 'kernel') {
    const data = readOnlyOverlay(lower, directory, { userXattr: true });
    const steps = [{ op: 'chdir', path: directory }, { op: 'mount', source: 'overlay', target, fstype: 'overlay', flags: MS_RDONLY, data }] as const;
    const launched = runInUserNamespace({ ...program, mounts: true, steps });
    await launched.started;
    return { launched, release: async () => {} };
  }
  // what fuse-overlayfs has hidden in an upper layer only fuse-overlayfs hides again
  const maps = idMaps();
  const fuse = await mountReadOnlyFuseOverlay({ lower, directory, target }, { maps, before: [] });
  try {
    const launched = runInUserNamespace({ ...program, maps, join: joinSteps(fuse) });
    await launched.started;
    return { launched, release: () => fuse.close() };
  } catch (error) {
    await fuse.close();
    throw error;
  }
}
