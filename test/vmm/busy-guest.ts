/**
 * The guest of test/vmm/guest/snapshot.c with every device in use, for tests that save a machine and go on with it:
 * booted, or from a snapshot.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Fd } from '../../src/host/fd.ts';
import { packetPair, readPacket, setNonBlocking, writePacket } from '../../src/host/streams/packet-fd.ts';
import { watchReadable } from '../../src/host/streams/poll.ts';
import { Balloon } from '../../src/vmm/devices/balloon/device.ts';
import { Backing } from '../../src/vmm/devices/block/backing.ts';
import { Block } from '../../src/vmm/devices/block/device.ts';
import { Console } from '../../src/vmm/devices/console/device.ts';
import { rootIsOwner } from '../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../src/vmm/devices/fs/device.ts';
import { Net } from '../../src/vmm/devices/net/device.ts';
import { PacketLink } from '../../src/vmm/devices/net/link.ts';
import { Rng } from '../../src/vmm/devices/rng/device.ts';
import { Vsock } from '../../src/vmm/devices/vsock/device.ts';
import { Machine, type MachineEnd, type Snapshot } from '../../src/vmm/machine.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';
import { EVERY_FRAME } from './driver.ts';
import { INITRD, KERNEL } from './kvm-host.ts';
import { arpReply, udpFrame } from './udp-frames.ts';

const COMMAND_LINE = 'console=hvc0 quiet reboot=k panic=-1 8250.nr_uarts=0 husk.test=snapshot';
const MEMORY = 128 * MIB;
const DISK = MIB;
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 7);
/** ms that a guest has to accept a connection, beside others on a busy machine */
const PATIENCE = 60_000;
/** vsock ports, as snapshot.c has them */
const ANSWERS = 1024;
const STREAM = 53;

/** Makes the files that the guest's devices stand on. */
export function makeFiles(folder: string): void {
  writeFileSync(join(folder, 'empty'), '');
  mkdirSync(join(folder, 'empty-share'));
  writeFileSync(join(folder, 'read-only'), Buffer.alloc(DISK, 'readonly'));
  writeFileSync(join(folder, 'disk'), Buffer.alloc(DISK));
  mkdirSync(join(folder, 'share'));
  writeFileSync(join(folder, 'share', 'from-host'), 'host says');
}

/** What the guest's background work has done: snapshot.c § struct counts. */
export interface Counts {
  ticks: number;
  slept: number;
  written: number;
  sent: number;
  cpus: [number, number];
}

export class BusyGuest implements Disposable {
  output = '';
  readonly reports: string[] = [];
  readonly machine: Machine;
  readonly balloon = new Balloon();
  /** bytes of the guest's stream that have come, from its very start */
  streamed: number;
  /** where the stream had other bytes than were due */
  broken: number | undefined;
  ended: Promise<MachineEnd> | undefined;
  readonly #vsock = new Vsock();
  readonly #sockets: [Fd, Fd] = packetPair();
  #waiting: { text: string; resolve: () => void }[] = [];

  /**
   * A machine to be saved has a read-only disk of no size, a network without a link, and an empty share; one that goes
   * on has others.
   * @param options.disk path of the writable disk @param options.streamed as the machine that was saved has it
   */
  constructor(folder: string, cpus: number, options: { disk?: string; snapshot?: Snapshot; streamed?: number } = {}) {
    this.streamed = options.streamed ?? 0;
    this.#vsock.listen(STREAM, (connection) => connection.on('data', (chunk: Buffer) => this.#take(chunk)));
    this.machine = new Machine(
      {
        kernel: KERNEL,
        initrd: INITRD,
        commandLine: COMMAND_LINE,
        memory: MEMORY,
        cpus,
        devices: [
          new Console((bytes) => this.#print(bytes)),
          new Block(Backing.file(join(folder, options.snapshot ? 'read-only' : 'empty'), { readOnly: true }), {
            serial: 'read-only',
          }),
          new Block(Backing.file(options.disk ?? join(folder, 'disk'), { readOnly: false }), { serial: 'writable' }),
          this.#vsock,
          new Rng(),
          this.balloon,
          new Net(options.snapshot && new PacketLink(this.#sockets[1].number), { mac: MAC, filter: EVERY_FRAME }),
          new Fs({
            tag: 'share',
            path: join(folder, options.snapshot ? 'share' : 'empty-share'),
            readOnly: false,
            ownership: rootIsOwner(process.getuid!(), process.getgid!()),
          }),
        ],
        onReport: (message) => this.reports.push(message),
      },
      options.snapshot,
    );
  }

  run(): this {
    this.ended = this.machine.run();
    return this;
  }

  async stop(): Promise<void> {
    await this.machine.stop();
    await this.ended;
  }

  #print(bytes: Uint8Array): void {
    this.output += Buffer.from(bytes).toString('latin1').replaceAll('\r', '');
    for (const { text, resolve } of this.#waiting) if (this.output.includes(text)) resolve();
  }

  says(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ text, resolve });
      if (this.output.includes(text)) resolve();
    });
  }

  /** The stream is 64-bit numbers from 0 on: a byte too many or too few shows at the ends of the next chunk. */
  #take(chunk: Buffer): void {
    for (const at of chunk.keys()) {
      if (at >= 16 && at < chunk.length - 16) continue;
      const position = this.streamed + at;
      const due = Number((BigInt(Math.floor(position / 8)) >> BigInt(8 * (position % 8))) & 0xffn);
      if (chunk[at] !== due) this.broken ??= position;
    }
    this.streamed += chunk.length;
  }

  /** Asks one question of snapshot.c. */
  async ask(question: string): Promise<string> {
    const connection = await this.#vsock.connect(ANSWERS, { timeout: PATIENCE });
    connection.end(`${question}\n`);
    return (await text(connection)).trim();
  }

  /** Waits until a question has this answer. */
  async answers(question: string, answer: string): Promise<void> {
    while ((await this.ask(question)) !== answer);
  }

  async counts(): Promise<Counts> {
    const [ticks, slept, written, sent, ...cpus] = (await this.ask('counts')).split(' ').map(Number);
    return { ticks: ticks!, slept: slept!, written: written!, sent: sent!, cpus: cpus as [number, number] };
  }

  /** Waits until the background work has come as far as `enough` says. */
  async until(enough: (counts: Counts) => boolean): Promise<Counts> {
    for (;;) {
      const counts = await this.counts();
      if (enough(counts)) return counts;
    }
  }

  /** Sends a datagram, and answers who the sender is. @returns what comes back of it */
  async datagram(payload: string): Promise<string> {
    const ours = this.#sockets[0].number;
    setNonBlocking(ours);
    const echoed = Promise.withResolvers<string>();
    const watch = watchReadable(ours, () => {
      const into = Buffer.alloc(2048);
      for (let length; (length = readPacket(ours, into));) {
        const frame = Buffer.from(into.subarray(0, length));
        if (frame.readUInt16BE(12) === 0x806) writePacket(ours, arpReply(frame));
        else if (frame.readUInt16BE(12) === 0x800 && frame.includes(payload)) echoed.resolve(payload);
      }
    });
    writePacket(ours, udpFrame(MAC, Buffer.from(payload)));
    try {
      return await echoed.promise;
    } finally {
      watch.close();
    }
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
    for (const socket of this.#sockets) socket.close();
  }
}
