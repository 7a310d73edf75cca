/** Containers in machines of ours, as a person runs them: bin/husk with --isolation=vm, on a real KVM. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { vmStart } from '../fixtures/vm-start.ts';
import { supervisorsLeft } from './home.ts';
import { BASE, missingParts, onKvmHost, root } from './kvm-host.ts';

const HUSK = join(root, 'bin/husk');
/** ms; a boot in the test host takes 10 s, and many times that beside others */
const TIMEOUT = 240_000;
/** made by test/vm-host: moves its clock by so many seconds */
const CLOCK = '/run/vm-host-clock';
/** ms a guest's clock may be away from the host's */
const CLOCK_ERROR = 50;

const missing = missingParts();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register);

function register(): void {
  const home = mkdtempSync(join(tmpdir(), 'husk-vm-'));
  const env = { ...process.env, XDG_DATA_HOME: join(home, 'data'), XDG_CONFIG_HOME: join(home, 'config') };
  mkdirSync(join(home, 'config/husk'), { recursive: true });
  writeFileSync(join(home, 'config/husk/config.json'), JSON.stringify(vmStart));
  const husk = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(HUSK, args, { env, encoding: 'utf8', timeout: TIMEOUT });
    return { status, stdout, stderr };
  };
  const run = (...args: string[]) => husk('run', '--isolation=vm', '--network', 'none', ...args);

  test.before('an image', (t) => {
    const { status, stderr } = husk('import', '--change', 'CMD ["/bin/sh"]', BASE, 'husk/base');
    t.is(status, 0, stderr);
  });
  test.after.always('nothing is left running', async (t) => {
    husk(
      'rm',
      '-f',
      ...husk('ps', '-aq')
        .stdout.split('\n')
        .filter((id) => id !== ''),
    );
    const left = await supervisorsLeft();
    // a maker of a template may be at work in it
    rmSync(home, { recursive: true, force: true, maxRetries: 10 });
    t.deepEqual(left, []);
  });

  test.serial('output apart, exit code, hostname, our own kernel', (t) => {
    const { status, stdout, stderr } = run(
      '--rm',
      '-h',
      'inside',
      'husk/base',
      'sh',
      '-c',
      'echo out; echo err >&2; uname -n; uname -r; ls /sys/class/net; exit 9',
    );
    t.is(status, 9, stderr);
    t.regex(stdout, /^out\ninside\n6\.\d+\.\d+-husk\nlo\n$/);
    t.is(stderr, 'err\n');
    t.is(husk('ps', '-aq').stdout, '');
    // Linux tries AMD's oldest performance counters as it boots: src/vmm/kvm/msr-filter.ts. Elsewhere the log is root's
    if (process.env['VMHOST'] === '1') {
      t.notRegex(execFileSync('dmesg', { encoding: 'utf8' }), /(?:unhandled|ignored) (?:rd|wr)msr/i);
    }
  });

  test.serial('a shared folder, exec; the record says vm', (t) => {
    const shared = join(home, 'shared');
    mkdirSync(shared);
    writeFileSync(join(shared, 'from-host'), 'host\n');
    const started = run(
      '-d',
      '--name',
      'live',
      '-v',
      `${shared}:/mnt`,
      'husk/base',
      'sh',
      '-c',
      'cat /mnt/from-host; echo guest >/mnt/from-guest; trap "echo bye; exit 5" TERM; while :; do sleep 0.2; done',
    );
    t.is(started.status, 0, started.stderr);
    const inside = husk(
      'exec',
      '-e',
      'A=b',
      'live',
      'sh',
      '-c',
      'until grep -q guest /mnt/from-guest; do sleep 0.2; done 2>/dev/null; echo $A; cat /mnt/from-guest; exit 4',
    );
    t.is(inside.status, 4, inside.stderr);
    t.is(inside.stdout, 'b\nguest\n');
    t.is(readFileSync(join(shared, 'from-guest'), 'utf8'), 'guest\n');
    writeFileSync(join(shared, 'later'), 'seen live\n');
    t.is(husk('exec', 'live', 'cat', '/mnt/later').stdout, 'seen live\n');
    t.is(husk('inspect', '-f', '{{.Isolation}} {{.State.Status}}', 'live').stdout, 'vm running\n');
  });

  const inTestHost = existsSync(CLOCK) ? test.serial : test.serial.skip;
  inTestHost("the host's clock is set, there and back: the container's follows (in the test host)", async (t) => {
    t.timeout(TIMEOUT);
    for (const seconds of [7200, -7200]) {
      const [clock, steady] = [Date.now(), performance.now()];
      writeFileSync(CLOCK, `${seconds}\n`);
      while (Math.abs(Date.now() - clock - (performance.now() - steady)) < 3_600_000) await sleep(10);
      const moved = performance.now();
      const isRight = () => {
        const before = Date.now();
        // cut to whole seconds
        const said = Number(husk('exec', 'live', 'date', '+%s').stdout) * 1000;
        return said > before - 1000 - CLOCK_ERROR && said <= Date.now() + CLOCK_ERROR;
      };
      let right = isRight();
      while (!right && performance.now() - moved < TIMEOUT / 4) right = isRight();
      t.true(right, `${seconds} s`);
    }
  });

  test.serial('stop, logs, exit code', (t) => {
    t.is(husk('stop', 'live').status, 0);
    t.is(husk('logs', 'live').stdout, 'host\nbye\n');
    t.is(husk('inspect', '-f', '{{.State.ExitCode}} {{.State.OOMKilled}}', 'live').stdout, '5 false\n');
  });

  test.serial('a memory limit kills inside the guest only; what was written is there at the next start', (t) => {
    const eater = run(
      '--name',
      'eater',
      '-m',
      '32m',
      'husk/base',
      'sh',
      '-c',
      'test -e /first && exit 3; echo x >/first; sync; exec tail -c 90000000 /dev/zero',
    );
    t.is(eater.status, 137, eater.stderr + eater.stdout);
    t.is(husk('inspect', '-f', '{{.State.ExitCode}} {{.State.OOMKilled}}', 'eater').stdout, '137 true\n');
    t.is(husk('start', '-a', 'eater').status, 3);
  });
}
