/**
 * The VM isolation: the contract of src/sandbox.ts with a microVM. This process is the VMM; the container is the guest
 * agent's work. Knows nothing of records, images or logs.
 */
import type { Readable } from 'node:stream';
import type { ImageDevice } from '../../agent-protocol.ts';
import type { ProcessSpec, Resources } from '../../spec.ts';
import type { HuskError } from '../../errors.ts';
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
import { assembleMachine, imageDevices, ROOT_DEVICE, WRITABLE_DEVICE, type MachineOptions } from './assemble.ts';
import { Guest } from './guest.ts';
import { FIRST_PROCESS, GuestProcesses, type Stdio } from './processes.ts';
import { transferFiles } from './transfer.ts';

/** ms between SIGKILL of the container's first process and its exit; then the machine is switched off */
const KILL_TIMEOUT = 60_000;
const SIGKILL = 9;

export interface VmOptions extends MachineOptions {
  /** everything is open, the guest has not run: the moment to give up what is not needed any more */
  beforeRun?: () => void;
  /** the guest's agent serves: for whoever measures */
  onAgent?: () => void;
}

export class VmSandbox implements Sandbox {
  readonly #config: SandboxConfig;
  readonly #options: Pick<VmOptions, 'size' | 'network' | 'beforeRun' | 'onAgent'>;
  readonly #binds: GuestBinds;
  readonly #images: ImageDevice[];
  readonly #guest: Guest;
  readonly #processes: GuestProcesses;
  #stdio: Stdio | undefined;
  #kill: NodeJS.Timeout | undefined;
  #destroyed: Promise<number | undefined> | undefined;

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
    this.#guest = new Guest((hooks) => assembleMachine(config, options, { ...hooks, hasShares }), {
      onNotice: (notice) => this.#processes.settle(notice),
      onEnd: (error) => this.#ended(error),
    });
    this.#processes = new GuestProcesses(this.#guest);
  }

  async prepare(stdio: StdioRequest): Promise<{ pid: number }> {
    await this.#boot();
    const { streams } = (this.#stdio = this.#processes.openStdio(stdio));
    const { init } = this.#config;
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
      ...(this.#options.network && { interface: this.#options.network.interface }),
    });
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

  #boot(): Promise<void> {
    return this.#guest.boot(this.#binds, this.#options);
  }

  async start(): Promise<SandboxProcess> {
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
    clearTimeout(this.#kill);
    this.#processes.settleAll({ code: 128 + SIGKILL, ...(error && { error: error.message }) });
    for (const stream of [this.#stdio?.ends.stdout, this.#stdio?.ends.stderr]) stream?.end();
  }

  signal(signal: number, options: { all?: boolean } = {}): void {
    this.#guest.tell({ type: 'signal', process: FIRST_PROCESS, signal, all: options.all });
    if (signal === SIGKILL) this.#kill ??= setTimeout(() => this.#notKilled(), KILL_TIMEOUT);
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
  }

  async unpause(): Promise<void> {
    await this.#guest.agent.request({ type: 'unpause' });
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
      clearTimeout(this.#kill);
      this.#destroyed = this.#guest.end();
    }
    return this.#destroyed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }
}
