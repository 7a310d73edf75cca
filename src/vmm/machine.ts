/**
 * One virtual machine: memory, vCPUs, interrupt controllers, virtio devices on their pages, the serial port and the
 * reset line, wired together.
 *
 * Everything but KVM_RUN happens on the event loop of the thread that made it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { HuskError } from '../errors.ts';
import { EventFd } from '../host/streams/eventfd.ts';
import { Mapping, PAGE_SIZE } from '../host/memory/mapping.ts';
import { watchReadable } from '../host/streams/poll.ts';
import { filterCpuid } from './boot/cpuid.ts';
import { loadBoot } from './boot/load.ts';
import { enterLongMode } from './boot/long-mode.ts';
import { MAX_CPUS } from './boot/mp-table.ts';
import { Ports } from './devices/legacy/ports.ts';
import { Serial } from './devices/legacy/serial.ts';
import type { VirtioDevice } from './devices/virtio/device.ts';
import { INTERRUPT_ACK, MmioTransport, QUEUE_NOTIFY, USED_BUFFER } from './devices/virtio/transport.ts';
import { denyCounters } from './kvm/msr-filter.ts';
import type { CpuidEntry } from './kvm/requests.ts';
import { Kvm } from './kvm/system.ts';
import type { ExitHandler, Vcpu } from './kvm/vcpu.ts';
import type { Vm } from './kvm/vm.ts';
import { GuestMemory } from './memory/guest-memory.ts';
import {
  IDENTITY_MAP_ADDRESS,
  IRQ_FIRST,
  MAX_RAM,
  MIN_RAM,
  MMIO_BASE,
  MMIO_DEVICE_SIZE,
  MMIO_MAX_DEVICES,
  TSS_ADDRESS,
} from './memory/layout.ts';
import { restoreVcpu, restoreVm, saveVcpu, saveVm } from './snapshot/kvm-state.ts';
import { STATE_VERSION, type MachineState } from './snapshot/machine-state.ts';

/** ms that a device's last requests have to end: a flush */
const QUIET_TIMEOUT = 30_000;

export interface MachineConfig {
  /** path of an uncompressed vmlinux */
  kernel: string;
  /** path of an initramfs, when there is no root disk to start from */
  initrd?: string;
  /** the kernel's own parameters; the devices' are added */
  commandLine: string;
  /** bytes of RAM */
  memory: number;
  cpus: number;
  /** in the order the guest numbers them; disposed of with the machine */
  devices: VirtioDevice[];
  /** bytes the guest sends to its serial port */
  onSerial?: (byte: number) => void;
  /** a line for the log: a driver broke its device's rules */
  onReport?: (message: string) => void;
}

/**
 * Where a machine goes on instead of booting. Its config must be that of the machine saved: the same RAM, CPUs and
 * devices.
 */
export interface Snapshot {
  state: MachineState;
  /** path of the RAM, see snapshot/memory-file.ts */
  memory: string;
}

export type MachineEnd =
  /** the guest pulled its reset line: `reboot`, or a panic with `panic=-1` */
  | { kind: 'reset' }
  /** `stop()` was called */
  | { kind: 'stopped' }
  /** the CPU gave up: the guest kernel lost its page or descriptor tables */
  | { kind: 'triple-fault' }
  /** the VMM or KVM failed */
  | { kind: 'failed'; message: string };

export class Machine implements Disposable {
  readonly memory: GuestMemory;
  readonly devices: readonly MmioTransport[];
  readonly #resources: DisposableStack;
  readonly #kvm: Kvm;
  readonly #vm: Vm;
  readonly #vcpus: Vcpu[];
  readonly #cpuids: CpuidEntry[][];
  readonly #serial: Serial;
  readonly #ports: Ports;
  #ended: Promise<MachineEnd> | undefined;
  #end: MachineEnd | undefined;

  /**
   * Makes the machine, and loads the kernel or the snapshot; nothing runs yet.
   * @throws HuskError `unsupported` without a usable KVM, `invalid` for what the config asks, or naming a file that is
   * wrong
   */
  constructor(config: MachineConfig, snapshot?: Snapshot) {
    checkConfig(config);
    if (snapshot !== undefined) checkSnapshot(config, snapshot);
    using resources = new DisposableStack();
    for (const device of config.devices) resources.use(device);
    const kvm = resources.use(Kvm.open());
    this.memory = resources.use(GuestMemory.allocate(config.memory));
    const vm = resources.use(kvm.createVm());
    vm.setIntelScratch(TSS_ADDRESS, IDENTITY_MAP_ADDRESS);
    vm.createIrqchip();
    vm.createPit();
    // Before Linux 5.10 there is no filter: what KVM has of counters is the guest's there.
    if (kvm.check('X86_MSR_FILTER') !== 0) denyCounters(vm.fd);
    if (snapshot !== undefined) this.memory.load(snapshot.memory);
    this.memory.attach(vm);
    this.devices = attachDevices(vm, this.memory, config, resources);
    this.#vcpus = Array.from({ length: config.cpus }, (_, id) => resources.use(vm.createVcpu(id)));
    if (snapshot === undefined) this.#cpuids = this.#boot(kvm, config);
    else this.#cpuids = this.#restore(kvm, vm, snapshot.state);
    [this.#kvm, this.#vm] = [kvm, vm];
    this.#serial = new Serial(config.onSerial ?? (() => {}), snapshot?.state.serial);
    this.#ports = new Ports({ serial: this.#serial, reset: () => this.#finish({ kind: 'reset' }) });
    this.#resources = resources.move();
  }

  #boot(kvm: Kvm, config: MachineConfig): CpuidEntry[][] {
    const supported = kvm.supportedCpuid();
    const tscDeadline = kvm.check('TSC_DEADLINE_TIMER') !== 0;
    const { entry } = loadBoot(this.memory, {
      kernel: config.kernel,
      ...(config.initrd !== undefined && { initrd: config.initrd }),
      commandLine: commandLine(config),
      cpus: config.cpus,
    });
    const cpuids = this.#vcpus.map(({ id }) => filterCpuid(supported, { id, cpus: config.cpus, tscDeadline }));
    for (const [id, vcpu] of this.#vcpus.entries()) vcpu.setCpuid(cpuids[id]!);
    enterLongMode(this.#vcpus[0]!, entry);
    return cpuids;
  }

  #restore(kvm: Kvm, vm: Vm, state: MachineState): CpuidEntry[][] {
    for (const [id, vcpu] of this.#vcpus.entries()) restoreVcpu(kvm, vcpu, state.vcpus[id]!);
    restoreVm(vm, state.vm);
    for (const [i, transport] of this.devices.entries()) transport.restore(state.devices[i]!);
    return state.vcpus.map(({ cpuid }) => cpuid);
  }

  /**
   * Everything but RAM, of a paused machine, which may go on afterwards. Waits until no device has a request in flight.
   * @throws HuskError `unavailable` when one does not end
   */
  async save(): Promise<MachineState> {
    const deadline = performance.now() + QUIET_TIMEOUT;
    while (this.devices.some((transport) => transport.busy)) {
      if (performance.now() > deadline)
        throw new HuskError('cannot save the machine: a device has requests that do not end', { kind: 'unavailable' });
      await sleep(1);
    }
    return {
      version: STATE_VERSION,
      memory: this.memory.size,
      // the vCPUs first: reading one may change what waits in its local APIC
      vcpus: this.#vcpus.map((vcpu, id) => saveVcpu(this.#kvm, vcpu, this.#cpuids[id]!)),
      vm: saveVm(this.#vm),
      devices: this.devices.map((transport) => transport.save()),
      serial: structuredClone(this.#serial.state),
    };
  }

  /** Runs until the machine ends. Never rejects. Call once. */
  run(): Promise<MachineEnd> {
    if (this.#ended !== undefined) throw new Error('the machine has been started already');
    const handler: ExitHandler = {
      portIn: (port, size) => this.#ports.read(port, size),
      portOut: (port, size, value) => this.#ports.write(port, size, value),
      // Device pages are readable without an exit; whatever gets here is no device's.
      mmioRead: (_address, data) => {
        data.fill(0xff);
      },
      mmioWrite: (address, data) => {
        const offset = address - MMIO_BASE;
        this.devices[Math.floor(offset / MMIO_DEVICE_SIZE)]?.write(offset % MMIO_DEVICE_SIZE, data);
      },
    };
    this.#ended = Promise.all(
      this.#vcpus.map(async (vcpu) => {
        const end = await vcpu.run(handler);
        this.#finish(end);
      }),
    ).then(() => this.#end!);
    return this.#ended;
  }

  #finish(end: MachineEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const vcpu of this.#vcpus) vcpu.stop();
  }

  /** Takes every vCPU out of the guest for good. Resolves when `run()` does. */
  async stop(): Promise<void> {
    this.#finish({ kind: 'stopped' });
    await this.#ended;
  }

  /** Resolves when no vCPU is in the guest. */
  async pause(): Promise<void> {
    await Promise.all(this.#vcpus.map((vcpu) => vcpu.pause()));
  }

  resume(): void {
    for (const vcpu of this.#vcpus) vcpu.resume();
  }

  /**
   * Where a guest stands that says nothing, in one line for whoever reads it with System.map at hand: its CPUs'
   * instruction pointers, its devices' statuses and what they owe. Pauses it.
   */
  async where(): Promise<string> {
    await this.pause();
    const cpus = this.#vcpus.map((vcpu) => `vCPU ${vcpu.id} at 0x${vcpu.instructionPointer().toString(16)}`);
    const devices = this.devices.map((transport) => `${transport.device.name} ${transport.summary()}`);
    return [...cpus, ...devices].join(', ');
  }

  /** After `run()` has resolved, or when it was never called. */
  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }
}

function checkConfig({ memory, cpus, devices }: MachineConfig): void {
  if (!(memory >= MIN_RAM && memory <= MAX_RAM) || memory % PAGE_SIZE !== 0)
    throw new HuskError(
      `cannot make a VM with ${memory} bytes of memory: it needs ${MIN_RAM} at least, in whole pages`,
      { kind: 'invalid' },
    );
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MAX_CPUS)
    throw new HuskError(`cannot make a VM with ${cpus} CPUs: 1 to ${MAX_CPUS} are possible`, { kind: 'invalid' });
  if (devices.length > MMIO_MAX_DEVICES)
    throw new HuskError(`cannot make a VM with ${devices.length} devices: ${MMIO_MAX_DEVICES} are possible`, {
      kind: 'invalid',
    });
}

function checkSnapshot({ memory, cpus, devices }: MachineConfig, { state }: Snapshot): void {
  if (state.memory !== memory || state.vcpus.length !== cpus || state.devices.length !== devices.length)
    throw new HuskError(
      `cannot restore a machine of ${state.memory} bytes, ${state.vcpus.length} CPUs and ${state.devices.length} devices into one of ${memory}, ${cpus} and ${devices.length}`,
      { kind: 'invalid' },
    );
}

/** `virtio_mmio.device=<size>@<base>:<irq>`, Documentation/admin-guide/kernel-parameters.txt */
function commandLine({ commandLine, devices }: MachineConfig): string {
  const parameters = devices.map(
    (_, i) => `virtio_mmio.device=4K@0x${(MMIO_BASE + i * MMIO_DEVICE_SIZE).toString(16)}:${IRQ_FIRST + i}`,
  );
  return [commandLine, ...parameters].join(' ');
}

function attachDevices(
  vm: Vm,
  memory: GuestMemory,
  config: MachineConfig,
  resources: DisposableStack,
): MmioTransport[] {
  const pages = resources.use(Mapping.anonymous(MMIO_MAX_DEVICES * MMIO_DEVICE_SIZE));
  vm.addMemory(MMIO_BASE, pages, { readOnly: true });
  // Acknowledgements of used-buffer interrupts: nobody reads this counter, and at its limit it just stays there.
  const acknowledged = resources.use(new EventFd());
  return config.devices.map((device, i) => {
    const base = MMIO_BASE + i * MMIO_DEVICE_SIZE;
    const line = resources.use(new EventFd());
    const kicked = resources.use(new EventFd());
    vm.addIrqFd(IRQ_FIRST + i, line);
    vm.addIoEventFd(base + QUEUE_NOTIFY, 4, kicked);
    vm.addIoEventFd(base + INTERRUPT_ACK, 4, acknowledged, { match: USED_BUFFER });
    const transport = resources.use(
      new MmioTransport(device, {
        memory,
        page: new Uint8Array(pages.buffer, i * MMIO_DEVICE_SIZE, MMIO_DEVICE_SIZE),
        interrupt: () => line.signal(),
        report: config.onReport ?? (() => {}),
      }),
    );
    const watch = resources.use(
      watchReadable(kicked.fd, () => {
        if (kicked.drain()) transport.kick();
      }),
    );
    // The vCPUs keep the process alive while the machine runs.
    watch.unref();
    return transport;
  });
}
