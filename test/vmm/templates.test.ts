/**
 * Machines that go on from a template, as a person starts containers: the first start of a shape boots and has the
 * template made, the others go on from it, and each is its own.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Home, TIMEOUT } from './home.ts';
import { missingParts, notByItself, onKvmHost } from './kvm-host.ts';

const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: 900 });

const KEY = /^[0-9a-f]{32}$/;
/** what a container's machine says of itself, a line each */
const SCRIPT = `hostname; date +%s; head -c 16 /dev/urandom | od -An -tx1; echo > /new; ls /new
  cat /proc/sys/kernel/random/boot_id`;

function register(): void {
  const home = new Home();
  home.write('config/husk/config.json', JSON.stringify({ 'vm-start': 'template' }));
  const folder = home.path('data/husk/templates');
  const templates = () => (existsSync(folder) ? readdirSync(folder) : []);
  const whole = () => templates().filter((name) => KEY.test(name));
  const run = (...args: string[]) => home.must('run', '--isolation=vm', '--rm', '--network', 'none', ...args);
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
    t.regex(line(), /^of the host\n1\n02:42:[0-9a-f:]+\n1$/);
    t.is(whole().length, 2);
  });
}
