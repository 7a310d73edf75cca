/**
 * The steps of a build in a virtual machine: each is a container over an overlay of the machine's root disk and of the
 * layers that came after it, and its upper folder becomes a layer. All of it lies on the machine's own disk, which the
 * host never reads: layers come and go as tars. One request, one method; the same plans as on the host.
 */
import { mkdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import {
  MAX_LEFT_OUT,
  type BuildSealed,
  type GuestBuildMount,
  type LayerNumber,
  type Notice,
  type Request,
} from '../agent-protocol.ts';
import type { StepMount } from '../container/build/mounts.ts';
import { containerPlace } from '../container/files/places.ts';
import { sealUpper } from '../container/files/seal.ts';
import { Unpacker } from '../container/files/unpack.ts';
import { HuskError } from '../errors.ts';
import { Fd } from '../host/fd.ts';
import { openFolder, syncfs } from '../host/files/lookup.ts';
import { roomIn } from '../host/streams/room.ts';
import { openStream } from './streams.ts';
import { startStep, type RunningStep } from './build-step.ts';

export interface BuildMachineOptions {
  /** the root disk's mount point */
  root: string;
  /** a new folder on the machine's own disk */
  folder: string;
  /** the cgroup below which steps have theirs */
  cgroups: string;
  notify: (notice: Notice) => void;
}

/** number of the root disk among the layers */
const ROOT: LayerNumber = 0;
/** of a layer that came as a tar, and of a step: the folder that is mounted */
const UPPER = 'upper';

type Of<Type extends Request['type']> = Extract<Request, { type: Type }>;

export class BuildMachine {
  readonly #options: BuildMachineOptions;
  /** folders by number */
  readonly #layers = new Map<LayerNumber, string>();
  readonly #running = new Map<number, RunningStep>();
  /** steps that have ended, with the layers below them, until they are sealed */
  readonly #ended = new Map<number, { lower: readonly string[] }>();

  constructor(options: BuildMachineOptions) {
    this.#options = options;
    this.#layers.set(ROOT, options.root);
    mkdirSync(options.folder, { mode: 0o700 });
  }

  handle(request: Request): unknown {
    switch (request.type) {
      case 'build-layer':
        return this.#receive(request);
      case 'build-run':
        return this.#run(request);
      case 'signal':
        return this.#running.get(request.process)?.signal(request.signal);
      case 'build-seal':
        return this.#seal(request);
      case 'shutdown':
        return {};
      default:
        throw new HuskError(`a machine for builds has no container for "${request.type}"`, { kind: 'conflict' });
    }
  }

  /** @throws HuskError for a number that no layer has */
  #folderOf(number: LayerNumber): string {
    const folder = this.#layers.get(number);
    if (folder === undefined) throw new HuskError(`this machine has no layer ${number}`, { kind: 'not-found' });
    return folder;
  }

  #newFolder(number: LayerNumber): string {
    if (this.#layers.has(number))
      throw new HuskError(`this machine has a layer ${number} already`, { kind: 'conflict' });
    const path = join(this.#options.folder, String(number));
    mkdirSync(path, { mode: 0o755 });
    return path;
  }

  async #receive({ number, input }: Of<'build-layer'>): Promise<void> {
    const stream = openStream(input);
    stream.on('error', () => {});
    try {
      const target = join(this.#newFolder(number), UPPER);
      mkdirSync(target, { mode: 0o755 });
      using folder = new Fd(openFolder(target));
      const unpacker = new Unpacker(containerPlace(folder.number, ''), {
        owner: 'keep',
        replaceKinds: true,
        specialBits: true,
        xattrs: true,
        existingFolders: true,
        holes: true,
      });
      try {
        for await (const chunk of stream) unpacker.push(chunk as Buffer);
        unpacker.end();
      } finally {
        unpacker.close();
      }
      this.#layers.set(number, target);
    } finally {
      stream.destroy();
    }
  }

  async #run({ process: number, step, streams }: Of<'build-run'>): Promise<void> {
    const lower = step.lower.map((each) => this.#folderOf(each));
    const running = await startStep(
      { ...step, lower, mounts: step.mounts.map((mount) => this.#mount(mount)) },
      { name: `build-${number}`, folder: this.#newFolder(number), cgroups: this.#options.cgroups, streams },
    );
    this.#running.set(number, running);
    void running.exited.then((exit) => {
      this.#running.delete(number);
      if (exit.code === 0) this.#ended.set(number, { lower });
      for (const mount of step.mounts) if (mount.type === 'cache') syncCache(mount.folder);
      this.#options.notify({ type: 'exited', process: number, ...exit });
    });
  }

  #mount(mount: GuestBuildMount): StepMount {
    if (mount.type === 'secret') return { ...mount, data: Buffer.from(mount.data, 'base64') };
    if (mount.type !== 'bind') return mount;
    const { lower, ...rest } = mount;
    return { ...rest, from: { lower: lower.map((each) => this.#folderOf(each)) } };
  }

  async #seal({ process: number, epoch, output }: Of<'build-seal'>): Promise<BuildSealed> {
    const step = this.#ended.get(number);
    if (!step) throw new HuskError(`no step ${number} has ended here`, { kind: 'conflict' });
    this.#ended.delete(number);
    const stream = openStream(output);
    stream.resume(); // the host says nothing here; its end is read away
    let gone = false;
    stream.on('error', () => (gone = true)).on('close', () => (gone = true));
    const path = join(this.#options.folder, String(number));
    const leftOut: string[] = [];
    let more = 0;
    try {
      using opened = new DisposableStack();
      const upper = opened.use(new Fd(openFolder(join(path, UPPER))));
      let below: number[] | undefined;
      const pieces = sealUpper(upper.number, {
        lower: () => (below ??= step.lower.map((each) => opened.use(new Fd(openFolder(each))).number)),
        onLeftOut: (line) => void (leftOut.length < MAX_LEFT_OUT ? leftOut.push(line) : more++),
        ...(epoch !== undefined && { epoch }),
      });
      for (const piece of pieces) {
        if (gone) throw new HuskError('the host wants no more of it', { kind: 'conflict' });
        if (stream.write(piece)) await turn();
        else await roomIn(stream);
      }
      await new Promise<void>((done) => {
        stream.once('close', done);
        stream.end(done);
      });
    } finally {
      // An end that is a failure must not look like one that is not: the reply tells.
      if (!stream.writableFinished) stream.destroy();
    }
    this.#layers.set(number, join(path, UPPER));
    void removeAllBut(path, UPPER).catch((error: unknown) => console.error(`agent: ${String(error)}`));
    if (more > 0) leftOut.push(`${more} more are left out`);
    return { leftOut };
  }
}

/** What a step has written to a cache is the host's before the step counts as ended: the machine may be killed. */
function syncCache(path: string): void {
  try {
    using folder = new Fd(openFolder(path));
    syncfs(folder.number);
  } catch {
    // A cache is no promise.
  }
}

/** Removes what a step needed besides its layer: whatever it wrote to mounts of which nothing is kept. */
async function removeAllBut(folder: string, kept: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name !== kept) await rm(join(folder, name), { recursive: true, force: true });
}
