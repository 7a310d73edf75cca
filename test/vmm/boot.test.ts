/** Whole machines: our kernel under our VMM, on a real KVM. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import test from 'ava';
import { rootDisk } from '../../src/images/erofs/root-disk.ts';
import { packetPair, readPacket, setNonBlocking, writePacket } from '../../src/host/streams/packet-fd.ts';
import { watchReadable } from '../../src/host/streams/poll.ts';
import { Balloon } from '../../src/vmm/devices/balloon/device.ts';
import { rootIsOwner } from '../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../src/vmm/devices/fs/device.ts';
import { Net } from '../../src/vmm/devices/net/device.ts';
import { PacketLink } from '../../src/vmm/devices/net/link.ts';
import { Vsock } from '../../src/vmm/devices/vsock/device.ts';
import { Backing } from '../../src/vmm/devices/block/backing.ts';
import { Block } from '../../src/vmm/devices/block/device.ts';
import { Console } from '../../src/vmm/devices/console/device.ts';
import { Rng } from '../../src/vmm/devices/rng/device.ts';
import type { VirtioDevice } from '../../src/vmm/devices/virtio/device.ts';
import { Machine, type MachineEnd } from '../../src/vmm/machine.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';
import { EVERY_FRAME } from './driver.ts';
import { INITRD, KERNEL, onKvmHost } from './kvm-host.ts';
import { arpReply, udpFrame } from './udp-frames.ts';

/**
 * ms to take CPUs that spin out of the guest: some turns of an emulated CPU that others want too, and far from for ever
 */
const STOP_LIMIT = 10_000;
const COMMAND_LINE = 'console=hvc0 quiet reboot=k panic=-1 8250.nr_uarts=0';

class Guest implements Disposable {
  output = '';
  readonly reports: string[] = [];
  readonly machine: Machine;
  #waiting: { text: string; resolve: () => void }[] = [];

  constructor(
    options: { test?: string; cpus?: number; memory?: number; devices?: VirtioDevice[]; commandLine?: string } = {},
  ) {
    const console = new Console((bytes) => {
      this.output += Buffer.from(bytes).toString('latin1').replaceAll('\r', '');
      for (const { text, resolve } of this.#waiting) if (this.output.includes(text)) resolve();
    });
    this.machine = new Machine({
      kernel: KERNEL,
      initrd: INITRD,
      commandLine: `${options.commandLine ?? COMMAND_LINE}${options.test === undefined ? '' : ` husk.test=${options.test}`}`,
      memory: (options.memory ?? 128) * MIB,
      cpus: options.cpus ?? 1,
      devices: [console, ...(options.devices ?? [])],
      onReport: (message) => this.reports.push(message),
    });
  }

  run(): Promise<MachineEnd> {
    return this.machine.run();
  }

  says(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ text, resolve });
      if (this.output.includes(text)) resolve();
    });
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}

await onKvmHost(import.meta.url, () => {
  test.serial('boots to init, prints on the console, ends by the reset line', async (t) => {
    using guest = new Guest({ test: 'rng', devices: [new Rng()] });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.regex(guest.output, /init: cpus 1 memory 1\d\d MiB/);
    t.regex(guest.output, /rng: 64 bytes, random/);
    t.deepEqual(guest.reports, []);
  });

  test.serial('several vCPUs, and memory above the hole at 3 GiB', async (t) => {
    using guest = new Guest({ cpus: 4, memory: 4096 });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.regex(guest.output, /init: cpus 4 memory (39|40)\d\d MiB/);
  });

  test.serial('the least memory that is allowed boots', async (t) => {
    using guest = new Guest({ memory: 40 });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.regex(guest.output, /init: done/);
  });

  test.serial('disks: scattered over files and read-only; one file and writable', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-disk-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    // odd sizes, so that parts begin within sectors and requests cross several
    const parts = [700, 1, 5000, 300_000, 513, 70_001].map((length, i) => {
      const path = join(folder, `part${i}`);
      const bytes = Buffer.alloc(length + 100, 0xee);
      for (let at = 0; at < length; at++) bytes[at + 50] = (at * 13 + i * 57) & 0xff;
      writeFileSync(path, bytes);
      return { path, offset: 50, length, bytes: bytes.subarray(50, 50 + length) };
    });
    const whole = Buffer.concat([...parts.map(({ bytes }) => bytes), Buffer.alloc(512)]);
    const size = Math.ceil(parts.reduce((sum, { length }) => sum + length, 0) / 512) * 512;
    const writable = join(folder, 'writable');
    writeFileSync(writable, Buffer.alloc(1 * MIB));
    using guest = new Guest({
      test: 'disk',
      devices: [
        new Block(new Backing(parts, { readOnly: true }), { serial: 'root' }),
        new Block(Backing.file(writable, { readOnly: false }), { serial: 'upper' }),
      ],
    });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.true(guest.output.includes(`/dev/vda: length ${size} sum ${sum(whole.subarray(0, size))}`), guest.output);
    t.regex(guest.output, /\/dev\/vdb: length 1048576/);
    t.regex(guest.output, /\/dev\/vdb: written/);
    t.notRegex(guest.output, /vda: writable|differs|write:/);
    t.deepEqual(guest.reports, []);
  });

  test.serial('vsock: the guest calls us, we call it, megabytes come back as they went', async (t) => {
    const vsock = new Vsock();
    const heard = new Promise<string>((resolve) =>
      vsock.listen(52, (connection) => {
        void text(connection).then(resolve);
        connection.end('hello from the host');
      }),
    );
    using guest = new Guest({ test: 'vsock', cpus: 2, devices: [vsock] });
    const ended = guest.run();
    t.is(await heard, 'hello from the guest\n');
    await guest.says('host said hello from the host');
    await t.throwsAsync(vsock.connect(1), { message: /refused/ });
    const sent = randomBytes(2 * MIB);
    for (let i = 0; i < 2; i++) {
      const connection = await vsock.connect(1024);
      const [got] = await Promise.all([buffer(connection), pipeline(Readable.from([sent]), connection)]);
      t.true(got.equals(sent));
    }
    t.deepEqual(await ended, { kind: 'reset' });
    t.regex(guest.output, /echoed 2097152\nvsock: echoed 2097152/);
    t.deepEqual(guest.reports, []);
  });

  test.serial('balloon: memory that the guest lets go comes back to the host', async (t) => {
    const balloon = new Balloon();
    using guest = new Guest({ test: 'balloon', devices: [balloon] });
    const ended = guest.run();
    await guest.says('balloon: touched');
    const before = balloon.returned;
    await guest.says('balloon: let go');
    t.deepEqual(await ended, { kind: 'reset' });
    t.true(balloon.returned - before >= 48 * MIB, `${balloon.returned - before}`);
    t.deepEqual(guest.reports, []);
  });

  test.serial('net: a datagram goes in and comes out', async (t) => {
    const [ours, theirs] = packetPair();
    t.teardown(() => {
      ours.close();
      theirs.close();
    });
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 7);
    using guest = new Guest({
      test: 'net',
      devices: [new Net(new PacketLink(theirs.number), { mac, mtu: 1400, filter: EVERY_FRAME })],
    });
    const ended = guest.run();
    await guest.says('net: ready');
    setNonBlocking(ours.number);
    writePacket(ours.number, udpFrame(mac, Buffer.from('ping me')));
    const frames: Buffer[] = [];
    const watch = watchReadable(ours.number, () => {
      const into = Buffer.alloc(2048);
      for (let length; (length = readPacket(ours.number, into));) frames.push(Buffer.from(into.subarray(0, length)));
      // the guest asks who has 10.9.8.1 before it answers
      for (const frame of frames) if (frame.readUInt16BE(12) === 0x806) writePacket(ours.number, arpReply(frame));
    });
    t.deepEqual(await ended, { kind: 'reset' });
    watch.close();
    t.regex(guest.output, /net: mtu 1400\n/);
    t.regex(guest.output, /net: answered 7\n/);
    t.true(frames.some((frame) => frame.readUInt16BE(12) === 0x800 && frame.includes('ping me')));
    t.deepEqual(guest.reports, []);
  });

  test.serial('fs: a shared folder is a POSIX file system, live on both sides, and leads nowhere else', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-share-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'from-host'), 'host says');
    symlinkSync('/etc', join(folder, 'escape'));
    const device = new Fs({
      tag: 'share',
      path: folder,
      readOnly: false,
      ownership: rootIsOwner(process.getuid!(), process.getgid!()),
    });
    using guest = new Guest({ test: 'fs', devices: [device] });
    const ended = guest.run();
    await guest.says('fs: waiting');
    t.true(device.figures.watches > 1, "the guest's kernel keeps names and attributes until they change");
    t.is(readFileSync(join(folder, 'log'), 'utf8'), 'onetwo');
    writeFileSync(join(folder, 'live'), 'changed');
    t.deepEqual(await ended, { kind: 'reset' });
    t.notRegex(guest.output, /FAIL/);
    t.true((guest.output.match(/fs: ok/g) ?? []).length >= 45, guest.output);
    t.is(statSync(join(folder, 'dir')).mode & 0o7777, 0o1777);
    t.is(readFileSync(join(folder, 'large')).length, 3 * MIB);
    t.deepEqual(device.figures, { inodes: 1, handles: 0, watches: 0 });
    t.deepEqual(guest.reports, []);
  });

  test.serial('fs: what the guest knows is not asked for again', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-share-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const ownership = rootIsOwner(process.getuid!(), process.getgid!());
    const device = new Fs({ tag: 'share', path: folder, readOnly: false, ownership });
    using guest = new Guest({ test: 'fs-kept', devices: [device] });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.notRegex(guest.output, /FAIL/);
    t.is((guest.output.match(/fs: ok/g) ?? []).length, 17, guest.output);
    // For each of a hundred files: four requests make it, one finds the other name absent; six are for the second name
    // (whether it is there, LINK, two looks at the count of names, UNLINK, whether it is gone), seven for the move and
    // the removal, with FORGET. Ten looks at two names and a hundred openings and listings ask for nothing more.
    const { requests } = device;
    t.log(`${requests} requests`);
    t.true(requests < 2000, `${requests}`);
  });

  test.serial('the guest kernel has what images need, asked by doing', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-features-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const layer = join(folder, 'layer.tar');
    execFileSync('sh', ['-c', `echo hello >hello && tar -cf ${layer} hello`], { cwd: folder });
    const root = await rootDisk([{ diffId: `sha256:${'0'.repeat(64)}`, tar: layer, size: statSync(layer).size }], {
      tmp: folder,
    });
    const upper = join(folder, 'upper.ext4');
    execFileSync('/sbin/mke2fs', ['-q', '-t', 'ext4', upper, '16M']);
    using guest = new Guest({
      test: 'features',
      devices: [
        new Block(new Backing(root, { readOnly: true }), { serial: 'root', blockSize: 512 }),
        new Block(Backing.file(upper, { readOnly: false }), { serial: 'upper' }),
      ],
    });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.notRegex(guest.output, /FAIL/);
    t.is(guest.output.match(/kernel: ok/g)?.length, 22, guest.output);
    t.deepEqual(guest.reports, []);
  });

  test.serial('a panic ends the machine and leaves the last lines', async (t) => {
    using guest = new Guest({ test: 'panic' });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.regex(guest.output, /Kernel panic - not syncing: Attempted to kill init/);
  });

  test.serial('a triple fault is told from a reboot', async (t) => {
    using guest = new Guest({ commandLine: COMMAND_LINE.replace('reboot=k', 'reboot=t') });
    t.deepEqual(await guest.run(), { kind: 'triple-fault' });
  });

  test.serial('a guest that spins on every CPU is stopped at once', async (t) => {
    using guest = new Guest({ test: 'spin', cpus: 2 });
    const ended = guest.run();
    await guest.says('spinning');
    const start = performance.now();
    await guest.machine.stop();
    t.true(performance.now() - start < STOP_LIMIT, `${performance.now() - start} ms`);
    t.deepEqual(await ended, { kind: 'stopped' });
  });

  test.serial('a paused guest stands still and goes on', async (t) => {
    using guest = new Guest({ test: 'spin' });
    const ended = guest.run();
    await guest.says('spinning');
    await guest.machine.pause();
    guest.machine.resume();
    await guest.machine.pause();
    const where = await guest.machine.where();
    await guest.machine.stop();
    t.deepEqual(await ended, { kind: 'stopped' });
    t.regex(where, /^vCPU 0 at 0x[0-9a-f]+, console [0-9a-f]+ .*\[0: \d+-\d+/);
  });

  test.serial('machines leave no descriptor, no thread and no mapping behind', async (t) => {
    const count = () => ({
      descriptors: readdirSync('/proc/self/fd').length,
      threads: readdirSync('/proc/self/task').length,
      // guest RAM, whatever the allocator does with small mappings
      ram: readFileSync('/proc/self/maps', 'utf8')
        .split('\n')
        .filter((line) => {
          const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
          return range !== null && parseInt(range[2]!, 16) - parseInt(range[1]!, 16) === 128 * MIB;
        }).length,
    });
    const boot = async () => {
      using guest = new Guest({ cpus: 2, devices: [new Rng(), new Vsock(), new Balloon()] });
      t.deepEqual(await guest.run(), { kind: 'reset' });
    };
    await boot();
    const before = count();
    for (let i = 0; i < 5; i++) await boot();
    const after = count();
    // fewer, when V8 has collected one of an earlier test's
    t.true(after.ram <= before.ram);
    // The test runner's own come and go; a leak would be one at least for each of the five machines.
    t.true(after.descriptors < before.descriptors + 5, `${after.descriptors} descriptors after ${before.descriptors}`);
    t.true(after.threads < before.threads + 5, `${after.threads} threads after ${before.threads}`);
  });
});

/** what test/vmm/guest/init.c computes */
function sum(bytes: Uint8Array): string {
  let value = 0n;
  for (const byte of bytes) value = (value * 31n + BigInt(byte)) & 0xffff_ffff_ffff_ffffn;
  return value.toString(16);
}
