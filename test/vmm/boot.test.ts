/** Whole machines: our kernel under our VMM, on a real KVM. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Backing } from '../../src/vmm/devices/block/backing.ts';
import { Block } from '../../src/vmm/devices/block/device.ts';
import { Console } from '../../src/vmm/devices/console/device.ts';
import { Rng } from '../../src/vmm/devices/rng/device.ts';
import type { VirtioDevice } from '../../src/vmm/devices/virtio/device.ts';
import { Machine, type MachineEnd } from '../../src/vmm/machine.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';
import { INITRD, KERNEL, onKvmHost } from './kvm-host.ts';

const COMMAND_LINE = 'console=hvc0 quiet reboot=k panic=-1 8250.nr_uarts=0';

class Guest implements Disposable {
  output = '';
  readonly reports: string[] = [];
  readonly machine: Machine;
  #waiting: { text: string; resolve: () => void }[] = [];

  constructor(options: { test?: string; cpus?: number; memory?: number; devices?: VirtioDevice[]; commandLine?: string } = {}) {
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
    using guest = new Guest({ test: 'disk', devices: [new Block(new Backing(parts, { readOnly: true }), { serial: 'root' }), new Block(Backing.file(writable, { readOnly: false }), { serial: 'upper' })] });
    t.deepEqual(await guest.run(), { kind: 'reset' });
    t.true(guest.output.includes(`/dev/vda: length ${size} sum ${sum(whole.subarray(0, size))}`), guest.output);
    t.regex(guest.output, /\/dev\/vdb: length 1048576/);
    t.regex(guest.output, /\/dev\/vdb: written/);
    t.notRegex(guest.output, /vda: writable|differs|write:/);
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
    t.true(performance.now() - start < 1000);
    t.deepEqual(await ended, { kind: 'stopped' });
  });

  test.serial('a paused guest stands still and goes on', async (t) => {
    using guest = new Guest({ test: 'spin' });
    const ended = guest.run();
    await guest.says('spinning');
    await guest.machine.pause();
    guest.machine.resume();
    await guest.machine.pause();
    await guest.machine.stop();
    t.deepEqual(await ended, { kind: 'stopped' });
  });
});

/** what test/vmm/guest/init.c computes */
function sum(bytes: Uint8Array): string {
  let value = 0n;
  for (const byte of bytes) value = (value * 31n + BigInt(byte)) & 0xffff_ffff_ffff_ffffn;
  return value.toString(16);
}
