/**
 * The internal program `build-machine`: the monitor of a virtual machine that runs steps of a build, in a jail, beside
 * the build (frames.ts). It ends with the connection: the build's death is its own.
 */
import { once } from 'node:events';
import { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { HuskError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import { BuildMachine } from '../../vmm/build/machine.ts';
import { PacketLink } from '../../vmm/devices/net/link.ts';
import { lockDown } from '../lock-down.ts';
import { readDescriptors, type Descriptors } from '../protocol/descriptors.ts';
import { AGENT_DISK, GUEST_KERNEL } from '../../program.ts';
import { hasContainerIds, joined } from '../machine-parts.ts';
import {
  FRAME,
  FrameReader,
  frames,
  MAX_REQUEST_FRAME,
  type FrameKind,
  type MachineFailure,
  type MachineRequest,
} from './frames.ts';

/** 15 characters, all that comm has */
const NAME = 'husk-build-vm';

/** @param args the descriptor of the build's connection, and what else was inherited (descriptors.ts) */
export async function main(args: string[]): Promise<number> {
  process.title = NAME;
  const socket = new Socket({ fd: Number(args[0]) });
  const monitor = new Monitor(socket, readDescriptors(args[1]));
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  const reader = new FrameReader(MAX_REQUEST_FRAME);
  socket.on('data', (chunk: Buffer) => {
    for (const { kind, id, content } of reader.push(chunk)) monitor.take(kind, id, content);
  });
  socket.on('error', () => {});
  await once(socket, 'close');
  // Nothing of the machine is wanted any more, its disk least of all.
  process.exit(0);
}

class Monitor {
  readonly #socket: Socket;
  readonly #descriptors: Descriptors;
  /** tars that come in, by their request */
  readonly #inputs = new Map<number, PassThrough>();
  #machine: BuildMachine | undefined;

  constructor(socket: Socket, descriptors: Descriptors) {
    this.#socket = socket;
    this.#descriptors = descriptors;
  }

  take(kind: FrameKind, id: number, content: Buffer): void {
    const input = this.#inputs.get(id);
    if (kind === FRAME.REQUEST) void this.#answer(id, JSON.parse(content.toString('utf8')) as MachineRequest);
    else if (kind === FRAME.DATA && input && !input.write(content)) {
      // One tar at a time: while it has no room there is nothing else to read.
      this.#socket.pause();
      input.once('drain', () => this.#socket.resume());
    } else if (kind === FRAME.END) input?.end();
  }

  async #answer(id: number, request: MachineRequest): Promise<void> {
    try {
      const value = await this.#carryOut(id, request);
      this.#send(FRAME.ANSWER, id, Buffer.from(JSON.stringify(value ?? null)));
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #fail(id: number, error: unknown): void {
    const failure: MachineFailure =
      error instanceof HuskError
        ? {
            message: error.message,
            kind: error.kind,
            ...(error.exitCode !== undefined && { exitCode: error.exitCode }),
            ...(error.fix !== undefined && { fix: error.fix }),
          }
        : { message: String((error as Error).stack ?? error), kind: 'internal' };
    this.#send(FRAME.FAILURE, id, Buffer.from(JSON.stringify(failure)));
  }

  async #carryOut(id: number, request: MachineRequest): Promise<unknown> {
    switch (request.type) {
      case 'boot':
        return await this.#boot(request);
      case 'layer': {
        const input = new PassThrough();
        this.#inputs.set(id, input);
        try {
          return await this.#made().layer(request.number, input);
        } finally {
          this.#inputs.delete(id);
          this.#socket.resume();
        }
      }
      case 'run': {
        const { error, ...exit } = await this.#made().run(request.number, request.step, {
          onOutput: (chunk, stream) => {
            this.#send(stream === 'stdout' ? FRAME.STDOUT : FRAME.STDERR, id, chunk);
            return this.#room();
          },
        });
        if (error !== undefined) throw new HuskError(error, { kind: 'start-failed' });
        return exit;
      }
      case 'signal':
        return this.#made().signal(request.number, request.signal);
      case 'seal': {
        const { tar, leftOut } = this.#made().seal(request.number, request.epoch);
        leftOut.catch(() => {});
        for await (const chunk of tar) {
          this.#send(FRAME.DATA, id, chunk as Buffer);
          await this.#room();
        }
        this.#send(FRAME.END, id);
        return await leftOut;
      }
    }
  }

  async #boot({ config, size, interfaces }: Extract<MachineRequest, { type: 'boot' }>): Promise<void> {
    const links = (this.#descriptors.links ?? []).map((fd) => new PacketLink(fd));
    const [control] = this.#descriptors.relay ?? [];
    // Loaded before the machine runs: afterwards this process opens no file any more.
    const relay =
      control === undefined ? undefined : new (await import('../../vmm/sockets/relay.ts')).SocketRelay(new Fd(control));
    const machine = new BuildMachine(
      config,
      {
        relay,
        parts: { kernel: GUEST_KERNEL, agentDisk: AGENT_DISK },
        size,
        sameIds: hasContainerIds(),
        interfaces: joined(interfaces, links),
      },
      (error) => this.#fail(0, error),
    );
    this.#machine = machine;
    await machine.boot(() => lockDown({ again: false }));
  }

  #made(): BuildMachine {
    if (!this.#machine) throw new HuskError('the machine has not been booted', { kind: 'conflict' });
    return this.#machine;
  }

  /** @returns when the build has read, where it is behind; without it this process ends */
  #room(): Promise<unknown> | undefined {
    return this.#socket.writableNeedDrain ? once(this.#socket, 'drain') : undefined;
  }

  #send(kind: FrameKind, id: number, content: Uint8Array = new Uint8Array()): void {
    for (const piece of frames(kind, id, content)) this.#socket.write(piece);
  }
}
