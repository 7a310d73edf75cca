/**
 * What a VM costs beside its guest, as JSON lines to $VMHOST_OUT/facts: `memory.ts FOLDER ROOT`. husk's is that of real
 * containers, by bin/husk of the work tree ROOT; QEMU's that of a process with the same kernel and disks, once the same
 * agent serves. Runs without instruction counting: nothing is timed.
 */
import { appendFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentClient } from '../../../src/vmm/agent-client.ts';
import { vmSize } from '../../../src/supervisor/machine-parts.ts';
import { COMMAND_LINE } from '../../../src/vmm/sandbox/assemble.ts';
import { Home } from './home.ts';
import { pss } from './pss.ts';
import { BALLOON, disk, RNG, startQemu, vsock } from './qemu.ts';
import { vsockPorts } from './vsock-ports.ts';

const [made, root] = process.argv.slice(2) as [string, string];
const MEMORY_MIB = 1024;
const MEMORY = MEMORY_MIB << 20;
/** ms after which a supervisor has given back what it will, and V8 collected what it means to */
const SETTLE = 20_000;
const CID = 3;

const fact = (what: string, vmm: 'husk' | 'qemu', pid: number) =>
  appendFileSync(
    join(process.env['VMHOST_OUT']!, 'facts'),
    `${JSON.stringify({ section: 'memory', what, vmm, pss: pss(pid, vmm === 'husk' ? vmSize({}).memory : MEMORY) })}\n`,
  );

const home = new Home(root, made);
const husk = (...args: string[]) => home.run(...args);
const run = () => home.sleeper();
const first = run();
await sleep(SETTLE);
fact('idle', 'husk', first);
const id = husk('ps', '-q');
husk(
  'exec',
  id,
  'sh',
  '-c',
  'dd if=/dev/zero of=/file bs=1M count=64 2>/dev/null; cat /file >/dev/null; rm /file; i=0; while [ $i -lt 200 ]; do ls -l /bin >/dev/null; i=$((i+1)); done; dd if=/dev/zero bs=1M count=32 2>/dev/null',
);
fact('straight after 64 MiB of disk and 32 MiB of output', 'husk', first);
await sleep(SETTLE);
fact('20 s after that', 'husk', first);
const second = run();
await sleep(SETTLE);
fact('one of two VMs, idle', 'husk', second);
husk('rm', '-f', ...husk('ps', '-q').split('\n'));

const flat = '/var/tmp/husk-bench-flat';
writeFileSync(flat, '');
truncateSync(flat, 64 << 20);
const agent = new AgentClient(vsockPorts, { notice: () => {}, lost: () => {} });
const { dist } = home;
const qemu = startQemu({
  kernel: join(dist, 'vmlinux'),
  commandLine: COMMAND_LINE.replace('reboot=k', 'reboot=t'),
  memory: MEMORY_MIB,
  cpus: 1,
  devices: [
    ...disk({ id: 'agent', path: join(dist, 'agent.erofs'), readOnly: true }),
    ...disk({ id: 'root', path: flat, readOnly: true }),
    ...disk({ id: 'writable', path: flat, readOnly: true, options: 'file.locking=off' }),
    ...vsock(CID),
    ...RNG,
    ...BALLOON,
  ],
});
await agent.ready();
await sleep(SETTLE);
fact('idle', 'qemu', qemu.child.pid!);
qemu.child.kill('SIGKILL');
process.exit(0);
