/** A machine with husk's agent in it, for tests that save it when the agent serves and go on with it. */
import { text } from 'node:stream/consumers';
import { defaultMounts } from '../../src/engine/create/spec/defaults.ts';
import { AgentClient } from '../../src/vmm/agent-client.ts';
import { Balloon } from '../../src/vmm/devices/balloon/device.ts';
import { Backing, type Part } from '../../src/vmm/devices/block/backing.ts';
import { Block } from '../../src/vmm/devices/block/device.ts';
import { Console } from '../../src/vmm/devices/console/device.ts';
import { Rng } from '../../src/vmm/devices/rng/device.ts';
import { Vsock } from '../../src/vmm/devices/vsock/device.ts';
import { HuskError } from '../../src/errors.ts';
import { Machine, type Snapshot } from '../../src/vmm/machine.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';
import { COMMAND_LINE, ROOT_DEVICE, WRITABLE_DEVICE } from '../../src/vmm/sandbox/assemble.ts';
import { FIRST_PROCESS, GuestProcesses } from '../../src/vmm/sandbox/processes.ts';
import { root } from './parts.ts';

const MEMORY = 256 * MIB;
const NOTHING = { stdin: false, terminal: false };

export class AgentGuest implements Disposable {
  console = '';
  readonly reports: string[] = [];
  readonly machine: Machine;
  readonly agent: AgentClient;
  readonly #processes: GuestProcesses;
  #ended: Promise<unknown> | undefined;

  /** @param disks what the container's root is made of, and the path of the disk that it writes to */
  constructor(disks: { root: Part[]; writable: string }, cpus: number, snapshot?: Snapshot) {
    const vsock = new Vsock();
    this.agent = new AgentClient(vsock, {
      notice: (notice) => this.#processes.settle(notice),
      lost: (error) => this.agent.fail(error),
    });
    this.#processes = new GuestProcesses({ agent: this.agent, tell: (request) => void this.agent.request(request) });
    this.machine = new Machine(
      {
        kernel: `${root}dist/vmlinux`,
        commandLine: COMMAND_LINE,
        memory: MEMORY,
        cpus,
        devices: [
          new Console((bytes) => (this.console += Buffer.from(bytes).toString('latin1'))),
          new Block(Backing.file(`${root}dist/agent.erofs`, { readOnly: true }), { serial: 'husk-agent' }),
          new Block(new Backing(disks.root, { readOnly: true }), { serial: 'husk-root', blockSize: 512 }),
          new Block(Backing.file(disks.writable, { readOnly: false }), { serial: 'husk-writable' }),
          vsock,
          new Rng(),
          new Balloon(),
        ],
        onReport: (message) => this.reports.push(message),
      },
      snapshot,
    );
  }

  run(): this {
    this.#ended = this.machine.run().then(({ kind }) => {
      this.agent.fail(new HuskError(`the machine ended (${kind}); its console: ${this.console}`, { kind: 'internal' }));
      this.#processes.settleAll({ code: 255 });
    });
    return this;
  }

  async stop(): Promise<void> {
    await this.machine.stop();
    await this.#ended;
  }

  /** @param entropy 64 bytes */
  async configure(entropy: Buffer): Promise<void> {
    await this.agent.request({
      type: 'configure',
      realtime: Date.now(),
      entropy: entropy.toString('base64'),
      shares: [],
      files: [],
      sockets: [],
      disks: [],
    });
  }

  /** Runs the machine's one container. @returns what it printed, and its exit code */
  async container(script: string): Promise<{ output: string; code: number | undefined }> {
    const stdio = this.#processes.openStdio(NOTHING);
    await this.agent.request({
      type: 'create',
      spec: {
        ociVersion: '1.2.0',
        hostname: 'box',
        root: { path: 'rootfs' },
        process: { args: ['/bin/sh', '-c', script], env: ['PATH=/bin'], cwd: '/', user: { uid: 0, gid: 0 } },
        mounts: defaultMounts({ shmSize: 1 << 26, writableSystem: false }),
        linux: {
          namespaces: (['mount', 'cgroup', 'network', 'uts', 'pid', 'ipc'] as const).map((type) => ({ type })),
        },
      },
      init: false,
      rootDevice: ROOT_DEVICE,
      writableDevice: WRITABLE_DEVICE,
      images: [],
      streams: stdio.streams,
      interfaces: [],
    });
    const started = this.#processes.expect(FIRST_PROCESS, stdio);
    await this.agent.request({ type: 'start' });
    const [output, errors, { code }] = await Promise.all([
      text(started.stdout!),
      text(started.stderr!),
      started.exited,
    ]);
    return { output: output + errors, code };
  }

  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}
