/**
 * The VM isolation: the contract of src/sandbox.ts with a microVM. This process is the VMM; the container is the guest agent's work.
 * Knows nothing of records, images or logs.
 */
import { randomBytes } from 'node:crypto';
import { PassThrough, type Duplex, type Readable, type Writable } from 'node:stream';
import {
  type ImageDevice,
  type InterfaceSetup,
  type ProcessNumber,
  type ProcessStreams,
  type Notice,
  type StreamToken,
} from '../agent-protocol.ts';
import type { ProcessSpec, Resources, Spec } from '../container/spec.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import type {
  ExitStatus,
  FilesRequest,
  ImageTree,
  ProcessTable,
  Sandbox,
  SandboxConfig,
  SandboxProcess,
  SandboxStats,
  StdioRequest,
} from '../sandbox.ts';
import { addressBytes } from '../host/streams/netlink.ts';
import { AgentClient } from './agent-client.ts';
import { guestBinds, isBind, MAX_IMAGES, PLACES, SHARES_TAG, type GuestBinds } from './binds.ts';
import { checkTable } from './process-table.ts';
import { ConsoleTail } from './console-tail.ts';
import { Balloon } from './devices/balloon/device.ts';
import { Backing } from './devices/block/backing.ts';
import { Block } from './devices/block/device.ts';
import { Console } from './devices/console/device.ts';
import { mappedOwners, rootIsOwner, sameOwners, type Ownership } from './devices/fs/attributes.ts';
import { Fs } from './devices/fs/device.ts';
import { Net } from './devices/net/device.ts';
import { frameFilter } from './devices/net/filter.ts';
import type { Link } from './devices/net/link.ts';
import { Rng } from './devices/rng/device.ts';
import { Vsock } from './devices/vsock/device.ts';
import { GuestClock } from './guest-clock.ts';
import { guestResources } from './limits.ts';
import { Machine, type MachineEnd } from './machine.ts';

/** What every VM of this husk is made of; paths. */
interface VmParts {
  kernel: string;
  agentDisk: string;
}

export interface VmSize {
  /** bytes of guest RAM */
  memory: number;
  cpus: number;
}

// Each of these ends a container that might have gone on: on a host whose CPUs are all taken a machine gets a twentieth of one, and less.
/** ms a guest has to boot until its agent serves; a software KVM is a hundred times slower than hardware */
const BOOT_TIMEOUT = 300_000;
/** ms the agent has to end its container before the machine is switched off; as often again as its disk is at work in the meantime */
const SHUTDOWN_TIMEOUT = 60_000;
/** ms after which a machine is switched off though its disk is at work: some 10 GB that the host had not written yet; a hostile guest gets no longer */
const LONGEST_SHUTDOWN = 180_000;
/** ms for a question about what runs; the agent of a machine under full load answers late */
const ANSWER_TIMEOUT = 30_000;
/** ms between SIGKILL of the container's first process and its exit; then the machine is switched off */
const KILL_TIMEOUT = 60_000;
/** ms a machine whose agent is gone has to end by itself: a panic, or husk-init that resets it, tells more than a closed connection */
const LOST_TIMEOUT = 20_000;
/** ms for the CPUs of a machine that does not boot to leave the guest, so that it can be told where they are */
const PAUSE_TIMEOUT = 5000;
/** what a death tells of the machine's own complaints: the last ones; a guest makes as many as it likes */
const MAX_REPORTS = 3;
/** ms after a process's exit in which its streams may still be opened */
const LATE_STREAM = 20_000;
/** Documentation/admin-guide/kernel-parameters.txt; panic=-1 and reboot=k: a guest that panics resets at once, and the VMM sees it */
export const COMMAND_LINE =
  'console=hvc0 quiet reboot=k panic=-1 8250.nr_uarts=0 root=/dev/vda rootfstype=erofs ro init=/husk/husk-init';
/** in the order the devices are given, virtio-blk names them */
const ROOT_DEVICE = '/dev/vdb';
const WRITABLE_DEVICE = '/dev/vdc';
const FIRST_IMAGE_DEVICE = 'd';
/** ms; 0: each side sees the other's changes at once */
const SHARE_FRESHNESS = 0;
const FIRST_PROCESS: ProcessNumber = 0;
const SIGKILL = 9;
const MIB = 1 << 20;

export interface VmNetwork {
  link: Link;
  /** six bytes, `02:42:…` */
  mac: string;
  /** bytes */
  mtu: number;
  interface: InterfaceSetup;
}

export interface VmOptions {
  parts: VmParts;
  size: VmSize;
  /** this process has the container's ids, 0 and all: owners in shared folders are the same on both sides, or as the spec's id maps exchange them; otherwise the spec's id maps say whose is whose */
  sameIds: boolean;
  /** absent: the machine has no network device */
  network?: VmNetwork;
  /** everything is open, the guest has not run: the moment to give up what is not needed any more */
  beforeRun?: () => void;
  /** the guest's agent serves: for whoever measures */
  onAgent?: () => void;
}

export class VmSandbox implements Sandbox {
  readonly #config: SandboxConfig;
  readonly #size: VmSize;
  readonly #beforeRun: (() => void) | undefined;
  readonly #network: VmNetwork | undefined;
  readonly #onAgent: (() => void) | undefined;
  readonly #binds: GuestBinds;
  readonly #images: ImageDevice[];
  readonly #vsock = new Vsock();
  readonly #agent: AgentClient;
  readonly #console = new ConsoleTail();
  readonly #machine: Machine;
  readonly #clock: GuestClock;
  readonly #writable: Block;
  readonly #exits = new Map<ProcessNumber, PromiseWithResolvers<ExitStatus>>();
  readonly #reports: string[] = [];
  #stdio: Stdio | undefined;
  #nextProcess: ProcessNumber = 1;
  /** why we switched the machine off */
  #switchedOff: HuskError | undefined;
  #kill: NodeJS.Timeout | undefined;
  #isOver = false;
  #ended: Promise<void> | undefined;
  #destroyed: Promise<number | undefined> | undefined;

  constructor(config: SandboxConfig, options: VmOptions) {
    const { rootfs } = config;
    if (rootfs.kind !== 'disk')
      throw new HuskError('VM isolation runs on disks, not on unpacked layers', { kind: 'internal' });
    const { linux } = config.spec;
    this.#binds = guestBinds(
      { ...config.spec, linux: { ...linux, ...(linux.resources && { resources: guestResources(linux.resources) }) } },
      { directory: config.directory },
    );
    const images = imageDisks(config.images);
    this.#images = images.map(({ id }, index) => ({ id, device: imageDevice(index) }));
    this.#config = config;
    this.#size = options.size;
    this.#beforeRun = options.beforeRun;
    this.#network = options.network;
    this.#onAgent = options.onAgent;
    const ownership = options.sameIds ? keptOwners(linux) : ownersOf(linux);
    this.#agent = new AgentClient(this.#vsock, {
      notice: (notice) => this.#notice(notice),
      lost: ({ message }) => this.#lost(message),
    });
    // now: once the machine runs this process may make no timer descriptor any more
    this.#clock = new GuestClock((shift) =>
      this.#agent.request({ type: 'clock', ...(shift !== undefined && { shift }) }),
    );
    this.#writable = new Block(Backing.file(rootfs.writable, { readOnly: false }), { serial: 'husk-writable' });
    this.#machine = new Machine({
      kernel: options.parts.kernel,
      commandLine: COMMAND_LINE + (options.size.cpus === 1 ? ' noreplace-smp' : ''),
      memory: options.size.memory,
      cpus: options.size.cpus,
      devices: [
        new Console((bytes) => this.#console.push(bytes)),
        new Block(Backing.file(options.parts.agentDisk, { readOnly: true }), { serial: 'husk-agent' }),
        new Block(new Backing(rootfs.root, { readOnly: true }), { serial: 'husk-root', blockSize: 512 }),
        this.#writable,
        ...images.map(({ root }, index) => imageBlock(root, index)),
        this.#vsock,
        new Rng(),
        new Balloon(),
        ...(options.network
          ? [
              new Net(options.network.link, {
                mac: Buffer.from(options.network.mac.replaceAll(':', ''), 'hex'),
                mtu: options.network.mtu,
                filter: frameFilter(options.network.interface.addresses.map(({ address }) => addressBytes(address))),
              }),
            ]
          : []),
        // what is read-only among them is so by the jail's mounts
        ...(this.#binds.shares
          ? [
              new Fs({
                tag: SHARES_TAG,
                path: PLACES,
                readOnly: false,
                ownership,
                freshness: { milliseconds: SHARE_FRESHNESS },
                onCrowded: () => this.#tell({ type: 'forget-names' }),
              }),
            ]
          : []),
      ],
      onReport: (message) => {
        this.#reports.push(message);
        if (this.#reports.length > MAX_REPORTS) this.#reports.shift();
      },
    });
  }

  async prepare(stdio: StdioRequest): Promise<{ pid: number }> {
    await this.#boot();
    const { streams } = (this.#stdio = this.#openStdio(stdio));
    const { init } = this.#config;
    const { spec } = this.#binds;
    await this.#agent.request({
      type: 'create',
      spec: { ...spec, process: { ...spec.process, terminal: stdio.terminal } },
      init,
      rootDevice: ROOT_DEVICE,
      writableDevice: WRITABLE_DEVICE,
      images: this.#images,
      streams,
      columns: stdio.columns,
      rows: stdio.rows,
      ...(this.#network && { interface: this.#network.interface }),
    });
    return { pid: process.pid };
  }

  async open(): Promise<void> {
    await this.#boot();
    await this.#agent.request({
      type: 'open',
      mounts: this.#binds.spec.mounts.filter((mount) => isBind(mount) || mount.type === 'image'),
      rootDevice: ROOT_DEVICE,
      writableDevice: WRITABLE_DEVICE,
      images: this.#images,
    });
  }

  async #boot(): Promise<void> {
    this.#beforeRun?.();
    this.#ended = this.#machine.run().then((end) => this.#machineEnded(end));
    const timer = setTimeout(() => void this.#bootFailed(), BOOT_TIMEOUT);
    try {
      await this.#agent.ready();
    } finally {
      clearTimeout(timer);
    }
    this.#onAgent?.();
    await this.#agent.request({
      type: 'configure',
      realtime: Date.now(),
      entropy: randomBytes(64).toString('base64'),
      shares: this.#binds.shares ? [SHARES_TAG] : [],
      files: this.#binds.files,
    });
    void this.#clock.look();
  }

  /** The kernel may not have got as far as its console: what it was at is all that can be told. */
  async #bootFailed(): Promise<void> {
    const unknown = new Promise<string>((resolve) =>
      setTimeout(() => resolve('its CPUs do not leave the guest'), PAUSE_TIMEOUT).unref(),
    );
    const where = await Promise.race([this.#machine.where().catch((error: unknown) => String(error)), unknown]);
    this.#agent.fail(this.#death(`its agent did not answer within ${BOOT_TIMEOUT / 1000} s (${where})`));
  }

  async start(): Promise<SandboxProcess> {
    const stdio = this.#stdio;
    if (!stdio) throw new TypeError('not prepared');
    const started = this.#process(FIRST_PROCESS, stdio);
    await this.#agent.request({ type: 'start' });
    return started;
  }

  async exec(spec: ProcessSpec, stdio: StdioRequest): Promise<SandboxProcess> {
    const number = this.#nextProcess++;
    const { streams, ends } = this.#openStdio(stdio);
    const started = this.#process(number, { streams, ends });
    try {
      await this.#agent.request({
        type: 'exec',
        process: number,
        spec: { ...spec, terminal: stdio.terminal },
        streams,
        columns: stdio.columns,
        rows: stdio.rows,
      });
    } catch (error) {
      this.#closeStdio(streams, ends);
      this.#exits.delete(number);
      throw error;
    }
    return started;
  }

  #process(number: ProcessNumber, { streams, ends }: Pick<Stdio, 'streams' | 'ends'>): SandboxProcess {
    const exit = Promise.withResolvers<ExitStatus>();
    this.#exits.set(number, exit);
    // an agent that never opens a stream it was asked for must not fill the list of those awaited
    void exit.promise.then(() => setTimeout(() => this.#closeStdio(streams, ends), LATE_STREAM).unref());
    return {
      pid: process.pid,
      stdin: ends.stdin,
      stdout: ends.stdout,
      stderr: ends.stderr,
      resize: (columns, rows) => this.#tell({ type: 'resize', process: number, columns, rows }),
      signal: (signal, { group } = {}) => this.#tell({ type: 'signal', process: number, signal, group }),
      exited: exit.promise,
    };
  }

  #closeStdio(streams: ProcessStreams, ends: ProcessEnds): void {
    const closeUnopened = (token: StreamToken | undefined, end: PassThrough | Writable | null) => {
      if (token !== undefined && this.#agent.forgetStream(token)) end?.end();
    };
    closeUnopened(streams.stdin, ends.stdin);
    closeUnopened(streams.stdout, ends.stdout);
    closeUnopened(streams.stderr, ends.stderr);
  }

  #openStdio(stdio: StdioRequest): Stdio {
    const stdin = stdio.stdin ? new PassThrough() : null;
    const stdout = new PassThrough();
    const stderr = stdio.terminal ? null : new PassThrough();
    const outputs: Duplex[] = [];
    const from = (target: PassThrough) =>
      this.#agent.expectStream((stream) => {
        outputs.push(stream);
        receive(stream, target);
      });
    return {
      outputs,
      ends: { stdin, stdout, stderr },
      streams: {
        ...(stdin && { stdin: this.#agent.expectStream((stream) => void stdin.pipe(stream)) }),
        stdout: from(stdout),
        ...(stderr && { stderr: from(stderr) }),
      },
    };
  }

  /** A request whose failure is that of the machine, which is told elsewhere. */
  #tell(request: Parameters<AgentClient['request']>[0]): void {
    this.#agent.request(request).catch(() => {});
  }

  #notice(notice: Exclude<Notice, { type: 'ready' }>): void {
    const exit = this.#exits.get(notice.process);
    this.#exits.delete(notice.process);
    exit?.resolve({ code: notice.code, signal: notice.signal, oomKilled: notice.oomKilled });
  }

  /** The agent is gone or lies: nothing in the guest will do as it is told. */
  #lost(why: string): void {
    setTimeout(() => this.#switchOff(why), LOST_TIMEOUT).unref();
  }

  /** Ends a machine that cannot be talked to. Its container is as good as killed. */
  #switchOff(why: string): void {
    this.#switchedOff ??= this.#death(why);
    this.#agent.fail(this.#switchedOff);
    void this.#machine.stop();
  }

  #machineEnded(end: MachineEnd): void {
    this.#isOver = true;
    clearTimeout(this.#kill);
    const { panic } = this.#console;
    const why = {
      reset: panic === undefined ? 'it reset itself' : `its kernel panicked (${panic})`,
      stopped: 'it was stopped',
      'triple-fault': 'its CPU gave up (triple fault)',
      failed: end.kind === 'failed' ? end.message : '',
    }[end.kind];
    const death = this.#switchedOff ?? this.#death(why);
    this.#agent.fail(death);
    const wanted = end.kind === 'stopped' && this.#switchedOff === undefined;
    for (const exit of this.#exits.values())
      exit.resolve({ code: 128 + SIGKILL, ...(wanted ? {} : { error: death.message }) });
    this.#exits.clear();
    for (const stream of [this.#stdio?.ends.stdout, this.#stdio?.ends.stderr]) stream?.end();
  }

  #death(why: string): HuskError {
    const tail = [...this.#reports, ...this.#console.lines()].join(' | ');
    return new HuskError(
      `the virtual machine of the container ended: ${why}${tail === '' ? '' : `; its last lines: ${tail}`}`,
      { kind: 'start-failed', exitCode: EXIT_HUSK_FAILED },
    );
  }

  signal(signal: number, options: { all?: boolean } = {}): void {
    this.#tell({ type: 'signal', process: FIRST_PROCESS, signal, all: options.all });
    if (signal === SIGKILL) this.#kill ??= setTimeout(() => this.#notKilled(), KILL_TIMEOUT);
  }

  /** An agent may also say that the container has ended, and go on sending its output. */
  #notKilled(): void {
    this.#kill = undefined;
    if (this.#exits.has(FIRST_PROCESS))
      this.#switchOff(`its container did not end within ${KILL_TIMEOUT / 1000} s of SIGKILL`);
    else for (const output of this.#stdio?.outputs ?? []) output.destroy();
  }

  /** The bytes are the guest's, and only passed on. */
  files(request: FilesRequest, input?: Readable): Readable {
    const output = new PassThrough();
    const received = Promise.withResolvers<void>();
    const streams: StreamToken[] = [];
    const expect = (onOpen: (stream: Duplex) => void) => streams.push(this.#agent.expectStream(onOpen));
    expect((stream) => {
      stream.end(); // nothing is said on an output
      stream.on('error', () => {});
      stream.on('close', received.resolve);
      output.on('close', () => stream.destroy());
      if (output.destroyed) stream.destroy();
      stream.pipe(output, { end: false });
    });
    if (input) {
      expect((stream) => {
        stream.on('error', () => {});
        stream.on('close', () => input.resume());
        input.on('error', () => stream.destroy());
        // the host's side may have failed before the guest asked for it
        if (input.destroyed) stream.destroy();
        else input.pipe(stream);
      });
    }
    const [out, into] = streams;
    this.#agent
      .request({ type: 'files', request, output: out!, ...(into !== undefined && { input: into }) })
      // the machine's end closes what is still open
      .then(() => Promise.race([received.promise, this.#ended]))
      .then(
        () => (input?.errored ? output.destroy(input.errored) : output.end()),
        // an input that failed is why the guest's half of it was broken
        (error: unknown) => output.destroy(input?.errored ?? (error as Error)),
      )
      .finally(() => {
        for (const stream of streams) this.#agent.forgetStream(stream);
        input?.resume();
      });
    return output;
  }

  async pause(): Promise<void> {
    await this.#agent.request({ type: 'pause' });
  }

  async unpause(): Promise<void> {
    await this.#agent.request({ type: 'unpause' });
  }

  async processes(): Promise<number[]> {
    const value = await this.#agent.request({ type: 'processes' });
    return Array.isArray(value) ? value.filter((pid) => Number.isSafeInteger(pid)) : [];
  }

  async ps(options: readonly string[]): Promise<ProcessTable> {
    return checkTable(await this.#answered({ type: 'ps', arguments: [...options] }));
  }

  /** The answer, if it comes: a guest that says nothing must not keep a person waiting for ever. */
  async #answered(request: Parameters<AgentClient['request']>[0]): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () =>
          reject(
            new HuskError(`the guest's agent did not answer within ${ANSWER_TIMEOUT / 1000} s`, {
              kind: 'unavailable',
            }),
          ),
        ANSWER_TIMEOUT,
      );
    });
    try {
      return await Promise.race([this.#agent.request(request), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async stats(): Promise<SandboxStats> {
    const value = (await this.#answered({ type: 'stats' })) as Partial<Record<keyof SandboxStats, unknown>> | null;
    const count = (name: keyof SandboxStats): number => {
      const number = value?.[name];
      return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : 0;
    };
    return {
      cpuNanoseconds: count('cpuNanoseconds'),
      memoryBytes: count('memoryBytes'),
      memoryLimitBytes: count('memoryLimitBytes'),
      pids: count('pids'),
      pidsLimit: value?.pidsLimit === undefined ? undefined : count('pidsLimit'),
      networkReceivedBytes: count('networkReceivedBytes'),
      networkSentBytes: count('networkSentBytes'),
      blockReadBytes: count('blockReadBytes'),
      blockWrittenBytes: count('blockWrittenBytes'),
    };
  }

  async update(resources: Resources): Promise<void> {
    this.#checkSize(resources);
    await this.#agent.request({ type: 'update', resources: guestResources(resources) });
  }

  /** A machine is as large as it was made. @throws HuskError `unsupported` */
  #checkSize({ memory, cpu }: Resources): void {
    const refuse = (what: string, has: string) => {
      throw new HuskError(
        `cannot ${what}: the container's virtual machine has ${has}, and cannot change while it runs`,
        { kind: 'unsupported', fix: 'stop the container, update it, start it again' },
      );
    };
    const { memory: ram, cpus } = this.#size;
    if (cpu?.cpus && cpu.cpus !== this.#config.spec.linux.resources?.cpu?.cpus)
      refuse(`give the container the CPUs ${cpu.cpus}`, 'those it started on');
    if ((memory?.limit ?? 0) > ram)
      refuse(`raise the memory limit to ${Math.floor(memory!.limit! / MIB)} MiB`, `${ram / MIB} MiB of memory`);
    if (cpu?.quota && cpu.period && cpu.quota > cpus * cpu.period)
      refuse(`give the container ${cpu.quota / cpu.period} CPUs`, `${cpus}`);
  }

  destroy(): Promise<number | undefined> {
    return (this.#destroyed ??= this.#end());
  }

  /** @throws HuskError when what the container wrote last may not be on its disk */
  async #end(): Promise<number | undefined> {
    let written: number | undefined;
    let loss: string | undefined;
    clearTimeout(this.#kill);
    this.#clock[Symbol.dispose]();
    if (this.#ended) {
      const answer = await this.#shutDown().catch((error: unknown) => {
        // a machine that has ended by itself has told why
        if (!this.#isOver && this.#switchedOff === undefined)
          loss = error instanceof Error ? error.message : String(error);
        return undefined;
      });
      if (Number.isSafeInteger(answer?.written) && (answer!.written as number) >= 0)
        written = answer!.written as number;
      await this.#machine.stop();
      await this.#ended;
    }
    this.#machine[Symbol.dispose]();
    if (loss !== undefined)
      throw new HuskError(`the container's disk was not unmounted, and what it wrote last may be lost: ${loss}`, {
        kind: 'internal',
      });
    return written;
  }

  /** The agent unmounts the writable disk; a guest that will not is switched off, but not while the host writes what it was given. */
  async #shutDown(): Promise<{ written?: unknown } | null> {
    const start = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      let seen = this.#writable.state.bytesWritten;
      const look = () => {
        const { bytesWritten } = this.#writable.state;
        const elapsed = performance.now() - start;
        const isAtWork = bytesWritten !== seen || this.#writable.isFlushing;
        if (!isAtWork || elapsed >= LONGEST_SHUTDOWN)
          return reject(
            new HuskError(`its machine was not done after ${Math.round(elapsed / 1000)} s`, { kind: 'unavailable' }),
          );
        seen = bytesWritten;
        timer = setTimeout(look, SHUTDOWN_TIMEOUT);
      };
      timer = setTimeout(look, SHUTDOWN_TIMEOUT);
    });
    try {
      return (await Promise.race([this.#agent.request({ type: 'shutdown' }), late])) as { written?: unknown } | null;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }
}

/** @throws HuskError `unsupported` for more than a machine has places for: `--volumes-from` may bring some along */
function imageDisks(images: readonly ImageTree[] = []): Extract<ImageTree, { kind: 'disk' }>[] {
  if (images.length > MAX_IMAGES)
    throw new HuskError(`cannot mount ${images.length} images in a virtual machine: it has disks for ${MAX_IMAGES}`, {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: 'use --isolation=userns',
    });
  return images.map((image) => {
    if (image.kind === 'disk') return image;
    throw new HuskError('VM isolation runs on disks, not on unpacked layers', { kind: 'internal' });
  });
}

/** Read-only by the device, whatever the guest's kernel does with it. */
function imageBlock(root: Extract<ImageTree, { kind: 'disk' }>['root'], index: number): Block {
  return new Block(new Backing(root, { readOnly: true }), { serial: `husk-image${index}`, blockSize: 512 });
}

/** The next letter; MAX_IMAGES keeps it within the alphabet. */
function imageDevice(index: number): string {
  return `/dev/vd${String.fromCharCode(FIRST_IMAGE_DEVICE.charCodeAt(0) + index)}`;
}

/** The host kernel says what this process may do, and the spec which of its ids is whose; without a word they are the same. */
function keptOwners({ uidMappings, gidMappings }: Spec['linux']): Ownership {
  if (!uidMappings || !gidMappings) return sameOwners;
  const { toGuest, toHost } = mappedOwners({ uid: uidMappings, gid: gidMappings });
  return { toGuest, toHost };
}

/** Without maps this process's own user is the guest's root, and everybody else is nobody; host root is never a guest's. */
function ownersOf({ uidMappings, gidMappings }: Spec['linux']): Ownership {
  if (!uidMappings && process.getuid!() === 0) return mappedOwners({ uid: [], gid: [] });
  return uidMappings && gidMappings
    ? mappedOwners({ uid: uidMappings, gid: gidMappings })
    : rootIsOwner(process.getuid!(), process.getgid!());
}

interface Stdio {
  streams: ProcessStreams;
  ends: ProcessEnds;
  /** from the guest, those that it has opened */
  outputs: Duplex[];
}

interface ProcessEnds {
  stdin: Writable | null;
  stdout: PassThrough & Readable;
  stderr: (PassThrough & Readable) | null;
}

function receive(stream: Duplex, target: PassThrough): void {
  stream.end(); // nothing is said on an output
  stream.on('close', () => target.end());
  // nobody takes it any more: the agent reads and drops the rest, and what writes it never blocks
  target.on('close', () => stream.destroy());
  stream.pipe(target);
}
