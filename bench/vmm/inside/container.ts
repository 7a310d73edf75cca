/**
 * One VM container, `echo`, by stages, as one line of JSON: `container.cjs husk|template|qemu`. Loaded as the
 * supervisor is (a bundle with V8's code cache). With husk this process is the VMM, through the sandbox that the
 * supervisor uses, and boots the machine or goes on from a template, which `container.cjs make` has made; with QEMU it
 * starts one on the same kernel and disks and speaks to the same agent by vhost-vsock. BENCH_START is when this process
 * was started. Times are ms of CLOCK_MONOTONIC.
 */
import { closeSync, mkdirSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Spec } from '../../../src/spec.ts';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../../../src/program.ts';
import { AgentClient } from '../../../src/vmm/agent-client.ts';
import { guestBinds } from '../../../src/vmm/binds.ts';
import { makeTemplate } from '../../../src/vmm/sandbox/template.ts';
import { VmSandbox } from '../../../src/vmm/sandbox/sandbox.ts';
import { COMMAND_LINE } from '../../../src/vmm/sandbox/assemble.ts';
import { readState } from '../../../src/vmm/snapshot/machine-state.ts';
import { unpackSparse } from '../../../src/vmm/sparse-template.ts';
import { BALLOON, disk, RNG, startQemu, vsock } from './qemu.ts';
import { vsockPorts } from './vsock-ports.ts';

const now = () => Number(process.hrtime.bigint()) / 1e6;
const times: Record<string, number> = { start: Number(process.env['BENCH_START']), loaded: now() };
/** page faults of this process so far, the guest's among them */
const pages: Record<string, number> = {};
function mark(name: string): void {
  times[name] ??= now();
  pages[name] ??= process.resourceUsage().minorPageFault;
}

/** as a container without limits has: src/supervisor/machine-parts.ts; one CPU, because instruction counting has one */
const MEMORY = 1024;
const CID = 3;

const folder = process.env['BENCH_FOLDER']!;
const root = JSON.parse(readFileSync(join(folder, 'root.json'), 'utf8')) as {
  path: string;
  offset: number;
  length: number;
}[];
const spec = JSON.parse(readFileSync(join(folder, 'spec.json'), 'utf8')) as Spec;
const writable = join(folder, 'writable.ext4');
const stdio = { stdin: false, terminal: false };

const parts = { kernel: GUEST_KERNEL, agentDisk: AGENT_DISK };
const size = { memory: MEMORY << 20, cpus: 1 };
const template = { state: join(folder, 'template-state'), memory: join(folder, 'template-memory') };

async function make(): Promise<void> {
  const share = join(folder, 'template-share');
  mkdirSync(share);
  const rehearsal = {
    spec: JSON.parse(readFileSync(join(folder, 'rehearsal.json'), 'utf8')) as Spec,
    disk: `${template.state}-disk`,
  };
  unpackSparse(WRITABLE_DISK, rehearsal.disk);
  await makeTemplate({ ...size, images: 0, mtus: [], hasShares: false }, { parts, share, rehearsal, ...template });
}

/** The agent's first answer is the end of a resume: what it was asked first, it is told then who it is. */
function markAnswer(): void {
  const { request } = AgentClient.prototype;
  AgentClient.prototype.request = async function marked(...asked) {
    const answer = await request.apply(this, asked);
    mark('answer');
    return answer;
  };
}

async function underHusk(goesOn: boolean): Promise<void> {
  unpackSparse(WRITABLE_DISK, writable);
  markAnswer();
  mark('begun');
  const sandbox = new VmSandbox(
    { id: 'b'.repeat(64), spec, rootfs: { kind: 'disk', root, writable }, directory: folder, init: false },
    {
      parts,
      size,
      ...(goesOn && { template: { state: readState(template.state), memory: template.memory } }),
      sameIds: false,
      interfaces: [],
      beforeRun: () => mark('made'),
      onAgent: () => mark('ready'),
    },
  );
  await sandbox.prepare(stdio);
  mark('created');
  const first = await sandbox.start();
  first.stdout.once('data', () => mark('output'));
  first.stdout.resume();
  await first.exited;
  mark('exited');
  await sandbox.destroy();
  mark('gone');
}

async function underQemu(): Promise<void> {
  // no scattered disks there: one file
  const flat = join(folder, 'root.flat');
  const out = openSync(flat, 'w');
  for (const { path, offset, length } of root) {
    const bytes = Buffer.alloc(length);
    const fd = openSync(path, 'r');
    readSync(fd, bytes, 0, length, offset);
    closeSync(fd);
    writeSync(out, bytes);
  }
  closeSync(out);
  unpackSparse(WRITABLE_DISK, writable);
  const binds = guestBinds(spec, { directory: folder });
  const exited = Promise.withResolvers<void>();
  const agent: AgentClient = new AgentClient(vsockPorts, {
    notice: () => exited.resolve(),
    lost: (error) => agent.fail(error),
  });
  mark('begun');
  const qemu = startQemu({
    kernel: GUEST_KERNEL,
    commandLine: `${COMMAND_LINE.replace('reboot=k', 'reboot=t')} noreplace-smp`,
    memory: MEMORY,
    cpus: 1,
    devices: [
      ...disk({ id: 'agent', path: AGENT_DISK, readOnly: true }),
      ...disk({ id: 'root', path: flat, readOnly: true }),
      ...disk({ id: 'writable', path: writable, readOnly: false }),
      ...vsock(CID),
      ...RNG,
      ...BALLOON,
    ],
  });
  mark('made');
  const failed = qemu.ended.then(() => agent.fail(new Error(`QEMU ended: ${qemu.output()}`)));
  await agent.ready();
  mark('ready');
  await agent.request({
    type: 'configure',
    realtime: Date.now(),
    entropy: Buffer.alloc(64).toString('base64'),
    shares: [],
    files: binds.files,
    sockets: [],
    disks: [],
  });
  const receive = (stream: Duplex) => {
    stream.end();
    stream.once('data', () => mark('output'));
    stream.resume();
  };
  const streams = {
    stdout: agent.expectStream(receive),
    stderr: agent.expectStream((stream) => void stream.end().resume()),
  };
  await agent.request({
    type: 'create',
    spec: binds.spec,
    init: false,
    rootDevice: '/dev/vdb',
    writableDevice: '/dev/vdc',
    images: [],
    interfaces: [],
    streams,
  });
  mark('created');
  await agent.request({ type: 'start' });
  await exited.promise;
  mark('exited');
  await agent.request({ type: 'shutdown' });
  qemu.child.kill('SIGKILL');
  await failed;
  mark('gone');
}

const WAYS: Record<string, () => Promise<void>> = {
  qemu: underQemu,
  husk: () => underHusk(false),
  template: () => underHusk(true),
  make,
};

void WAYS[process.argv[2]!]!().then(
  () => {
    console.log(JSON.stringify({ ...times, pages }));
    process.exit(0);
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
