/**
 * One guest boot under our VMM, by stages, as one line of JSON. Run by bench/vmm/boot inside the test host.
 * Arguments: kernel, initramfs (test/vmm/guest/init.c), MiB of RAM.
 */
import { readFileSync } from 'node:fs';
import { Balloon } from '../../src/vmm/devices/balloon/device.ts';
import { Console } from '../../src/vmm/devices/console/device.ts';
import { Rng } from '../../src/vmm/devices/rng/device.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';

const [kernel, initrd, memory] = process.argv.slice(2) as [string, string, string];

/** KiB of this process's memory, and of the guest's RAM in it (its one mapping of that size) */
function proportional(): { total: number; guest: number } {
  let total = 0;
  let guest = 0;
  let size = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) size = parseInt(range[2]!, 16) - parseInt(range[1]!, 16);
    const pss = /^Pss:\s+(\d+)/.exec(line);
    if (pss === null) continue;
    total += Number(pss[1]);
    if (size === Number(memory) * MIB) guest += Number(pss[1]);
  }
  return { total, guest };
}

const before = proportional();
const start = performance.now();
let output = '';
let init = 0;
let after = before;
const machine = new Machine({
  kernel,
  initrd,
  commandLine: 'console=hvc0 quiet reboot=k panic=-1 noreplace-smp 8250.nr_uarts=0 dummy.numdummies=0',
  cpus: 1,
  memory: Number(memory) * MIB,
  devices: [
    new Console((bytes) => {
      output += Buffer.from(bytes).toString('latin1');
      if (init === 0 && output.includes('init:')) {
        init = performance.now();
        after = proportional();
      }
    }),
    new Rng(),
    new Balloon(),
  ],
});
const made = performance.now();
const end = await machine.run();
const ended = performance.now();
machine[Symbol.dispose]();
console.log(JSON.stringify({ end: end.kind, made: made - start, toInit: init - made, toEnd: ended - init, kernelClock: Number(/up ([\d.]+)/.exec(output)?.[1] ?? 0) * 1000, vmmKiB: after.total - after.guest - before.total, guestKiB: after.guest }));
