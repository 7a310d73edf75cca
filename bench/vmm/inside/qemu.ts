/** QEMU's microvm machine with the least that a Linux guest needs: the peer of every measurement. */
import { spawn, type ChildProcess } from 'node:child_process';

export interface QemuMachine {
  kernel: string;
  initrd?: string;
  commandLine: string;
  /** MiB */
  memory: number;
  cpus: number;
  /** `-drive` and `-device` arguments; devices of virtio-mmio get their places in this order */
  devices: string[];
  /** vhost-user devices read guest memory themselves */
  sharedMemory?: boolean;
}

/**
 * No PIT, PIC, RTC, ACPI, no option ROMs: what QEMU can leave out. `reboot=t`: it has no keyboard controller to reset
 * by.
 */
function qemuArguments({ kernel, initrd, commandLine, memory, cpus, devices, sharedMemory }: QemuMachine): string[] {
  const machine = 'microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=off,acpi=off,accel=kvm';
  return [
    '-M',
    sharedMemory ? `${machine},memory-backend=ram` : machine,
    '-cpu',
    'host',
    '-smp',
    String(cpus),
    '-m',
    String(memory),
    // libvhost-user takes no legacy devices, which is what QEMU's virtio-mmio makes by default
    ...(sharedMemory
      ? ['-global', 'virtio-mmio.force-legacy=false', '-object', `memory-backend-memfd,id=ram,size=${memory}M,share=on`]
      : []),
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-no-reboot',
    '-kernel',
    kernel,
    ...(initrd === undefined ? [] : ['-initrd', initrd]),
    '-append',
    commandLine,
    '-chardev',
    'stdio,id=console',
    '-device',
    'virtio-serial-device',
    '-device',
    'virtconsole,chardev=console',
    ...devices,
  ];
}

export const RNG = ['-device', 'virtio-rng-device'];
export const BALLOON = ['-device', 'virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on'];
export const vsock = (cid: number) => ['-device', `vhost-vsock-device,guest-cid=${cid}`];

/** @param drive.options more of `-drive`: aio=…, cache.direct=… */
export function disk(drive: { id: string; path: string; readOnly: boolean; options?: string }): string[] {
  const { id, path, readOnly, options } = drive;
  return [
    '-drive',
    `id=${id},file=${path},format=raw,if=none,readonly=${readOnly ? 'on' : 'off'}${options === undefined ? '' : `,${options}`}`,
    '-device',
    `virtio-blk-device,drive=${id}`,
  ];
}

export interface RunningQemu {
  child: ChildProcess;
  output(): string;
  ended: Promise<void>;
}

export function startQemu(machine: QemuMachine, onOutput: (text: string) => void = () => {}): RunningQemu {
  const child = spawn('qemu-system-x86_64', qemuArguments(machine), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const take = (chunk: Buffer) => {
    output += chunk.toString('latin1');
    onOutput(output);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  return { child, output: () => output, ended: new Promise((resolve) => child.on('close', () => resolve())) };
}
