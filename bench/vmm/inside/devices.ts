/**
 * One device bench (bench/vmm/guest.c) under one VMM, as one line of JSON:
 * `devices.cjs husk|qemu|userns block|vsock|fs|git|boot`. The device is alone with the console (boot: with rng and
 * balloon), and what is behind it lies on tmpfs, so that nothing is measured but the device and what it costs to reach
 * it. `userns` does the same work (git alone) in a user namespace of this machine.
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
import { median } from '../../measure.ts';
import type { Row } from '../tables.ts';
import { BALLOON, disk, RNG, startQemu, vsock } from './qemu.ts';

const now = () => Number(process.hrtime.bigint()) / 1e6;
const [vmm, bench] = process.argv.slice(2) as ['husk' | 'qemu' | 'userns', 'block' | 'vsock' | 'fs' | 'git' | 'boot'];
const folder = process.env['BENCH_FOLDER']!;
const KERNEL = join(import.meta.dirname, 'vmlinux');
const INITRD = join(folder, bench === 'git' ? 'git.cpio' : 'initrd.cpio');
/** where git is, when there is no machine around it */
const GIT_ROOT = join(folder, 'git-root');
/** MiB of guest RAM */
const MEMORY = 128;
/** the last one is reported: caches and compilers are warm */
const ROUNDS = bench === 'boot' ? 0 : bench === 'git' ? 7 : 3;
const COMMAND_LINE = `console=hvc0 quiet panic=-1 noreplace-smp 8250.nr_uarts=0 bench=${bench} rounds=${ROUNDS}`;
const DISK = join(folder, 'disk');
const DISK_SIZE = 64 * MIB;
const SHARE = join(folder, 'share');
/** as guest.c */
const PORT_ECHO = 5001;
const STREAM = 16 * MIB;

/** number of the guest's requests to the device, up to the end of each measurement */
const requests: number[] = [];

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
  if (bench === 'git') {
    rmSync(SHARE, { recursive: true, force: true });
    mkdirSync(SHARE);
    execFileSync('tar', ['-xf', join(folder, 'repository.tar'), '-C', SHARE]);
    // its index tells of other inodes; and the page cache is warm
    withoutMachine(2);
  }
}

/** @returns what the guest's program says of so many rounds in a user namespace of this machine */
function withoutMachine(rounds: number): string {
  const script = 'mount --bind "$1" "$2/mnt" && mount --rbind /dev "$2/dev" && exec chroot "$2" /init git "$3"';
  return execFileSync('unshare', ['-Urm', 'sh', '-ec', script, 'sh', SHARE, GIT_ROOT, String(rounds)], {
    encoding: 'utf8',
  });
}

function huskDevices(): VirtioDevice[] {
  if (bench === 'block') return [new Block(Backing.file(DISK, { readOnly: false }), { serial: 'bench' })];
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
  const ownership = rootIsOwner(process.getuid!(), process.getgid!());
  const share = { tag: 'share', path: SHARE, readOnly: false, ownership };
  const fs = bench === 'fs' || bench === 'git' ? new Fs(share) : undefined;
  const machine = new Machine({
    kernel: KERNEL,
    initrd: INITRD,
    commandLine: `${COMMAND_LINE} reboot=k`,
    cpus: 1,
    memory: MEMORY * MIB,
    devices: [
      new Console((bytes) => {
        output += Buffer.from(bytes).toString('latin1');
        if (fs === undefined) return;
        const reported = output.match(/^bench [^\n]*\n/gm)?.length ?? 0;
        while (requests.length < reported) requests.push(fs.requests);
      }),
      ...(fs === undefined ? huskDevices() : [fs]),
    ],
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
  const share = () => [
    '-chardev',
    `socket,id=fs,path=${folder}/fs.sock`,
    '-device',
    'vhost-user-fs-device,chardev=fs,tag=share',
  ];
  const devices: Record<typeof bench, () => string[]> = {
    block: () => disk({ id: 'disk', path: DISK, readOnly: false }),
    vsock: () => vsock(3),
    boot: () => [...RNG, ...BALLOON],
    fs: share,
    git: share,
  };
  // Without a lifetime it asks each time, as our device is measured too; git's is what virtiofsd does by itself.
  const cache = bench === 'git' ? 'cache=auto' : 'cache=auto,timeout=0';
  const server =
    bench === 'fs' || bench === 'git'
      ? spawn(
          '/usr/lib/qemu/virtiofsd',
          [`--socket-path=${folder}/fs.sock`, '-o', `source=${SHARE},${cache},xattr,sandbox=chroot`],
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
    sharedMemory: server !== undefined,
  });
  await qemu.ended;
  times['ended'] = now();
  helper?.kill('SIGKILL');
  server?.kill('SIGKILL');
  return qemu.output() + serverSays;
}

prepare();
const measured = vmm === 'qemu' ? underQemu() : vmm === 'husk' ? underHusk() : Promise.resolve(withoutMachine(ROUNDS));
void measured.then((output) => {
  const rows: Record<string, Row> = {};
  const all: Record<string, number[]> = {};
  let i = 0;
  for (const [, name, operations, bytes, nanoseconds] of output.matchAll(/^bench (\S+) (\d+) (\d+) (\d+)/gm)) {
    const row: Row = { operations: Number(operations), bytes: Number(bytes), nanoseconds: Number(nanoseconds) };
    (all[name!] ??= []).push(row.nanoseconds);
    // One git is too short a time to be trusted on a machine that does other things too.
    if (bench === 'git') row.nanoseconds = median(all[name!]!);
    if (requests.length > 0) row.requests = requests[i]! - (requests[i - 1] ?? 0);
    rows[name!] = row;
    i++;
  }
  const up = vmm === 'userns' ? '0' : /init: up (\d+\.\d+)/.exec(output)?.[1];
  if (up === undefined || /bench-failed|needs a reset/.test(output) || (ROUNDS > 0 && Object.keys(rows).length === 0)) {
    console.error(output);
    process.exit(1);
  }
  console.log(JSON.stringify({ times, kernelClock: Number(up) * 1000, rows }));
  process.exit(0);
});
