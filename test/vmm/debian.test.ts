/**
 * A person's half hour with VM isolation: Debian from a registry, an interactive shell on a real terminal, detached and
 * attached again, a folder seen live on both sides, exec, logs, stop.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { debianStorage, missingDebianTools, serveRegistry } from '../fixtures/debian.ts';
import { missingTerminal, terminal } from '../fixtures/terminal.ts';
import { HUSK, ordinaryUser } from '../fixtures/user.ts';
import { missingParts, notWanted, onKvmHost } from './kvm-host.ts';

/** ms; pulling 50 MB and booting, on an emulated CPU */
const SLOW = 240_000;
/** ms; a line typed in the guest is answered by then, on a machine that is not too busy */
const LOOK_EVERY = 2000;

const missing = missingParts() ?? notWanted() ?? missingDebianTools() ?? missingTerminal();
if (missing !== undefined) test.skip(missing, () => {});
else {
  // made out here; inside it is read only
  process.env['HUSK_TEST_STORAGE'] ??= await debianStorage();
  await onKvmHost(import.meta.url, register, {
    seconds: 600,
    env: { HUSK_TEST_STORAGE: process.env['HUSK_TEST_STORAGE'] },
  });
}

/** Looks, does, and looks again after a while. @throws Error when it never comes */
async function until(done: () => boolean, act = () => {}): Promise<void> {
  for (const start = Date.now(); !done(); await sleep(LOOK_EVERY)) {
    if (Date.now() - start > SLOW) throw new Error(`it does not come: ${done}`);
    act();
  }
}

/** Whether every key goes to the program in this shell's terminal: it is husk's then. */
const isRaw = (shell: number): boolean =>
  execFileSync('stty', ['-F', readlinkSync(`/proc/${shell}/fd/0`), '-a'], { encoding: 'utf8' }).includes('-icanon');

function register(): void {
  test('Debian from a registry in a VM, by hand', async (t) => {
    t.timeout(600_000);
    using user = ordinaryUser();
    await using registry = await serveRegistry(process.env['HUSK_TEST_STORAGE']!);
    const image = `${registry.host}/debian`;
    const husk = (...args: string[]) => user.run([HUSK, ...args], { timeout: SLOW });
    const pulled = husk('pull', image);
    t.is(pulled.status, 0, pulled.stderr);
    t.regex(pulled.stdout, /Status: Downloaded newer image/);

    const shared = join(user.home, 'shared');
    mkdirSync(shared);
    using screen = terminal(user, { patience: SLOW });
    screen.type(`${HUSK} run -it --isolation=vm --network none --name deb -h box -v ${shared}:/mnt ${image}`);
    await screen.shows(/root@box:\/#/);
    screen.type('. /etc/os-release; echo "is $ID, kernel $(uname -r)"; tty; stty size');
    await screen.shows(/is debian, kernel 6\.\d+\.\d+-husk\n\/dev\/(pts\/0|console)\n30 100/);
    screen.resize(120, 40);
    // the size goes to the guest by a way of its own, beside what is typed
    await until(
      () => /\n40 120\n/.test(screen.screen()),
      () => screen.type('stty size'),
    );
    screen.type('echo from the guest >/mnt/guest');
    screen.type('sleep 1000; echo code $?');
    await until(() => husk('top', 'deb').stdout.includes('sleep 1000'));
    screen.press('C-c');
    await screen.shows(/\^C\n(?!code)[^\n]*box/);
    screen.press('C-p', 'C-q');
    await screen.shows(/\n\$ *$/);
    t.is(readFileSync(join(shared, 'guest'), 'utf8'), 'from the guest\n');
    t.is(husk('ps', '--format', '{{.Names}} {{.Status}}').stdout.replace(/ Up .*/, ' Up'), 'deb Up\n');

    screen.clear();
    screen.type(`${HUSK} attach deb`);
    await until(() => isRaw(screen.pid));
    writeFileSync(join(shared, 'host'), 'from the host\n');
    screen.type('cat /mnt/host');
    await screen.shows(/\nfrom the host\n/);
    screen.press('C-p', 'C-q');
    await screen.shows(/read escape sequence|\n\$ *$/);

    screen.clear();
    screen.type(`${HUSK} exec -it deb bash -c 'tty; read -p "name? " n; echo "hello $n"; exit 3'; echo "code $?"`);
    await screen.shows(/name\? ?$/);
    screen.type('person');
    await screen.shows(/hello person\ncode 3/);

    const logs = spawn(HUSK, ['logs', '-f', 'deb'], { env: user.env });
    let followed = '';
    logs.stdout.on('data', (chunk: Buffer) => (followed += chunk.toString()));
    const ended = new Promise((resolve) => logs.once('exit', resolve));
    t.is(husk('stop', '-t', '2', 'deb').status, 0);
    await ended;
    t.regex(followed, /is debian, kernel/);
    // an interactive bash ignores SIGTERM
    t.is(
      husk('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}', 'deb').stdout,
      'exited 137 \n',
    );
    t.is(husk('rm', 'deb').status, 0);
  });
}
