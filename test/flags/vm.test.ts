/** cases.ts in machines of our own, with a health check and updates of one that runs: all in one boot of the test host. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { onKvmHost, root } from '../vmm/kvm-host.ts';
import { expected, groups, groupScript, printed, PROFILE, VM_REFUSES } from './cases.ts';

const HUSK = join(root, 'bin/husk');
const BASE = join(root, 'build/base.tar');
const PARTS = ['husk-init', 'husk-launch', 'husk.cjs', 'vmlinux', 'agent.erofs', 'writable.disk'].map((name) => join(root, 'dist', name));
/** ms; a boot in the test host takes 10 s */
const TIMEOUT = 120_000;
const MIB = 2 ** 20;

const missing = PARTS.filter((path) => !existsSync(path));
if (missing.length > 0) {
  test.skip(`needs ${missing.join(', ')} (make vm)`, () => {});
} else {
  if (!existsSync(BASE)) {
    // made out here: what is written in the test host is gone with it
    mkdirSync(join(root, 'build'), { recursive: true });
    execFileSync('sh', ['-c', 'setup/base-tree >build/base.tar.new && mv build/base.tar.new build/base.tar'], { cwd: root });
  }
  await onKvmHost(import.meta.url, register);
}

function register(): void {
  const home = mkdtempSync(join(tmpdir(), 'husk-flags-'));
  const env = { ...process.env, XDG_DATA_HOME: join(home, 'data'), XDG_CONFIG_HOME: join(home, 'config') };
  const husk = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(HUSK, args, { env, encoding: 'utf8', timeout: TIMEOUT });
    return { status, stdout, stderr };
  };
  const run = (...args: string[]) => husk('run', '--isolation=vm', '--network', 'none', ...args);
  const shown = (template: string, name: string) => husk('inspect', '-f', template, name).stdout.trim();
  const until = async (template: string, name: string, wanted: string) => {
    for (const began = Date.now(); shown(template, name) !== wanted && Date.now() - began < TIMEOUT; ) await sleep(300);
    return shown(template, name);
  };

  test.before('an image and a profile', (t) => {
    writeFileSync(join(home, 'profile.json'), JSON.stringify(PROFILE));
    const { status, stderr } = husk('import', '--change', 'CMD ["/bin/sh"]', BASE, 'husk/base');
    t.is(status, 0, stderr);
  });
  test.after.always(() => {
    husk('rm', '-f', ...husk('ps', '-aq').stdout.split('\n').filter((id) => id !== ''));
    rmSync(home, { recursive: true, force: true });
  });

  for (const [flags, says] of VM_REFUSES)
    test.serial(`${flags.join(' ')} is refused in one line`, (t) => {
      const { status, stderr } = run('--rm', ...flags, 'husk/base', 'true');
      t.regex(stderr, says);
      t.is(status, 125);
    });

  for (const group of groups(join(home, 'profile.json')))
    test.serial(group.title, (t) => {
      const { status, stdout, stderr } = run('--rm', ...group.flags, 'husk/base', 'sh', '-c', groupScript(group));
      t.is(status, 0, stderr);
      const texts = printed(stdout);
      for (const [index, check] of group.checks.entries()) {
        const wanted = expected(check, 'vm');
        if (typeof wanted === 'string') t.is(texts[index], wanted, check.title);
        else t.regex(texts[index] ?? '', wanted, check.title);
      }
    });

  test.serial('health: starting, healthy, a probe over its time killed, unhealthy; limits changed while it runs', async (t) => {
    // a probe that hangs once /hang is there
    const check = 'while test -e /hang; do sleep 1; done; test -e /ok && echo fine';
    const { status, stderr } = run('-d', '--name', 'ill', '-m', '64m', '--cpus', '1', '--health-cmd', check, '--health-interval', '1s', '--health-timeout', '3s', '--health-retries', '2', 'husk/base', 'sleep', '1000');
    t.is(status, 0, stderr);
    t.regex(husk('ps', '--format', '{{.Status}}').stdout, /^Up .* \((health: starting|unhealthy)\)\n$/);
    husk('exec', 'ill', 'touch', '/ok');
    t.is(await until('{{.State.Health.Status}}', 'ill', 'healthy'), 'healthy');
    husk('exec', 'ill', 'touch', '/hang');
    t.is(await until('{{.State.Health.Status}}', 'ill', 'unhealthy'), 'unhealthy');
    t.regex(shown('{{json .State.Health.Log}}', 'ill'), /"ExitCode":-1,"Output":"Health check exceeded timeout \(3s\)"/);
    // killed with its children, one at a time at most
    await sleep(4000);
    t.true(Number(husk('exec', 'ill', 'sh', '-c', 'ps | grep -c "[t]est -e /hang"').stdout) <= 2);

    const update = husk('update', '-m', '96m', '--memory-swap', '-1', '--pids-limit', '7', '--cpus', '0.5', 'ill');
    t.is(update.status, 0, update.stderr);
    t.is(husk('exec', 'ill', 'cat', '/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/pids.max', '/sys/fs/cgroup/cpu.max').stdout, `${96 * MIB}\n7\n50000 100000\n`);
    t.is(shown('{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}', 'ill'), `${96 * MIB} 7 500000000`);
    for (const [flags, says] of [
      [['-m', '2g', '--memory-swap', '-1'], /cannot raise the memory limit to 2048 MiB: the container's virtual machine has \d+ MiB of memory, and cannot grow while it runs/],
      [['--restart', 'always'], /cannot give the running container [0-9a-f]{64} a restart policy/],
    ] as const) {
      const refused = husk('update', ...flags, 'ill');
      t.regex(refused.stderr, says);
      t.is(refused.status, 1);
    }
    t.is(shown('{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}', 'ill'), `${96 * MIB} no`);
    t.is(husk('pause', 'ill').status, 0);
    t.regex(husk('ps', '--format', '{{.Status}}').stdout, /\(Paused\)/);
    t.is(husk('stop', '-t', '1', 'ill').status, 0, 'what is paused can be stopped');
    t.is(husk('update', '-m', '2g', '--memory-swap', '-1', '--restart', 'always', 'ill').status, 0, 'and what is stopped can be given anything');
  });

  test.serial('a restart policy makes machine after machine, until it is stopped while one starts', async (t) => {
    t.is(run('-d', '--name', 'again', '--restart', 'always', 'husk/base', 'sh', '-c', 'sleep 0.5; exit 3').status, 0);
    t.is(await until('{{ge .RestartCount 1}}', 'again', 'true'), 'true');
    // the next machine is being made, most of the time
    const stopped = husk('stop', '-t', '1', 'again');
    t.is(stopped.status, 0, stopped.stderr);
    t.is(shown('{{.State.Status}}', 'again'), 'exited');
    await sleep(2000);
    t.is(shown('{{.State.Status}}', 'again'), 'exited');
  });
}
