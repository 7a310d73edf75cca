/**
 * A virtual machine that runs the steps of a build, one after another; this process is the VMM. Layers go in and come
 * out as tars over the agent's streams: bytes of the guest's, which are only passed on. Knows nothing of images, and
 * never looks at the machine's disk.
 */
import { PassThrough, type Duplex, type Readable } from 'node:stream';
import {
  MAX_LEFT_OUT,
  SHARES_FOLDER,
  SOCKETS_FOLDER,
  type GuestBuildMount,
  type GuestBuildStep,
} from '../../agent-protocol.ts';
import { HuskError } from '../../errors.ts';
import type { ExitStatus } from '../../sandbox.ts';
import type { Linux } from '../../spec.ts';
import { SHARES_TAG } from '../binds.ts';
import { assembleMachine, ROOT_DEVICE, WRITABLE_DEVICE, type MachineOptions } from '../sandbox/assemble.ts';
import { Guest } from '../sandbox/guest.ts';
import { GuestProcesses } from '../sandbox/processes.ts';
import type { SocketRelay } from '../sockets/relay.ts';

const SIGKILL = 9;
const SOCKET_MODE = 0o600;
/** characters of a line about what was left out */
const MAX_LINE = 4096 + 256;

export interface BuildMachineConfig {
  /** byte ranges of files that are the root disk, one after another */
  root: { path: string; offset: number; length: number }[];
  /** the disk that steps write to */
  writable: string;
  /** of what is shared: who owns it, where this process has not the container's ids */
  owners: Pick<Linux, 'uidMappings' | 'gidMappings'>;
  /** how many folders are shared, at <PLACES>/<number> */
  shares: number;
  /** how many sockets of the host's it has, by the numbers of its relay */
  sockets: number;
}

/**
 * A mount of a step as whoever drives the machine says it: a cache by the number of the shared folder that it is, an
 * agent of ssh by that of a socket.
 */
export type MachineMount =
  | Exclude<GuestBuildMount, { type: 'cache' | 'ssh' }>
  | (Omit<Extract<GuestBuildMount, { type: 'ssh' }>, 'agent'> & { socket: number })
  | (Omit<Extract<GuestBuildMount, { type: 'cache' }>, 'folder'> & { share: number });

export type MachineStep = Omit<GuestBuildStep, 'mounts' | 'interfaces'> & {
  mounts: MachineMount[];
  /** whether it has the machine's network devices */
  network: boolean;
};

export interface StepHooks {
  /** @returns when there is room for more, where there is none now */
  onOutput: (chunk: Buffer, stream: 'stdout' | 'stderr') => Promise<unknown> | undefined;
}

export class BuildMachine {
  readonly #config: BuildMachineConfig;
  readonly #interfaces: MachineOptions['interfaces'];
  readonly #guest: Guest;
  readonly #processes: GuestProcesses;
  readonly #relay: SocketRelay | undefined;

  /** @param onEnd told of a machine that ends by itself */
  constructor(
    config: BuildMachineConfig,
    options: MachineOptions & { relay?: SocketRelay | undefined },
    onEnd: (error: HuskError) => void,
  ) {
    this.#config = config;
    this.#relay = options.relay;
    this.#interfaces = options.interfaces;
    const { root, writable, owners, shares } = config;
    const made = {
      rootfs: { kind: 'disk' as const, root, writable },
      spec: { linux: { namespaces: [], ...owners } },
    };
    this.#guest = new Guest((hooks) => assembleMachine(made, options, { ...hooks, hasShares: shares > 0 }), {
      onNotice: (notice) => this.#processes.settle(notice),
      onEnd: (error) => {
        this.#processes.settleAll({ code: 128 + SIGKILL, ...(error && { error: error.message }) });
        if (error) onEnd(error);
      },
    });
    this.#processes = new GuestProcesses(this.#guest);
  }

  /** @param beforeRun everything is open, the guest has not run @throws HuskError */
  async boot(beforeRun: () => void): Promise<void> {
    const { shares, sockets: count } = this.#config;
    // A step that mounts one gives it owner and mode; until then it is the guest's root's.
    const sockets = Array.from({ length: count }, (_, number) => ({
      uid: 0,
      gid: 0,
      mode: SOCKET_MODE,
      stream: this.#guest.agent.serveStreams(carrier(this.#relay, number)),
    }));
    await this.#guest.boot({ shares: shares > 0, files: [], sockets }, { beforeRun });
    await this.#guest.agent.request({ type: 'build', rootDevice: ROOT_DEVICE, writableDevice: WRITABLE_DEVICE });
  }

  /** @param tar without whiteouts @throws HuskError of the guest, or the input's */
  async layer(number: number, tar: Readable): Promise<void> {
    const { agent } = this.#guest;
    const input = agent.expectStream((stream) => {
      stream.on('error', () => {});
      stream.resume();
      // The guest may have failed: what still comes is read away.
      stream.on('close', () => tar.resume());
      tar.on('error', () => stream.destroy());
      if (tar.destroyed) stream.destroy();
      else tar.pipe(stream);
    });
    try {
      await agent.request({ type: 'build-layer', number, input });
    } finally {
      agent.forgetStream(input);
      tar.resume();
    }
  }

  /** @returns how the command ended, when all its output has come @throws HuskError when it cannot be started */
  async run(number: number, { mounts, network, ...step }: MachineStep, { onOutput }: StepHooks): Promise<ExitStatus> {
    const stdio = this.#processes.openStdio({ stdin: false, terminal: false });
    const { exited } = this.#processes.expect(number, stdio);
    const ends = (['stdout', 'stderr'] as const).map((name) => {
      const stream: Readable = stdio.ends[name]!;
      stream.on('data', (chunk: Buffer) => {
        const room = onOutput(chunk, name);
        if (!room) return;
        stream.pause();
        void room.then(() => stream.resume());
      });
      return new Promise((done) => stream.once('end', done));
    });
    try {
      await this.#guest.agent.request({
        type: 'build-run',
        process: number,
        step: {
          ...step,
          mounts: mounts.map(guestMount),
          interfaces: network ? this.#interfaces.map(({ link: _here, ...setup }) => setup) : [],
        },
        streams: stdio.streams,
      });
    } catch (error) {
      this.#processes.forget(number, stdio);
      throw error;
    }
    const exit = await exited;
    // What never opened its streams has no output to wait for.
    if (exit.error !== undefined) for (const end of [stdio.ends.stdout, stdio.ends.stderr]) end?.end();
    await Promise.race([Promise.all(ends), this.#guest.ended]);
    return exit;
  }

  signal(number: number, signal: number): void {
    this.#guest.tell({ type: 'signal', process: number, signal });
  }

  /** @returns the layer of a step that has ended, as the guest tells it, and what is not in it */
  seal(number: number, epoch: number | undefined): { tar: Readable; leftOut: Promise<string[]> } {
    const { agent } = this.#guest;
    const tar = new PassThrough();
    const received = Promise.withResolvers<void>();
    const output = agent.expectStream((stream: Duplex) => {
      stream.end(); // nothing is said on an output
      stream.on('error', () => {});
      stream.on('close', received.resolve);
      tar.on('close', () => stream.destroy());
      stream.pipe(tar, { end: false });
    });
    const answer = agent.request({
      type: 'build-seal',
      process: number,
      output,
      ...(epoch !== undefined && { epoch }),
    });
    const leftOut = answer.then(async (value) => {
      await Promise.race([received.promise, this.#guest.ended]);
      tar.end();
      return leftOutOf(value);
    });
    leftOut.catch((error: Error) => tar.destroy(error)).finally(() => agent.forgetStream(output));
    return { tar, leftOut };
  }
}

/** @returns what takes the guest's streams to a socket of the host's, by its number */
export const carrier =
  (relay: SocketRelay | undefined, number: number) =>
  (stream: Duplex): void => {
    if (relay === undefined) stream.destroy();
    else relay.carry(stream, number);
  };

const guestMount = (mount: MachineMount): GuestBuildMount => {
  if (mount.type === 'ssh') {
    const { socket, ...rest } = mount;
    return { ...rest, agent: `${SOCKETS_FOLDER}/${socket}` };
  }
  if (mount.type !== 'cache') return mount;
  const { share, ...rest } = mount;
  return { ...rest, folder: `${SHARES_FOLDER}/${SHARES_TAG}/${share}` };
};

/** Lines of a guest's, who says what it likes: texts, so many, and of such a length. */
export function leftOutOf(answer: unknown): string[] {
  const lines = (answer as { leftOut?: unknown } | null | undefined)?.leftOut;
  if (!Array.isArray(lines)) return [];
  return lines
    .filter((line) => typeof line === 'string')
    .slice(0, MAX_LEFT_OUT + 1)
    .map((line) => line.slice(0, MAX_LINE).replace(/\p{Cc}+/gu, ' '));
}
