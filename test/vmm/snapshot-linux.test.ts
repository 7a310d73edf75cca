/**
 * A Linux guest saved in the middle of its work, with one and two CPUs and every device in use, and gone on with in
 * other machines; and husk's own agent, saved when it serves.
 */
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { after } from '../../src/long-timer.ts';
import { rootDisk } from '../../src/images/erofs/root-disk.ts';
import type { Part } from '../../src/vmm/devices/block/backing.ts';
import { MIB } from '../../src/vmm/memory/layout.ts';
import { readState, writeState } from '../../src/vmm/snapshot/machine-state.ts';
import { writeMemory } from '../../src/vmm/snapshot/memory-file.ts';
import { unpackSparse } from '../../src/vmm/sparse-template.ts';
import { AgentGuest } from './agent-guest.ts';
import { BusyGuest, makeFiles, type Counts } from './busy-guest.ts';
import { BASE, missingParts, notWanted, onKvmHost, root } from './kvm-host.ts';

/** one part in so many is what two clocks that are read one after another may differ by */
const PACE = 20;

/** machines that a guest goes through once it works, and altogether */
const CARRIED = 5;
const MOST_CARRIED = 25;

/** ms; where this case is run alone */
const DEFAULT_BOOT = 5000;

interface Saved {
  folder: string;
  /** what the guest had done at some time before it was saved */
  counts: Counts;
  /** bytes of its stream that had come */
  streamed: number;
  /** ns of its CLOCK_MONOTONIC some time before */
  time: number;
  digest: string;
  /** ms that its boot took */
  boot: number;
  /** for people who read the log */
  figures: string;
}

const saved: (Saved | undefined)[] = [];
let resumes = 0;

const digestOf = (folder: string) =>
  ['state', 'memory']
    .map((name) =>
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    )
    .join();
const took = (start: number) => `${Math.round(performance.now() - start)} ms`;

/** Boots a guest, lets it work, saves it, and lets it go on for a while. */
async function save(t: ExecutionContext, cpus: number): Promise<Saved> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-snapshot-linux-'));
  makeFiles(folder);
  using guest = new BusyGuest(folder, cpus).run();
  let start = performance.now();
  await guest.says('snapshot: ready');
  await guest.ask('time');
  const boot = performance.now() - start;
  const counts = await guest.until(({ slept, written, sent }) => slept > 0 && written > 0 && sent > 0);
  const [time] = await clock(guest);
  start = performance.now();
  await guest.machine.pause();
  const state = await guest.machine.save();
  const stood = took(start);
  start = performance.now();
  writeMemory(guest.machine.memory, join(folder, 'memory'));
  const memory = took(start);
  start = performance.now();
  writeState(state, join(folder, 'state'));
  const written = took(start);
  copyFileSync(join(folder, 'disk'), join(folder, 'disk-saved'));
  const { streamed } = guest;
  guest.machine.resume();
  await guest.until((now) => now.written > counts.written && now.ticks > counts.ticks && now.sent > counts.sent);
  await guest.stop();
  t.notRegex(guest.output, /FAIL/);
  t.is(guest.broken, undefined);
  t.deepEqual(guest.reports, []);
  const { blocks } = statSync(join(folder, 'memory'));
  const figures = `boot to first answer ${Math.round(boot)} ms, pause and save ${stood}, memory ${memory} (${(blocks * 512) / MIB} MiB), state ${written} (${statSync(join(folder, 'state')).size} bytes)`;
  return { folder, counts, streamed, time, digest: digestOf(folder), boot, figures };
}

/** ns of the guest's CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_BOOTTIME */
async function clock(guest: BusyGuest): Promise<[number, number, number]> {
  return (await guest.ask('time')).split(' ').map(Number) as [number, number, number];
}

/** A machine that goes on from the snapshot, with a disk of its own. */
function resume(cpus: number): BusyGuest {
  const { folder, streamed } = saved[cpus]!;
  const disk = join(folder, `disk-${resumes++}`);
  copyFileSync(join(folder, 'disk-saved'), disk);
  const snapshot = { state: readState(join(folder, 'state')), memory: join(folder, 'memory') };
  return new BusyGuest(folder, cpus, { disk, snapshot, streamed }).run();
}

/** One case: what a machine that goes on does. */
function goesOn(cpus: number, title: string, look: (t: ExecutionContext, guest: BusyGuest) => Promise<void>): void {
  test.serial(`${cpus} CPU${cpus > 1 ? 's' : ''}: ${title}`, async (t) => {
    using guest = resume(cpus);
    try {
      await look(t, guest);
      t.notRegex(guest.output, /FAIL/);
      t.deepEqual(guest.reports, []);
    } finally {
      await guest.stop();
    }
  });
}

// asked out here too: the test host cannot make what is missing
const missing = missingParts() ?? notWanted();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, registerTests);

function registerTests(): void {
  test.after.always(() => saved.forEach((each) => each && rmSync(each.folder, { recursive: true, force: true })));

  for (const cpus of [1, 2]) {
    test.serial(
      `${cpus} CPU${cpus > 1 ? 's' : ''}: saved in the middle of its work, the guest itself goes on`,
      async (t) => {
        saved[cpus] = await save(t, cpus);
        t.log(saved[cpus].figures);
      },
    );

    test.serial(
      `${cpus} CPU${cpus > 1 ? 's' : ''}: five machines from the same files, which do not change`,
      async (t) => {
        for (let i = 0; i < 5; i++) {
          const start = performance.now();
          using guest = resume(cpus);
          const made = took(start);
          await guest.ask('time');
          t.log(`made in ${made}, first answer after ${took(start)}`);
          await guest.stop();
        }
        t.is(digestOf(saved[cpus]!.folder), saved[cpus]!.digest);
      },
    );

    goesOn(cpus, 'time goes on from where it was, at the pace of the host', async (t, guest) => {
      const before = performance.now();
      const [first] = await clock(guest);
      const between = performance.now();
      await guest.until(({ ticks }) => ticks > saved[cpus]!.counts.ticks + 50);
      const after = performance.now();
      const [second] = await clock(guest);
      const end = performance.now();
      t.true(first >= saved[cpus]!.time, `${first} after ${saved[cpus]!.time}`);
      const passed = (second - first) / 1e6;
      const [least, most] = [(after - between) * (1 - 1 / PACE), (end - before) * (1 + 1 / PACE)];
      t.true(passed >= least && passed <= most, `${passed} ms between ${least} and ${most}`);
    });

    goesOn(cpus, 'a sleep under way ends, and others after it, none too early', async (t, guest) => {
      const { slept } = saved[cpus]!.counts;
      await guest.until((now) => now.slept >= slept + 2);
      const before = performance.now();
      const asleep = Number(await guest.ask('sleep 300'));
      t.true(asleep >= 300 && asleep <= (performance.now() - before) * (1 + 1 / PACE), `${asleep} ms`);
    });

    goesOn(cpus, 'an armed timer goes on ticking', async (t, guest) => {
      const { ticks } = saved[cpus]!.counts;
      await guest.until((now) => now.ticks > ticks + 100);
      t.pass();
    });

    goesOn(cpus, 'every CPU runs', async (t, guest) => {
      const before = saved[cpus]!.counts.cpus;
      await guest.until((now) => before.slice(0, cpus).every((count, cpu) => now.cpus[cpu as 0 | 1] > count + 20));
      for (let cpu = 0; cpu < cpus; cpu++) t.is(await guest.ask(`pinned ${cpu}`), `${cpu}`);
    });

    goesOn(cpus, 'disk writes in flight are made, and read back', async (t, guest) => {
      const { written } = saved[cpus]!.counts;
      await guest.until((now) => now.written > written + 20);
      t.pass();
    });

    goesOn(cpus, 'a disk that had no size has one, and is read', async (t, guest) => {
      await guest.answers('size', `${MIB}`);
      t.is(await guest.ask('disk'), '512 readonly');
    });

    goesOn(cpus, 'a stream in flight goes on at the very next byte', async (t, guest) => {
      const { streamed } = saved[cpus]!;
      await guest.until(() => guest.streamed > streamed + MIB);
      t.is(guest.broken, undefined);
    });

    goesOn(cpus, 'a network that had no link has one, and a datagram goes in and comes out', async (t, guest) => {
      await guest.answers('carrier', '1');
      t.is(await guest.datagram('ping after the resume'), 'ping after the resume');
    });

    goesOn(cpus, 'a share that was another and not mounted yet is mounted', async (t, guest) => {
      t.is(await guest.ask('share'), 'host says');
    });

    goesOn(cpus, 'memory that the guest lets go comes back to the host', async (t, guest) => {
      t.is(await guest.ask('memory 48'), 'touched');
      await guest.until(() => guest.balloon.returned >= 8 * MIB);
      t.pass();
    });

    goesOn(cpus, 'the entropy device answers', async (t, guest) => {
      t.is(await guest.ask('hwrng'), '16');
    });

    test.serial(
      `${cpus} CPU${cpus > 1 ? 's' : ''}: the generators of two machines part when they are seeded`,
      async (t) => {
        const read = async (seed: boolean) => {
          using guest = resume(cpus);
          if (seed) t.is(await guest.ask(`seed ${randomBytes(32).toString('hex')}`), '0 0');
          const random = await guest.ask('random');
          await guest.stop();
          return random;
        };
        const [first, second] = [await read(true), await read(true)];
        t.regex(first, /^[0-9a-f]{64}$/);
        t.not(first, second);
        t.log('without a seed', await read(false), await read(false));
      },
    );
  }

  for (const cpus of [1, 2])
    test.serial(
      `${cpus} CPU${cpus > 1 ? 's' : ''}: one boot, and its work after it, carried through machine after machine`,
      async (t) => {
        const folder = mkdtempSync(join(tmpdir(), 'husk-snapshot-carried-'));
        t.teardown(() => rmSync(folder, { recursive: true, force: true }));
        makeFiles(folder);
        const disk = join(folder, 'disk');
        let guest = new BusyGuest(folder, cpus, { disk }).run();
        let output = '';
        // a part of what a boot takes on this machine now
        const boot = saved[cpus]?.boot ?? DEFAULT_BOOT;
        for (let hop = 0, working = 0; working < CARRIED && hop < MOST_CARRIED; hop++) {
          await after((Math.random() * boot) / 3);
          await guest.machine.pause();
          const state = await guest.machine.save();
          const memory = join(folder, `memory-${hop}`);
          writeMemory(guest.machine.memory, memory);
          const { streamed, reports, broken } = guest;
          await guest.stop();
          guest[Symbol.dispose]();
          output += guest.output;
          t.deepEqual([reports, broken], [[], undefined]);
          if (output.includes('snapshot: ready')) working++;
          t.log(
            `hop ${hop}: run states ${state.vcpus.map(({ parts }) => parts['mp_state']![0]).join()}, ${working} at work`,
          );
          guest = new BusyGuest(folder, cpus, { disk, streamed, snapshot: { state, memory } }).run();
          rmSync(memory);
        }
        const before = await guest.counts();
        await guest.until(
          ({ ticks, slept, written, sent, cpus }) =>
            ticks > before.ticks &&
            slept > before.slept + 1 &&
            written > before.written &&
            sent > before.sent &&
            cpus[0] > before.cpus[0],
        );
        await guest.stop();
        t.deepEqual([guest.reports, guest.broken], [[], undefined]);
        t.notRegex(output + guest.output, /FAIL/);
        guest[Symbol.dispose]();
      },
    );

  for (const cpus of [1, 2]) {
    test.serial(
      `${cpus} CPU${cpus > 1 ? 's' : ''}: an agent saved when it serves runs containers in two machines`,
      async (t) => {
        const folder = mkdtempSync(join(tmpdir(), 'husk-snapshot-agent-'));
        t.teardown(() => rmSync(folder, { recursive: true, force: true }));
        // its disk is made beside a layer
        const tar = join(folder, 'layer.tar');
        copyFileSync(BASE, tar);
        const layer = { diffId: `sha256:${'0'.repeat(64)}`, tar, size: statSync(tar).size };
        const disks = { root: await rootDisk([layer], { tmp: folder }), writable: join(folder, 'writable') };
        unpackSparse(`${root}dist/writable.disk`, disks.writable);
        t.log(await saveAgent(disks, cpus, folder));
        const outputs: string[] = [];
        for (let i = 0; i < 2; i++) {
          const writable = join(folder, `writable-${i}`);
          unpackSparse(`${root}dist/writable.disk`, writable);
          const start = performance.now();
          const state = readState(join(folder, 'state'));
          using guest = new AgentGuest({ ...disks, writable }, cpus, { state, memory: join(folder, 'memory') }).run();
          const made = took(start);
          // the connection is given to its listener in the next turn
          await new Promise(setImmediate);
          await guest.agent.request({ type: 'clock' });
          t.log(`made in ${made}, the agent's first answer after ${took(start)}`);
          await guest.configure(randomBytes(64));
          const asked = Date.now();
          const { output, code } = await guest.container(
            'date +%s; nproc; cat /proc/sys/kernel/random/boot_id; head -c 32 /dev/urandom | sha256sum; sleep 1; echo kept >/kept; sync; cat /kept; date +%s',
          );
          await guest.stop();
          const [date, nproc, bootId, random, kept, later] = output.split('\n');
          t.deepEqual([code, nproc, kept], [0, `${cpus}`, 'kept'], output + guest.console);
          t.true(
            Number(date) >= Math.floor(asked / 1000) - 1 && Number(date) <= Date.now() / 1000 + 1,
            `${date} ${asked}`,
          );
          t.true(Number(later) > Number(date));
          outputs.push(bootId!, random!);
          t.deepEqual(guest.reports, []);
        }
        t.is(new Set(outputs).size, 4, outputs.join());
      },
    );
  }
}

/** Boots the agent, saves the machine, and switches it off. @returns figures */
async function saveAgent(disks: { root: Part[]; writable: string }, cpus: number, folder: string): Promise<string> {
  let start = performance.now();
  using guest = new AgentGuest(disks, cpus).run();
  await guest.agent.ready();
  const boot = took(start);
  start = performance.now();
  await guest.machine.pause();
  const state = await guest.machine.save();
  const stood = took(start);
  start = performance.now();
  writeMemory(guest.machine.memory, join(folder, 'memory'));
  const memory = took(start);
  writeState(state, join(folder, 'state'));
  await guest.stop();
  const { blocks } = statSync(join(folder, 'memory'));
  return `boot to the agent ${boot}, pause and save ${stood}, memory ${memory} (${(blocks * 512) / MIB} MiB), state ${statSync(join(folder, 'state')).size} bytes`;
}
