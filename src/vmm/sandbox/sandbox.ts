/**
 * The VM isolation: the contract of src/sandbox.ts with a microVM. This process is the VMM; the container is the guest
 * agent's work. Knows nothing of records, images or logs.
 */
import type { Duplex, Readable } from 'node:stream';
import type { GuestSocket, ImageDevice, StreamToken } from '../../agent-protocol.ts';
import type { ProcessSpec, Resources } from '../../spec.ts';
import { HuskError } from '../../errors.ts';
import { startTimer } from '../../long-timer.ts';
import type {
  FilesRequest,
  ProcessTable,
  Sandbox,
  SandboxConfig,
  SandboxProcess,
  SandboxStats,
  StdioRequest,
} from '../../sandbox.ts';
import { guestBinds, isBind, type GuestBinds } from '../binds.ts';
import { checkSize, guestResources } from '../limits.ts';
import { checkTable } from '../process-table.ts';
import { checkPids, checkStats } from './answers.ts';
import type { ContainerInMachine } from '../snapshot/container-state.ts';
import { savedFiles } from '../snapshot/saved-files.ts';
import type { Snapshot } from '../machine.ts';
import type { SocketOwner } from '../sockets/messages.ts';
import type { SocketRelay } from '../sockets/relay.ts';
import {
  assembleMachine,
  imageDevices,
  ownershipOf,
  ROOT_DEVICE,
  WRITABLE_DEVICE,
  type MachineOptions,
} from './assemble.ts';
import { Guest } from './guest.ts';
import { FIRST_PROCESS, GuestProcesses, type Stdio } from './processes.ts';
import { transferFiles } from './transfer.ts';

/** ms between SIGKILL of the container's first process and its exit; then the machine is switched off */
const KILL_TIMEOUT = 60_000;
const SIGKILL = 9;

export interface VmOptions extends MachineOptions {
  /** everything is open, the guest has not run: the moment to give up what is not needed any more */
  beforeRun?: () => void;
  /** the container has a name server: gets the stream of the guest's relay to it (src/network/names/relay-host.ts) */
  serveNames?: (stream: Duplex) => void;
  /** a machine that was saved with a container in it, which becomes this one; instead of `template` */
  saved?: Snapshot | undefined;
  /** with `saved`: what its container's stdio is */
  savedStdio?: StdioRequest;
  /** sockets of the host's that are mounted, by their numbers, and who connects to them */
  sockets?: { owners: readonly SocketOwner[]; relay: SocketRelay };
  /** the guest's agent serves: for whoever measures */
  onAgent?: () => void;
}

export class VmSandbox implements Sandbox {
  readonly #config: SandboxConfig;
  readonly #options: Omit<VmOptions, 'parts'>;
  readonly #binds: GuestBinds;
  readonly #images: ImageDevice[];
  readonly #guest: Guest;
  readonly #processes: GuestProcesses;
  #stdio: Stdio | undefined;
  /** the first process of a machine that was saved with it */
  #adopted: SandboxProcess | undefined;
  #kill: (() => void) | undefined;
  #destroyed: Promise<number | undefined> | undefined;
  #relayWatch: Disposable | undefined;
  /** of the host's sockets, by their numbers */
  #socketStreams: StreamToken[] = [];

  constructor(config: SandboxConfig, options: VmOptions) {
    const { linux } = config.spec;
    this.#config = config;
    this.#options = options;
    this.#binds = guestBinds(
      { ...config.spec, linux: { ...linux, ...(linux.resources && { resources: guestResources(linux.resources) }) } },
      { directory: config.directory },
    );
    this.#images = imageDevices(config.images);
    const hasShares = this.#binds.shares;
    const { saved } = options;
    const container = saved?.state.container;
    if (saved && !container)
      throw new HuskError('cannot go on from a machine without a container in it', { kind: 'invalid' });
    this.#guest = new Guest(
      (hooks) => assembleMachine(config, saved ? { ...options, template: saved } : options, { ...hooks, hasShares }),
      { onNotice: (notice) => this.#processes.settle(notice), onEnd: (error) => this.#ended(error) },
      { serves: (saved ?? options.template) !== undefined, saved: container?.agent },
    );
    this.#processes = new GuestProcesses(this.#guest, container && { next: container.nextProcess });
    if (container) this.#take(container, options.savedStdio!);
  }

  /** Now: what is not taken when the machine is made is ended. */
  #take({ streams, sockets }: ContainerInMachine, stdio: StdioRequest): void {
    this.#stdio = this.#processes.takeStdio(streams, stdio);
    this.#adopted = this.#processes.expect(FIRST_PROCESS, this.#stdio);
    for (const [number, token] of sockets.entries()) {
      const relay = this.#options.sockets?.relay;
      this.#guest.agent.takeServed(token, (opened) => (relay ? relay.carry(opened, number) : opened.destroy()));
    }
    this.#socketStreams = sockets;
  }

  async prepare(stdio: StdioRequest): Promise<{ pid: number }> {
    if (this.#adopted) return this.#adopt(stdio);
    await this.#boot();
    const { streams } = (this.#stdio = this.#processes.openStdio(stdio));
    const { init } = this.#config;
    const { serveNames } = this.#options;
    const { spec } = this.#binds;
    await this.#guest.agent.request({
      type: 'create',
      spec: { ...spec, process: { ...spec.process, terminal: stdio.terminal } },
      init,
      rootDevice: ROOT_DEVICE,
      writableDevice: WRITABLE_DEVICE,
      images: this.#images,
      streams,
      columns: stdio.columns,
      rows: stdio.rows,
      interfaces: this.#options.interfaces.map(({ link: _here, ...setup }) => setup),
      ...(serveNames && { names: this.#guest.agent.expectStream(serveNames) }),
    });
    return { pid: process.pid };
  }

  async #adopt({ columns, rows }: StdioRequest): Promise<{ pid: number }> {
    const { serveNames, interfaces } = this.#options;
    await this.#guest.adopt(
      {
        files: this.#binds.files,
        hostname: this.#config.spec.hostname,
        interfaces: interfaces.map(({ link: _here, ...setup }) => setup),
        names: serveNames && this.#guest.agent.expectStream(serveNames),
      },
      this.#options,
    );
    this.#watchRelay();
    if (columns !== undefined && rows !== undefined) this.#adopted!.resize(columns, rows);
    return { pid: process.pid };
  }

  async open(): Promise<void> {
    await this.#boot();
    await this.#guest.agent.request({
      type: 'open',
      mounts: this.#binds.spec.mounts.filter((mount) => isBind(mount) || mount.type === 'image'),
      rootDevice: ROOT_DEVICE,
      writableDevice: WRITABLE_DEVICE,
      images: this.#images,
    });
  }

  async #boot(): Promise<void> {
    await this.#guest.boot({ ...this.#binds, sockets: this.#guestSockets() }, this.#options);
    this.#watchRelay();
  }

  #watchRelay(): void {
    const relay = this.#options.sockets?.relay;
    // a socket that nobody can connect any more refuses
    const close = () => this.#guest.tell({ type: 'close-sockets' });
    if (relay?.isLost) close();
    else this.#relayWatch = relay?.onLost(close);
  }

  /** As its owner in a shared folder would be seen. */
  #guestSockets(): GuestSocket[] {
    const { sockets, sameIds } = this.#options;
    if (!sockets) return [];
    const { toGuest } = ownershipOf(this.#config.spec, sameIds);
    return sockets.owners.map((owner, number) => {
      const [uid, gid] = toGuest(owner.uid, owner.gid);
      const stream = this.#guest.agent.serveStreams((opened) => sockets.relay.carry(opened, number));
      this.#socketStreams[number] = stream;
      return { uid, gid, mode: owner.mode, stream };
    });
  }

  async start(): Promise<SandboxProcess> {
    if (this.#adopted) return this.#adopted;
    const stdio = this.#stdio;
    if (!stdio) throw new TypeError('not prepared');
    const started = this.#processes.expect(FIRST_PROCESS, stdio);
    await this.#guest.agent.request({ type: 'start' });
    return started;
  }

  async exec(spec: ProcessSpec, stdio: StdioRequest): Promise<SandboxProcess> {
    const number = this.#processes.takeNumber();
    const opened = this.#processes.openStdio(stdio);
    const started = this.#processes.expect(number, opened);
    try {
      await this.#guest.agent.request({
        type: 'exec',
        process: number,
        spec: { ...spec, terminal: stdio.terminal },
        streams: opened.streams,
        columns: stdio.columns,
        rows: stdio.rows,
      });
    } catch (error) {
      this.#processes.forget(number, opened);
      throw error;
    }
    return started;
  }

  #ended(error: HuskError | undefined): void {
    this.#kill?.();
    this.#processes.settleAll({ code: 128 + SIGKILL, ...(error && { error: error.message }) });
    for (const stream of [this.#stdio?.ends.stdout, this.#stdio?.ends.stderr]) stream?.end();
  }

  signal(signal: number, options: { all?: boolean } = {}): void {
    this.#guest.tell({ type: 'signal', process: FIRST_PROCESS, signal, all: options.all });
    if (signal === SIGKILL) this.#kill ??= startTimer(KILL_TIMEOUT, () => this.#notKilled());
  }

  /** An agent may also say that the container has ended, and go on sending its output. */
  #notKilled(): void {
    this.#kill = undefined;
    if (this.#processes.has(FIRST_PROCESS))
      this.#guest.switchOff(`its container did not end within ${KILL_TIMEOUT / 1000} s of SIGKILL`);
    else for (const output of this.#stdio?.outputs ?? []) output.destroy();
  }

  files(request: FilesRequest, input?: Readable): Readable {
    return transferFiles(this.#guest, request, input);
  }

  async pause(): Promise<void> {
    await this.#guest.agent.request({ type: 'pause' });
    this.#guest.setPaused(true);
  }

  async unpause(): Promise<void> {
    await this.#guest.agent.request({ type: 'unpause' });
    this.#guest.setPaused(false);
  }

  swapOut(file: string): Promise<void> {
    return this.#guest.swapOut(file);
  }

  async save(folder: string): Promise<{ standstill: number }> {
    const { rootfs } = this.#config;
    const stdio = this.#stdio;
    if (rootfs.kind !== 'disk' || !stdio || !this.#processes.has(FIRST_PROCESS))
      throw new HuskError('there is no container in this machine that could be saved', { kind: 'conflict' });
    let standstill = 0;
    await this.#guest.save(savedFiles(folder), {
      disk: rootfs.writable,
      container: () => {
        // its end may have been told while the machine came to rest
        if (!this.#processes.has(FIRST_PROCESS)) throw new HuskError('the container has ended', { kind: 'conflict' });
        return { nextProcess: this.#processes.next, streams: stdio.streams, sockets: this.#socketStreams };
      },
      frozen: async (work) => {
        standstill = await this.#frozen(work);
      },
    });
    return { standstill };
  }

  /** @returns ms for which the container stood still */
  async #frozen(work: () => Promise<void>): Promise<number> {
    const { agent } = this.#guest;
    const began = performance.now();
    // in the copy none of its processes goes on before it is another container
    await agent.request({ type: 'pause' });
    try {
      await work();
    } finally {
      // one that has ended stands no more
      if (this.#processes.has(FIRST_PROCESS)) await agent.request({ type: 'unpause' });
    }
    return performance.now() - began;
  }

  async processes(): Promise<number[]> {
    return checkPids(await this.#guest.agent.request({ type: 'processes' }));
  }

  async ps(options: readonly string[]): Promise<ProcessTable> {
    return checkTable(await this.#guest.answered({ type: 'ps', arguments: [...options] }));
  }

  async stats(): Promise<SandboxStats> {
    return checkStats(await this.#guest.answered({ type: 'stats' }));
  }

  async update(resources: Resources): Promise<void> {
    checkSize(resources, { ...this.#options.size, affinity: this.#config.spec.linux.resources?.cpu?.cpus });
    await this.#guest.agent.request({ type: 'update', resources: guestResources(resources) });
  }

  /** @throws HuskError when what the container wrote last may not be on its disk */
  destroy(): Promise<number | undefined> {
    if (!this.#destroyed) {
      this.#kill?.();
      this.#relayWatch?.[Symbol.dispose]();
      this.#destroyed = this.#guest.end();
    }
    return this.#destroyed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }
}
