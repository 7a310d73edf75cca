/**
 * Runs the RUN steps of a build in virtual machines (src/build-sandbox.ts). A machine's root disk is the stack of the
 * step that it was started for; the layers that come after are told to it as tars, or were made in it. So one machine
 * serves a chain of steps, and no step is ever run in a machine that has run anything but the steps below it: what one
 * stage does to its machine reaches no other stage.
 */
import { createReadStream, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { BuildMount, BuildRun, BuildRunResult, BuildSandbox, BuildSettings } from '../../../build-sandbox.ts';
import { HuskError } from '../../../errors.ts';
import { distinctLayers } from '../../../images/layers/stack.ts';
import type { BuildStore, Layer } from '../../../images/store/contract.ts';
import type { Network } from '../../../network/records/contract.ts';
import { after } from '../../../long-timer.ts';
import type { MachineExit } from '../../../supervisor/build/frames.ts';
import type { MachineMount } from '../../../vmm/build/machine.ts';
import { MAX_SOCKETS } from '../../../vmm/sockets/messages.ts';
import { writeTar } from '../export/output-files.ts';
import { NOTHING_SHARED } from './isolation.ts';
import { GUEST_RELEASE } from '../../create/host-facts.ts';
import { ALL_GROUPS } from '../../create/spec/ping-groups.ts';
import { DEFAULT_ULIMITS, rlimits } from '../../create/spec/ulimits.ts';
import { stepFiles } from './files.ts';
import { layerDoor } from './layer-door.ts';
import { agentName, startMachine, type SharedCache, type StartedMachine } from './machine.ts';
import { isPlain } from './plain-layer.ts';
import type { BuildContext } from './sandbox.ts';
import { RunSpecs } from './spec.ts';

/** machines at a time: each has a part of this host's memory */
const MOST_MACHINES = 2;
const SIGTERM = 15;
/** ms from SIGTERM to the machine's end */
const PATIENCE = 2000;

export interface MachinesOptions {
  ingest: BuildStore['ingest'];
}

export class VmBuildSandbox implements BuildSandbox {
  readonly #context: BuildContext;
  readonly #settings: BuildSettings;
  readonly #options: MachinesOptions;
  readonly #specs: RunSpecs;
  readonly #machines = new Set<Machine>();
  /** machines that are being started, or closed */
  #changing = 0;
  /** those that wait for a machine to be free */
  readonly #waiting = new Set<() => void>();
  /** what has been told */
  readonly #problems = new Set<string>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  readonly #start: typeof startMachine;

  /** @param start tests have their own */
  constructor(context: BuildContext, settings: BuildSettings, options: MachinesOptions, start = startMachine) {
    this.#context = context;
    this.#settings = settings;
    this.#options = options;
    this.#start = start;
    const configured = Object.values(context.config['default-ulimits'] ?? {});
    this.#specs = new RunSpecs(settings, {
      kernel: GUEST_RELEASE,
      thermalCpus: [],
      rlimits: rlimits(settings.ulimits ?? [], [
        ...DEFAULT_ULIMITS,
        ...configured.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard })),
      ]),
      pingGroups: ALL_GROUPS,
    });
  }

  run(step: BuildRun): Promise<BuildRunResult> {
    const running = this.#run(step);
    this.#running.add(running);
    const forget = () => void this.#running.delete(running);
    running.then(forget, forget);
    return running;
  }

  async #run(step: BuildRun): Promise<BuildRunResult> {
    refuseLacking(step);
    const signals = [step.kill, step.signal, this.#closing.signal].filter((each) => each !== undefined);
    const ending = AbortSignal.any(signals);
    const machine = await this.#take(step, ending);
    try {
      return await this.#runIn(machine, step, ending);
    } catch (error) {
      // Whatever it was: a machine that has not done as it was told is used no more.
      await this.#end(machine);
      throw ending.aborted ? ending.reason : error;
    } finally {
      machine.isFree = true;
      this.#told();
    }
  }

  async #runIn(machine: Machine, step: BuildRun, ending: AbortSignal): Promise<BuildRunResult> {
    const { layers, operation, mounts = [], hosts = [], epoch, output } = step;
    using _interrupt = interrupts(machine, step, this.#closing.signal);
    const lower = await machine.stack(layers);
    const told: MachineMount[] = [];
    for (const mount of mounts)
      told.push(await this.#mount(machine, mount, told.filter(({ type }) => type === 'ssh').length));
    ending.throwIfAborted();
    const spec = this.#specs.make(operation);
    const number = machine.begin();
    const run = (): Promise<MachineExit> =>
      machine.client.run(
        number,
        {
          spec: {
            ...spec,
            linux: { ...spec.linux, namespaces: spec.linux.namespaces.filter(({ type }) => type !== 'user') },
          },
          lower,
          mounts: told,
          files: stepFiles(operation, hosts, this.#context.config),
          network: operation.network === 'default',
        },
        output,
      );
    const exit = await machine.serving(mounts, run);
    machine.running = undefined;
    ending.throwIfAborted();
    if (exit.code !== 0) {
      // What it has done to the machine is below no other step.
      await this.#end(machine);
      return { exit, leftOut: [] };
    }
    const sealed = machine.client.seal(number, epoch);
    const layer = await this.#options.ingest(layerDoor(sealed.tar), { signal: ending });
    const leftOut = await sealed.leftOut;
    machine.made(layer, number);
    return { exit, layer, leftOut };
  }

  /** @param socket the number of the next agent of the step */
  async #mount(machine: Machine, mount: BuildMount, socket: number): Promise<MachineMount> {
    switch (mount.type) {
      case 'bind': {
        const { from, ...rest } = mount;
        if ('folder' in from) throw lackingInMachines('a mount of a folder of this host');
        return { ...rest, lower: await machine.files(from.layers) };
      }
      case 'cache': {
        const { folder, ...rest } = mount;
        return { ...rest, share: machine.shareOf(folder) };
      }
      case 'secret':
        return { ...mount, data: Buffer.from(mount.data).toString('base64') };
      case 'tmpfs':
        return mount;
      case 'ssh': {
        const { agent: _served, ...rest } = mount;
        return { ...rest, socket };
      }
    }
  }

  /** @returns a machine that has run nothing but what is below the step; it is the caller's until it is free again */
  async #take(step: BuildRun, signal: AbortSignal): Promise<Machine> {
    const needs = needsOf(step);
    for (;;) {
      signal.throwIfAborted();
      const free = [...this.#machines].filter((machine) => machine.isFree);
      const [found] = free
        .filter((machine) => machine.serves(step.layers, needs))
        .sort((one, another) => another.depth - one.depth);
      if (found) {
        found.isFree = false;
        return found;
      }
      if (this.#machines.size + this.#changing < MOST_MACHINES) return await this.#startFor(step, needs, signal);
      const [oldest] = free;
      if (oldest) await this.#end(oldest);
      else await this.#freed(signal);
    }
  }

  async #startFor(step: BuildRun, needs: Needs, signal: AbortSignal): Promise<Machine> {
    this.#changing++;
    try {
      const network = needs.network ? await this.#network() : undefined;
      const { resources = {} } = this.#settings;
      const problem = (text: string): void => this.#tell(text);
      const wish = { layers: step.layers, caches: needs.caches, network, sockets: needs.agents, resources, problem };
      const machine = new Machine(await this.#start(this.#context, wish, signal), step.layers, needs);
      this.#machines.add(machine);
      return machine;
    } finally {
      this.#changing--;
      this.#told();
    }
  }

  /** Each machine finds the same out. */
  #tell(text: string): void {
    if (!this.#problems.has(text)) this.#settings.problem?.(text);
    this.#problems.add(text);
  }

  async #network(): Promise<Network> {
    const found = (await this.#context.networks()).find('bridge');
    if (!found) throw new HuskError('network bridge not found', { kind: 'not-found' });
    return found;
  }

  async #end(machine: Machine): Promise<void> {
    if (!this.#machines.delete(machine)) return;
    this.#changing++;
    try {
      await machine.close();
    } finally {
      this.#changing--;
      this.#told();
    }
  }

  #told(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #freed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.delete(wake);
        reject(signal.reason as Error);
      };
      const wake = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  async close(): Promise<void> {
    this.#closing.abort(new HuskError('the build was ended', { kind: 'conflict' }));
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await Promise.all([...this.#machines].map((machine) => this.#end(machine)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Needs {
  caches: SharedCache[];
  network: boolean;
  /** how many agents of ssh */
  agents: number;
}

function needsOf({ operation, mounts = [] }: BuildRun): Needs {
  const caches = new Map<string, SharedCache>();
  for (const mount of mounts) {
    if (mount.type !== 'cache' || caches.has(mount.folder)) continue;
    const { folder, mode, uid, gid } = mount;
    caches.set(folder, { folder, mode, uid, gid });
  }
  return {
    caches: [...caches.values()],
    network: operation.network === 'default',
    agents: mounts.filter(({ type }) => type === 'ssh').length,
  };
}

/** @returns what says which files a cache has; none is of another cache while a machine shares them */
function inodeOf({ folder }: SharedCache): string | undefined {
  const stat = lstatSync(join(folder, 'data'), { bigint: true, throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}

/** What runs, and which layers it has. */
class Machine {
  readonly #started: StartedMachine;
  readonly #needs: Needs;
  /** what lies in the folders of its caches: another build may have begun one anew since */
  readonly #inodes: readonly (string | undefined)[];
  /** diffIDs of its root disk's layers, bottom first, and of the steps that it has run and layers between them */
  readonly #base: readonly string[];
  readonly #above: string[] = [];
  /** numbers of layers by what they are */
  readonly #numbers = new Map<string, number>();
  #next = 1;
  isFree = false;
  /** number of the step that runs */
  running: number | undefined;

  constructor(started: StartedMachine, layers: readonly Layer[], needs: Needs) {
    this.#started = started;
    this.#needs = needs;
    this.#inodes = needs.caches.map(inodeOf);
    this.#base = layers.map(({ diffId }) => diffId);
  }

  get client(): StartedMachine['client'] {
    return this.#started.client;
  }

  get isOver(): boolean {
    return this.client.isOver;
  }

  /** how many layers it has */
  get depth(): number {
    return this.#base.length + this.#above.length;
  }

  /** Whether all that it has run is below this step, and it has what the step needs. */
  serves(layers: readonly Layer[], needs: Needs): boolean {
    const has = [...this.#base, ...this.#above];
    return (
      !this.isOver &&
      has.length <= layers.length &&
      has.every((diffId, index) => layers[index]!.diffId === diffId) &&
      layers.slice(has.length).every(isPlain) &&
      (!needs.network || this.#needs.network) &&
      needs.agents <= this.#needs.agents &&
      needs.caches.every(({ folder }) =>
        this.#needs.caches.some((cache, index) => cache.folder === folder && inodeOf(cache) === this.#inodes[index]),
      )
    );
  }

  shareOf(folder: string): number {
    const found = this.#needs.caches.findIndex((cache) => cache.folder === folder);
    if (found === -1) throw new HuskError(`${folder} is not shared with the machine`, { kind: 'internal' });
    return found;
  }

  /**
   * Runs a step, for which its agents of ssh listen where the machine's relay connects, and no moment longer: another
   * step of the machine that mounts none must not reach them.
   */
  async serving<T>(mounts: readonly BuildMount[], run: () => Promise<T>): Promise<T> {
    await using served = new AsyncDisposableStack();
    const folder = this.#started.agents;
    for (const [number, { agent }] of mounts.filter((mount) => mount.type === 'ssh').entries()) {
      if (folder === undefined) throw new HuskError('the machine has no sockets', { kind: 'internal' });
      const { serveAgent } = await import('../../../rootless/build/ssh-agent.ts');
      served.use(await serveAgent(agent, folder, agentName(number)));
    }
    return await run();
  }

  /** Tells it the layers that it has not got. @returns the stack as it numbers it, topmost first */
  async stack(layers: readonly Layer[]): Promise<number[]> {
    const added = layers.slice(this.#base.length);
    for (const layer of added.slice(this.#above.length)) {
      await this.#tell(layer);
      this.#above.push(layer.diffId);
    }
    return this.#lower(added);
  }

  /** @returns files that a mount shows, topmost layer first */
  async files(layers: readonly Layer[]): Promise<number[]> {
    const isBase = layers.length >= this.#base.length && this.#base.every((id, index) => layers[index]!.diffId === id);
    const added = isBase ? layers.slice(this.#base.length) : layers;
    if (isBase && added.every((layer) => this.#numbers.has(layer.diffId) || isPlain(layer))) {
      for (const layer of added) await this.#tell(layer);
      return this.#lower(added);
    }
    const [only] = layers;
    if (layers.length === 1 && isPlain(only!)) return [await this.#tell(only!)];
    // As one layer of what is there in the end.
    const name = `files of ${layers.map(({ diffId }) => diffId).join(' ')}`;
    const known = this.#numbers.get(name);
    if (known !== undefined) return [known];
    const tar = new PassThrough();
    const written = writeTar(tar, layers).then(
      () => void tar.end(),
      (error: Error) => void tar.destroy(error),
    );
    const number = await this.#send(name, tar);
    await written;
    return [number];
  }

  /** Each once, as overlay wants it; what is in the root disk is 0. */
  #lower(added: readonly Layer[]): number[] {
    return [
      ...distinctLayers(added)
        .map(({ diffId }) => this.#numbers.get(diffId)!)
        .reverse(),
      0,
    ];
  }

  async #tell(layer: Layer): Promise<number> {
    return this.#numbers.get(layer.diffId) ?? (await this.#send(layer.diffId, createReadStream(layer.tar)));
  }

  async #send(name: string, tar: AsyncIterable<Uint8Array>): Promise<number> {
    const number = this.#next++;
    await this.client.layer(number, tar);
    this.#numbers.set(name, number);
    return number;
  }

  /** @returns the number of a step that is about to run */
  begin(): number {
    this.running = this.#next++;
    return this.running;
  }

  made({ diffId }: Layer, number: number): void {
    this.#numbers.set(diffId, number);
    this.#above.push(diffId);
  }

  kill(): void {
    this.#started.kill();
  }

  close(): Promise<void> {
    return this.#started.close();
  }
}

/** SIGTERM, and later the machine's end, when the step is to end; its end at once when it is to end now. */
function interrupts(machine: Machine, { signal, kill }: BuildRun, closing: AbortSignal): Disposable {
  const over = new AbortController();
  const now = (): void => machine.kill();
  const soon = (): void => {
    if (machine.running === undefined) return now();
    machine.client.signal(machine.running, SIGTERM);
    void after(PATIENCE, { signal: over.signal }).then(now, () => {});
  };
  if (signal?.aborted) soon();
  if (kill?.aborted || closing.aborted) now();
  signal?.addEventListener('abort', soon, { signal: over.signal });
  kill?.addEventListener('abort', now, { signal: over.signal });
  closing.addEventListener('abort', now, { signal: over.signal });
  return { [Symbol.dispose]: () => over.abort() };
}

/** @throws HuskError `unsupported` in one line */
function refuseLacking({ operation, mounts = [] }: BuildRun): void {
  if (operation.network === 'host') throw lackingInMachines('RUN --network=host');
  if (mounts.filter(({ type }) => type === 'ssh').length > MAX_SOCKETS)
    throw new HuskError(`a step in a virtual machine has at most ${MAX_SOCKETS} mounts of type=ssh`, {
      kind: 'limit',
      fix: 'use --isolation=userns',
    });
}

const lackingInMachines = (what: string): HuskError =>
  new HuskError(`${what} is not possible with --isolation=vm: ${NOTHING_SHARED}`, {
    kind: 'unsupported',
    fix: 'use --isolation=userns',
  });
