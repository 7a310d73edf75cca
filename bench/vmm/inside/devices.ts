/**
 * One device bench (bench/vmm/guest.c) under one VMM, as one line of JSON: `devices.cjs husk|qemu block|vsock|fs|boot`.
 * The device is alone with the console (boot: with rng and balloon), and what is behind it lies on tmpfs, so that
 * nothing is measured but the device and what it costs to reach it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Balloon } from '../../../src/vmm/devices/balloon/device.ts';
import { Backing } from '../../../src/vmm/devices/block/backing.ts';
import { Block } from '../../../src/vmm/devices/block/device.ts';
import { Console } from '../../../src/vmm/devices/console/device.ts';
import { rootIsOwner } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { Rng } from '../../../src/vmm/devices/rng/device.ts';
import type { VirtioDevice } from '../../../src/vmm/devices/virtio/device.ts';
import { Vsock } from '../../../src/vmm/devices/vsock/device.ts';
import { Machine } from '../../../src/vmm/machine.ts';
import { MIB } from '../../../src/vmm/memory/layout.ts';
import { BALLOON, disk, RNG, startQemu, vsock } from './qemu.ts';

const now = () => Number(process.hrtime.bigint()) / 1e6;
const [vmm, bench] = process.argv.slice(2) as ['husk' | 'qemu', 'block' | 'vsock' | 'fs' | 'boot'];
const folder = process.env['BENCH_FOLDER']!;
const KERNEL = join(import.meta.dirname, 'vmlinux');
const INITRD = join(folder, 'initrd.cpio');
/** MiB of guest RAM */
const MEMORY = 128;
/** the last one is reported: caches and compilers are warm */
const ROUNDS = bench === 'boot' ? 0 : 3;
const COMMAND_LINE = `console=hvc0 quiet panic=-1 noreplace-smp 8250.nr_uarts=0 bench=${bench} rounds=${ROUNDS}`;
const DISK = join(folder, 'disk');
const DISK_SIZE = 64 * MIB;
const SHARE = join(folder, 'share');
/** as guest.c */
const PORT_ECHO = 5001;
const STREAM = 16 * MIB;

const times: Record<string, number> = { start: Number(process.env['BENCH_START']), loaded: now() };

function prepare(): void {
  if (bench === 'block') {
    writeFileSync(DISK, '');
    truncateSync(DISK, DISK_SIZE);
    // no holes: both read and write pages that are there
    execFileSync('dd', [
      'if=/dev/zero',
      `of=${DISK}`,
      'bs=1M',
      `count=${DISK_SIZE / MIB}`,
      'conv=notrunc',
      'status=none',
    ]);
  }
  if (bench === 'fs') {
    rmSync(SHARE, { recursive: true, force: true });
    mkdirSync(SHARE);
  }
}

function huskDevices(): VirtioDevice[] {
  if (bench === 'block') return [new Block(Backing.file(DISK, { readOnly: false }), { serial: 'bench' })];
  if (bench === 'fs')
    return [
      new Fs({
        tag: 'share',
        path: SHARE,
        readOnly: false,
        ownership: rootIsOwner(process.getuid!(), process.getgid!()),
      }),
    ];
  if (bench === 'boot') return [new Rng(), new Balloon()];
  const device = new Vsock();
  device.listen(PORT_ECHO, (connection) => void connection.pipe(connection));
  device.listen(PORT_ECHO + 1, (connection) => {
    connection.on('end', () => connection.end());
    connection.resume();
  });
  device.listen(PORT_ECHO + 2, (connection) => {
    const chunk = Buffer.alloc(65536);
    let left = STREAM;
    const more = () => {
      while (left > 0) {
        left -= chunk.length;
        if (left === 0) return void connection.end(chunk);
        if (!connection.write(chunk)) return void connection.once('drain', more);
      }
    };
    connection.resume();
    more();
  });
  return [device];
}

async function underHusk(): Promise<string> {
  let output = '';
  const machine = new Machine({
    kernel: KERNEL,
    initrd: INITRD,
    commandLine: `${COMMAND_LINE} reboot=k`,
    cpus: 1,
    memory: MEMORY * MIB,
    devices: [new Console((bytes) => (output += Buffer.from(bytes).toString('latin1'))), ...huskDevices()],
    onReport: (message) => (output += `${message}\n`),
  });
  times['made'] = now();
  await machine.run();
  times['ended'] = now();
  machine[Symbol.dispose]();
  return output;
}

async function underQemu(): Promise<string> {
  const helper =
    bench === 'vsock' ? spawn(join(folder, 'vsock-peer'), { stdio: ['ignore', 'pipe', 'inherit'] }) : undefined;
  if (helper) await new Promise((resolve) => helper.stdout!.once('data', resolve));
  const devices: Record<typeof bench, () => string[]> = {
    block: () => disk({ id: 'disk', path: DISK, readOnly: false }),
    vsock: () => vsock(3),
    boot: () => [...RNG, ...BALLOON],
    fs: () => [
      '-chardev',
      `socket,id=fs,path=${folder}/fs.sock`,
      '-device',
      'vhost-user-fs-device,chardev=fs,tag=share',
    ],
  };
  const server =
    bench === 'fs'
      ? spawn(
          '/usr/lib/qemu/virtiofsd',
          [`--socket-path=${folder}/fs.sock`, '-o', `source=${SHARE},cache=auto,timeout=0,xattr,sandbox=chroot`],
          { stdio: ['ignore', 'ignore', 'pipe'] },
        )
      : undefined;
  let serverSays = '';
  if (server) {
    server.stderr!.on('data', (chunk: Buffer) => (serverSays += chunk.toString()));
    const deadline = now() + 20_000;
    while (!serverSays.includes('Waiting for vhost-user') && now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }
  times['made'] = now();
  const qemu = startQemu({
    kernel: KERNEL,
    initrd: INITRD,
    commandLine: `${COMMAND_LINE} reboot=t`,
    memory: MEMORY,
    cpus: 1,
    devices: devices[bench](),
    sharedMemory: bench === 'fs',
  });
  await qemu.ended;
  times['ended'] = now();
  helper?.kill('SIGKILL');
  server?.kill('SIGKILL');
  return qemu.output() + serverSays;
}

prepare();
void (vmm === 'qemu' ? underQemu() : underHusk()).then((output) => {
  const rows: Record<string, { operations: number; bytes: number; nanoseconds: number }> = {};
  for (const [, name, operations, bytes, nanoseconds] of output.matchAll(/^bench (\S+) (\d+) (\d+) (\d+)/gm))
    rows[name!] = { operations: Number(operations), bytes: Number(bytes), nanoseconds: Number(nanoseconds) };
  const up = /init: up (\d+\.\d+)/.exec(output)?.[1];
  if (up === undefined || /bench-failed|needs a reset/.test(output) || (ROUNDS > 0 && Object.keys(rows).length === 0)) {
    console.error(output);
    process.exit(1);
  }
  console.log(JSON.stringify({ times, kernelClock: Number(up) * 1000, rows }));
  process.exit(0);
});
