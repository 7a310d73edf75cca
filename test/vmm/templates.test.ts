/**
 * Machines that go on from a template, as a person starts containers: the first start of a shape boots and has the
 * template made, the others go on from it, and each is its own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { INTERNAL } from '../../src/program.ts';
import type { BlockState } from '../../src/vmm/devices/block/device.ts';
import { DTABLE, REGS, SREGS } from '../../src/vmm/kvm/requests.ts';
import { readState, writeState } from '../../src/vmm/snapshot/machine-state.ts';
import { findTemplate, listTemplates } from '../../src/vmm/templates/folder.ts';
import type { MachineShape } from '../../src/vmm/templates/shape.ts';
import { Home, TIMEOUT } from './home.ts';
import { missingParts, notByItself, onKvmHost, root } from './kvm-host.ts';

const KEY = /^[0-9a-f]{32}$/;
/** what a container's machine says of itself, a line each */
const SCRIPT = `hostname; date +%s; head -c 16 /dev/urandom | od -An -tx1; echo > /new; ls /new
  cat /proc/sys/kernel/random/boot_id`;

/** ms that a guest's clock may be away from the host's (docs/promises.md) */
const CLOCK_ERROR = 50;
/** ms: files have the time of the host kernel's last tick, at 100 Hz or more */
const TICK = 10;
/** files whose times say how the clocks differ; the one that was made the fastest says it best */
const CLOCK_LOOKS = 12;
/** Each file is made by the host, between two looks at the guest's clock. */
const CLOCK_SCRIPT = `i=0; while test $i -lt ${CLOCK_LOOKS}; do
  a=$EPOCHREALTIME; : >/c/$i; b=$EPOCHREALTIME; echo $a $b; i=$((i + 1)); done`;

const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 1500 });

function register(): void {
  const home = new Home();
  // as husk has it by default, whatever HUSK_TEST_VM_START says
  home.configure({ 'vm-start': undefined });
  const folder = home.path('data/husk/templates');
  const templates = () => (existsSync(folder) ? readdirSync(folder) : []);
  const whole = () => templates().filter((name) => KEY.test(name));
  const run = (...args: string[]) => home.must('run', '--isolation=vm', '--rm', '--network', 'none', ...args);
  const lastUse = () => Math.max(...listTemplates(folder).map(({ lastUsed }) => lastUsed));
  /** waits for the maker of a template */
  const made = async (count: number) => {
    while (whole().length < count) {
      const failed = templates().filter((name) => name.endsWith('.failed'));
      if (failed.length > 0) throw new Error(readFileSync(join(folder, failed[0]!), 'utf8'));
      await sleep(100);
    }
  };

  test.after.always('nothing is left running', async (t) => {
    t.deepEqual(await home.end(), []);
  });

  test.serial('the first start boots, and has a template made', async (t) => {
    t.timeout(TIMEOUT);
    t.is(run('husk/base', 'echo', 'one'), 'one');
    await made(1);
    t.deepEqual(readdirSync(join(folder, whole()[0]!)).sort(), ['memory', 'state']);
    // a container of husk's own has read and written its disks before, and is gone
    const { devices } = readState(join(folder, whole()[0]!, 'state'));
    const [, root, writable] = devices
      .filter(({ device }) => device === 'block')
      .map(({ deviceState }) => deviceState as BlockState);
    t.true(root!.bytesRead > 0 && writable!.bytesWritten > 0, JSON.stringify({ root, writable }));
  });

  test.serial('the next go on from it, each with its own name, time, randomness and files', (t) => {
    t.timeout(TIMEOUT);
    const [key] = whole();
    const used = () => statSync(join(folder, key!)).mtimeMs;
    const before = used();
    const seen = ['h0', 'h1', 'h2'].map((host) => {
      const started = Date.now();
      const [name, seconds, random, file, bootId] = run('-h', host, 'husk/base', 'sh', '-c', SCRIPT).split('\n');
      t.is(name, host);
      const clock = Number(seconds) * 1000;
      t.true(clock > started - 1000 && clock <= Date.now(), `${started} ${clock} ${Date.now()}`);
      t.is(file, '/new');
      return { random, bootId };
    });
    t.is(new Set(seen.map(({ random }) => random)).size, seen.length);
    t.is(new Set(seen.map(({ bootId }) => bootId)).size, seen.length);
    t.deepEqual(whole(), [key]);
    t.true(used() > before);
  });

  test.serial('a shape of its own: memory, a network, a shared folder', async (t) => {
    t.timeout(TIMEOUT);
    const shared = join(home.make('shared'), 'here');
    mkdirSync(shared);
    writeFileSync(join(shared, 'file'), 'of the host\n');
    const line = () =>
      home.must(
        'run',
        '--isolation=vm',
        '--rm',
        '-m',
        '200m',
        '-v',
        `${shared}:/here`,
        'husk/base',
        'sh',
        '-c',
        'cat /here/file; ip -o -4 addr show eth0 | wc -l; cat /sys/class/net/eth0/address; free -m | awk "/Mem/ { print \\$2 < 320 }"',
      );
    const [first] = [line()];
    t.regex(first, /^of the host\n1\n02:42:[0-9a-f:]+\n1$/);
    await made(2);
    const used = lastUse();
    t.regex(line(), /^of the host\n1\n02:42:[0-9a-f:]+\n1$/);
    // one that was refused would be gone
    t.true(lastUse() > used, 'it booted');
    t.is(whole().length, 2);
  });

  test.serial("the wall clock is the host's before the container looks at it", async (t) => {
    t.timeout(TIMEOUT);
    const shared = home.make('clock');
    run('-v', `${shared}:/c`, 'husk/base', 'true');
    await made(3);
    const used = lastUse();
    const lines = run('-v', `${shared}:/c`, 'husk/base', 'sh', '-c', CLOCK_SCRIPT).split('\n');
    t.true(lastUse() > used, 'it booted');
    // by how much the guest is ahead lies between the two differences
    const bounds = lines.map((line, number) => {
      const made = statSync(join(shared, String(number))).mtimeMs;
      const [before, after] = line.split(' ').map((seconds) => Number(seconds) * 1000 - made);
      return { least: before! - TICK, most: after! };
    });
    t.is(bounds.length, CLOCK_LOOKS);
    const least = Math.max(...bounds.map((bound) => bound.least));
    const most = Math.min(...bounds.map((bound) => bound.most));
    t.log(`the guest's clock is ${Math.round(least)} to ${Math.round(most)} ms ahead`);
    t.true(least <= CLOCK_ERROR, `${least} ms ahead at the least`);
    t.true(most >= -CLOCK_ERROR, `${-most} ms behind at the least`);
  });

  test.serial('who wants a boot has one: --no-template, and "vm-start": "boot"', (t) => {
    t.timeout(TIMEOUT);
    const used = lastUse();
    t.is(run('--no-template', 'husk/base', 'echo', 'booted'), 'booted');
    home.configure({ 'vm-start': 'boot' });
    t.is(run('husk/base', 'echo', 'booted'), 'booted');
    home.configure({ 'vm-start': undefined });
    t.is(lastUse(), used);
    t.is(run('husk/base', 'echo', 'resumed'), 'resumed');
    t.true(lastUse() > used);
  });

  /** Changes the template of `run`; its start boots, says so with --debug, and removes it. */
  const isLeft = (t: ExecutionContext, change: (state: string) => void, why: RegExp) => {
    run('husk/base', 'true');
    const { key } = listTemplates(folder).find(({ lastUsed }) => lastUsed === lastUse())!;
    change(findTemplate(folder, key)!.state);
    const words = ['run', '--isolation=vm', '--rm', '--network', 'none', 'husk/base', 'echo', 'booted'];
    const { status, stdout, stderr } = home.husk('--debug', ...words);
    t.like({ status, stdout }, { status: 0, stdout: 'booted\n' });
    const told = /^DEBUG: the virtual machine booted, because its template is of no use: (.*)$/m.exec(stderr);
    t.regex(told?.[1] ?? stderr, why);
    t.false(existsSync(join(folder, key)));
  };

  test.serial('one whose machine does not wake goes, and its start boots and says so with --debug', async (t) => {
    t.timeout(TIMEOUT);
    const change = (path: string) => {
      const state = readState(path);
      // the next instruction's fault is one that nothing can be told of: no descriptor of a handler can be read
      const { regs, sregs } = state.vcpus[0]!;
      new DataView(regs.buffer, regs.byteOffset).setBigUint64(REGS.rip, 0n, true);
      new DataView(sregs.buffer, sregs.byteOffset).setUint16(SREGS.idt + DTABLE.limit, 0, true);
      rmSync(path);
      writeState(state, path);
    };
    const count = whole().length;
    isLeft(t, change, /its CPU gave up \(triple fault\)/);
    run('husk/base', 'true');
    await made(count);
  });

  test.serial('one that is damaged goes, and its start boots and says so with --debug', (t) => {
    t.timeout(TIMEOUT);
    const change = (path: string) => {
      const bytes = readFileSync(path);
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(path, bytes);
    };
    isLeft(t, change, /its bytes have changed$/);
  });

  const makers = home.path('makers');
  const shape: MachineShape = { memory: 1 << 28, cpus: 1, images: 0, mtus: [], hasShares: false };
  const maker = () =>
    spawn(join(root, 'bin/husk'), [INTERNAL, 'template', JSON.stringify({ folder: makers, shape })], {
      env: home.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  const inMakers = (pattern: RegExp) =>
    existsSync(makers) &&
    readdirSync(makers, { recursive: true, encoding: 'utf8' }).some(
      (name) => pattern.test(name) && statSync(join(makers, name), { throwIfNoEntry: false })?.size !== 0,
    );
  const MOMENTS: [when: string, file: RegExp][] = [
    ['before it boots', /\.half$/],
    ['when it has written the state', /\.half\/state$/],
    ['while it writes the memory', /\.half\/memory$/],
  ];
  for (const [when, file] of MOMENTS)
    test.serial(`a maker that is killed ${when} leaves no template, and nothing in the way of the next`, async (t) => {
      t.timeout(TIMEOUT);
      const child = maker();
      const ended = once(child, 'exit');
      while (!inMakers(file)) {
        t.is(child.exitCode, null, 'it ended by itself');
        await sleep(1);
      }
      child.kill('SIGKILL');
      await ended;
      t.deepEqual(listTemplates(makers), []);
    });

  test.serial('the next maker makes a whole one, and takes away what the killed ones left', async (t) => {
    t.timeout(TIMEOUT);
    const child = maker();
    const [code] = (await once(child, 'exit')) as [number];
    t.is(code, 0, String(child.stderr.read()));
    const keys = listTemplates(makers).map(({ key }) => key);
    t.is(keys.length, 1);
    t.deepEqual(readdirSync(makers), keys);
    const { state, memory } = findTemplate(makers, keys[0]!)!;
    t.is(readState(state).memory, shape.memory);
    t.is(statSync(memory).size, shape.memory);
  });
}
