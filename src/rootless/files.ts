/**
 * Answers requests for a container's files on the host's own kernel. A program of husk's (src/container/files/main.ts)
 * answers as root of a user namespace with the container's ids, where the files' owners exist. The program gets a
 * running container's root as a descriptor; for a stopped container it gets the same root with its bind mounts, mounted
 * for this program alone.
 *
 * The namespace is a sibling of the container's, not that one itself. The program still has the host's root, and a
 * process that has CAP_SYS_PTRACE in a user namespace and sees its processes (`--pid host`) can read all their files by
 * /proc/PID/root.
 */
import { dirname, join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import type { FilesJob } from '../container/files/main.ts';
import { placesFor, type FilesPlaces } from '../container/files/request-places.ts';
import type { Step } from '../launch/plan.ts';
import { MS_RDONLY } from '../launch/mount-options.ts';
import { FIRST_INHERITED } from '../launch/executor.ts';
import type { ImageRoots } from '../container/image-mounts.ts';
import { mountSteps } from '../container/mounts.ts';
import { CLONE_NEWUSER } from '../container/namespaces.ts';
import { readStat } from '../container/processes/tree.ts';
import { givingSteps, overlayOptions, readOnlyOverlay } from '../container/rootfs.ts';
import { SIGKILL } from '../notation/signals.ts';
import { HuskError, type ErrorKind } from '../errors.ts';
import { open, type Fd } from '../host/fd.ts';
import { O_PATH } from '../host/files/file-at.ts';
import { O_DIRECTORY } from '../host/files/lookup.ts';
import { makeFolder } from '../host/files/make-folder.ts';
import type { FilesRequest } from '../sandbox.ts';
import {
  becomeRoot,
  joinSteps,
  mountFuseOverlay,
  mountReadOnlyFuseOverlay,
  overlayKind,
  type FuseOverlay,
  type OverlayRootfs,
} from './fuse-overlay.ts';
import type { IdMaps } from './idmap.ts';
import { fuseImageRoots } from './images.ts';
import { runInUserNamespace, type NamespaceProgram } from './namespace.ts';
import { layerFolders, type Staged } from './stage.ts';

export interface FilesContext {
  rootfs: OverlayRootfs;
  /** images that are mounted into a container that does not run */
  images: () => ImageRoots;
  /** containers/<id> */
  directory: string;
  dataRoot: string;
  maps: IdMaps;
  /** the running container's first process */
  process: { pid: number; startTime: string } | undefined;
  /** binds and images that are mounted into a container that does not run */
  stage: () => Staged;
  input?: Readable;
}

/** most characters of the program's messages that are kept for an error */
const MAX_COMPLAINT = 8192;

/** @returns the answer, and a promise for its end, when nothing is mounted for it any more */
export function answerFiles(request: FilesRequest, context: FilesContext): { output: Readable; over: Promise<void> } {
  const output = new PassThrough();
  const over = run(request, context, output).then(
    () => void output.end(),
    (error: unknown) => void output.destroy(error as Error),
  );
  return { output, over };
}

async function run(request: FilesRequest, context: FilesContext, output: PassThrough): Promise<void> {
  const needed = placesFor(request);
  const made = needed.includes('root') ? await rootView(context) : await layerViews(needed, context);
  try {
    const job: FilesJob = { request, places: made.places, ...(made.process && { process: made.process }) };
    const launched = runInUserNamespace({
      ...made.program,
      maps: context.maps,
      program: { internal: 'files', args: [JSON.stringify(job)] },
      stdin: context.input ? 'pipe' : 'null',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const { input } = context;
    const { stdin } = launched;
    // The end of stdin alone would look like the end of a whole archive. A process without a pid gets no signal, so
    // this is checked again below.
    const stop = () => {
      launched.signal(SIGKILL);
      stdin?.destroy();
    };
    output.once('close', stop);
    let complaint = '';
    launched.stderr!.on(
      'data',
      (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(0, MAX_COMPLAINT)),
    );
    const ended = new Promise((done) => launched.stdout!.once('close', done).once('end', done));
    launched.stdout!.pipe(output, { end: false });
    if (input) {
      // The program may end before it has read everything.
      stdin!.on('error', () => input.unpipe());
      input.once('error', stop);
      input.pipe(stdin!);
    }
    await launched.started;
    if (output.destroyed || input?.errored) stop();
    const [{ code }] = await Promise.all([launched.exited, ended]);
    input?.resume();
    if (input?.errored) throw input.errored;
    if (code !== 0) throw failure(complaint, code);
  } finally {
    await made.release();
  }
}

interface View {
  program: Pick<NamespaceProgram, 'join' | 'mounts' | 'reach' | 'steps' | 'inherit'>;
  places: FilesPlaces;
  process?: FilesJob['process'];
  release: () => Promise<void>;
}

const nothingToRelease = async () => {};

/** Shows what the container sees, or would see if it ran. */
async function rootView({ process, rootfs, images, dataRoot, maps, stage }: FilesContext): Promise<View> {
  if (process && overlayKind(dataRoot) === 'fuse') {
    // A FUSE mount admits processes of its own user namespace only (fuse(4), allow_other).
    return {
      program: { join: [{ op: 'setnsPid', pid: process.pid, types: CLONE_NEWUSER }, ...becomeRoot()] },
      places: { root: rootLink(process.pid) },
      process,
      release: nothingToRelease,
    };
  }
  if (process) {
    const root = openRoot(process);
    return {
      program: { inherit: [root.number] },
      places: { root: `/proc/self/fd/${FIRST_INHERITED}` },
      release: async () => root.close(),
    };
  }
  const { spec, reach } = stage();
  const root = rootfs.merged;
  const mounts = (roots: ImageRoots): Step[] => [
    { op: 'setRoot', path: root },
    ...mountSteps(spec.mounts, { ownPid: false, ownNetwork: false, cgroup2: false, images: roots }),
  ];
  const places = { root };
  if (overlayKind(dataRoot) === 'fuse') {
    await using fuses = new AsyncDisposableStack();
    const keep = (fuse: FuseOverlay) => fuses.defer(() => fuse.close());
    const fuse = await mountFuseOverlay(rootfs, { maps, reach });
    keep(fuse);
    const mounted = await fuseImageRoots(images(), { maps, beside: fuse }, keep);
    const opened = fuses.move();
    const program = { join: joinSteps(fuse), mounts: true, steps: mounts(mounted) };
    return { program, places, release: () => opened.disposeAsync() };
  }
  const { directory, data } = overlayOptions(rootfs, { userXattr: true });
  const overlay: Step[] = [
    ...givingSteps(rootfs),
    { op: 'chdir', path: directory },
    { op: 'mount', source: 'overlay', target: root, fstype: 'overlay', flags: 0, data },
    { op: 'chdir', path: '/' },
  ];
  return {
    program: { reach, mounts: true, steps: [...overlay, ...mounts(images())] },
    places,
    release: nothingToRelease,
  };
}

/** The link is magic: it leads into the process's mount namespace. */
const rootLink = (pid: number): string => `/proc/${pid}/root`;

/**
 * Opens the root of a process. From here on the root stays the same, whatever becomes of the pid.
 * @throws HuskError `conflict` when the process has ended, even if another one has its pid by now
 */
function openRoot({ pid, startTime }: NonNullable<FilesContext['process']>): Fd {
  const ended = (cause?: unknown) => new HuskError('the container ended meanwhile', { kind: 'conflict', cause });
  let root: Fd;
  try {
    root = open(rootLink(pid), O_PATH | O_DIRECTORY);
  } catch (error) {
    if (readStat(pid)?.startTime !== startTime) throw ended(error);
    throw error;
  }
  if (readStat(pid)?.startTime === startTime) return root;
  root.close();
  throw ended();
}

/** Shows the layers without what is mounted on them, read-only. */
async function layerViews(
  needed: readonly string[],
  { rootfs, directory, dataRoot, maps }: FilesContext,
): Promise<View> {
  const { upper, lower } = rootfs;
  const whole = needed.includes('whole');
  const layers = whole ? [upper, ...lower] : lower;
  const places: FilesPlaces = { upper, form: overlayKind(dataRoot) === 'fuse' ? 'fuse' : 'user' };
  const name = whole ? 'whole' : 'lower';
  const reach = { kept: [directory, ...layerFolders(lower)] };
  // overlay needs at least two layers.
  if (layers.length === 1)
    return { program: { mounts: true, reach }, places: { ...places, [name]: layers[0]! }, release: nothingToRelease };
  const target = join(directory, 'view');
  makeFolder(target, 0o755);
  const links = dirname(lower[0]!);
  places[name] = target;
  if (overlayKind(dataRoot) === 'fuse') {
    const fuse: FuseOverlay = await mountReadOnlyFuseOverlay(
      { lower: layers, directory: links, target },
      { maps, reach },
    );
    return { program: { join: joinSteps(fuse) }, places, release: () => fuse.close() };
  }
  const data = readOnlyOverlay(layers, links, { userXattr: true });
  return {
    program: {
      mounts: true,
      reach,
      steps: [
        { op: 'chdir', path: links },
        { op: 'mount', source: 'overlay', target, fstype: 'overlay', flags: MS_RDONLY, data },
        { op: 'chdir', path: '/' },
      ],
    },
    places,
    release: nothingToRelease,
  };
}

function failure(complaint: string, code: number): HuskError {
  try {
    const { message, kind } = JSON.parse(complaint.trim().split('\n').at(-1)!) as { message: string; kind: ErrorKind };
    return new HuskError(message, { kind });
  } catch {
    return new HuskError(
      `cannot reach the container's files: ${complaint.trim() || `the program that reads them ended with ${code}`}`,
      { kind: 'internal' },
    );
  }
}
