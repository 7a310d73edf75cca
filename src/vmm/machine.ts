/**
 * The Machine class is one virtual machine: it wires together memory, vCPUs, interrupt controllers, virtio devices on
 * their pages, the serial port and the reset line.
 *
 * Everything but KVM_RUN happens on the event loop of the thread that made the machine.
 */
import { rmSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { HuskError } from '../errors.ts';
import { after } from '../long-timer.ts';
import { EventFd } from '../host/streams/eventfd.ts';
import { Mapping, PAGE_SIZE } from '../host/memory/mapping.ts';
import { watchReadable } from '../host/streams/poll.ts';
import { abilitiesOf, filterCpuid } from './boot/cpuid.ts';
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
import { forgetTscStart, restoreVcpu, restoreVm, saveVcpu, saveVm } from './snapshot/kvm-state.ts';
import type { MachineState } from './snapshot/machine-state.ts';
import { writeMemory } from './snapshot/memory-file.ts';

/** ms that a device's last requests have to complete; the slowest is a flush */
const QUIET_TIMEOUT = 30_000;

export interface MachineConfig {
  /** path of an uncompressed vmlinux */
  kernel: string;
  /** path of an initramfs, when there is no root disk to start from */
  initrd?: string;
  /** the kernel's own parameters; the machine adds those of its devices */
  commandLine: string;
  /** bytes of RAM */
  memory: number;
  cpus: number;
  /** in the order the guest numbers them; disposed of with the machine */
  devices: VirtioDevice[];
  /** bytes the guest sends to its serial port */
  onSerial?: (byte: number) => void;
  /** called with a line for the log when a driver broke its device's rules */
  onReport?: (message: string) => void;
}

/**
 * A snapshot that a machine starts from instead of booting. The machine's config must be that of the one saved: the
 * same RAM, CPUs and devices.
 */
export interface Snapshot {
  state: MachineState;
  /** path of the RAM's file, see snapshot/memory-file.ts */
  memory: string;
}

export type MachineEnd =
  /** the guest pulsed its reset line: `reboot`, or a panic with `panic=-1` */
  | { kind: 'reset' }
  /** `stop()` was called */
  | { kind: 'stopped' }
  /** the CPU shut down: the guest kernel lost its page or descriptor tables */
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
   * @throws HuskError `unsupported` without a usable KVM, `invalid` for what the config asks, or naming a bad file
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
    // Linux before 5.10 has no filter: there the guest may use the counters that KVM gives it.
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
    const { entry } = loadBoot(this.memory, {
      kernel: config.kernel,
      ...(config.initrd !== undefined && { initrd: config.initrd }),
      commandLine: commandLine(config),
      cpus: config.cpus,
    });
    const cpuids = this.#filteredCpuids(kvm);
    for (const [id, vcpu] of this.#vcpus.entries()) vcpu.setCpuid(cpuids[id]!);
    enterLongMode(this.#vcpus[0]!, entry);
    return cpuids;
  }

  #restore(kvm: Kvm, vm: Vm, state: MachineState): CpuidEntry[][] {
    // KVM takes any CPUID, also one that names instructions which this host's CPU does not have.
    const cpuids = state.vcpus.map(({ cpuid }) => cpuid);
    if (!isDeepStrictEqual(cpuids.map(abilitiesOf), this.#filteredCpuids(kvm).map(abilitiesOf)))
      throw new HuskError('cannot restore a machine on another CPU, or under another KVM, than it was saved on', {
        kind: 'unsupported',
      });
    forgetTscStart(this.#vcpus[0]!);
    for (const [id, vcpu] of this.#vcpus.entries()) restoreVcpu(kvm, vcpu, state.vcpus[id]!);
    restoreVm(vm, state.vm);
    for (const [i, transport] of this.devices.entries()) transport.restore(state.devices[i]!);
    return cpuids;
  }

  #filteredCpuids(kvm: Kvm): CpuidEntry[][] {
    const supported = kvm.supportedCpuid();
    const tscDeadline = kvm.check('TSC_DEADLINE_TIMER') !== 0;
    return this.#vcpus.map(({ id }) => filterCpuid(supported, { id, cpus: this.#vcpus.length, tscDeadline }));
  }

  /**
   * Saves everything but RAM of a paused machine, which may go on afterwards. The call waits until no device has a
   * request in flight.
   * @throws HuskError `unavailable` when a request does not complete
   */
  async save(): Promise<MachineState> {
    await this.#quiet();
    return {
      memory: this.memory.size,
      // The vCPUs come first: reading one may change what is pending in its local APIC.
      vcpus: this.#vcpus.map((vcpu, id) => saveVcpu(this.#kvm, vcpu, this.#cpuids[id]!)),
      vm: saveVm(this.#vm),
      devices: this.devices.map((transport) => transport.save()),
      serial: structuredClone(this.#serial.state),
    };
  }

  async #quiet(): Promise<void> {
    const deadline = performance.now() + QUIET_TIMEOUT;
    while (this.devices.some((transport) => transport.busy)) {
      if (performance.now() > deadline)
        throw new HuskError('the machine does not come to rest: a device has requests that do not end', {
          kind: 'unavailable',
        });
      await after(1);
    }
  }

  /**
   * Writes the RAM of a paused machine into a file, from which the machine goes on: it takes none of the host's memory
   * but what it reads and writes again.
   * @param path must not exist; it has no name afterwards
   * @throws HuskError `unavailable`, or what writing says; the machine goes on as it was
   */
  async swapOut(path: string): Promise<void> {
    await this.#quiet();
    try {
      writeMemory(this.memory, path);
      this.memory.moveInto(path);
    } finally {
      rmSync(path, { force: true });
    }
  }

  /** Runs the machine until it ends; may be called once. The promise never rejects. */
  run(): Promise<MachineEnd> {
    if (this.#ended !== undefined) throw new Error('the machine has been started already');
    const handler: ExitHandler = {
      portIn: (port, size) => this.#ports.read(port, size),
      portOut: (port, size, value) => this.#ports.write(port, size, value),
      // The guest reads device pages without an exit, so a read that leaves the guest belongs to no device.
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

  /** Takes every vCPU out of the guest for good. The promise resolves when that of `run()` does. */
  async stop(): Promise<void> {
    this.#finish({ kind: 'stopped' });
    await this.#ended;
  }

  /** The promise resolves when no vCPU is in the guest. */
  async pause(): Promise<void> {
    await Promise.all(this.#vcpus.map((vcpu) => vcpu.pause()));
  }

  resume(): void {
    for (const vcpu of this.#vcpus) vcpu.resume();
  }

  /**
   * Describes where an unresponsive guest stands, in one line for an engineer who has its System.map: the CPUs'
   * instruction pointers, the devices' statuses and their unanswered requests. The call pauses the guest.
   */
  async where(): Promise<string> {
    await this.pause();
    const cpus = this.#vcpus.map((vcpu) => `vCPU ${vcpu.id} at 0x${vcpu.instructionPointer().toString(16)}`);
    const devices = this.devices.map((transport) => `${transport.device.name} ${transport.summary()}`);
    return [...cpus, ...devices].join(', ');
  }

  /** Frees the machine, after `run()` has resolved or when it was never called. */
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
  const saved = describe(
    state.memory,
    state.vcpus.length,
    state.devices.map(({ device }) => device),
  );
  const wanted = describe(
    memory,
    cpus,
    devices.map(({ name }) => name),
  );
  if (saved !== wanted)
    throw new HuskError(`cannot restore a machine of ${saved} into one of ${wanted}`, { kind: 'invalid' });
}

const describe = (memory: number, cpus: number, devices: readonly string[]) =>
  `${memory} bytes, ${cpus} CPUs and the devices ${devices.join(' ')}`;

/**
 * @returns the parameters with `virtio_mmio.device=<size>@<base>:<irq>` for each device,
 * Documentation/admin-guide/kernel-parameters.txt
 */
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
  // Acknowledgements of used-buffer interrupts signal this eventfd. Nothing reads it; at its limit the counter stays
  // where it is.
  const acknowledged = resources.use(new EventFd());
  const settling = config.devices.filter((device) => device.settle !== undefined);
  const settle = () => {
    for (const device of settling) device.settle!();
  };
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
        settle,
        report: config.onReport ?? (() => {}),
      }),
    );
    const watch = resources.use(
      watchReadable(kicked.fd, () => {
        if (kicked.drain()) transport.kick();
      }),
    );
    // The vCPUs keep the process alive while the machine runs, so the watch need not.
    watch.unref();
    return transport;
  });
}
