/**
 * The first story of every user, in a real terminal: run -it, type, resize, interrupt, detach, attach, exec, logs,
 * stop, rm; modes given back after each.
 */
import { existsSync, readFileSync } from 'node:fs';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { missingTerminal, terminal } from '../fixtures/terminal.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';

const missing =
  missingImageTools() ??
  missingTerminal() ??
  (existsSync(`${ROOT}/dist/husk-main.cjs`) ? undefined : 'husk is not built (make build)');
const story = missing ? test.skip : test;
if (missing) test(`skipped: ${missing}`, (t) => t.pass());

async function withImage(user: TestUser): Promise<void> {
  await using registry = await startRegistry();
  const reference = await registry.push(`oci:${busyboxLayout()}:latest`, 'box:latest');
  for (const args of [
    ['pull', '-q', reference],
    ['tag', reference, 'box'],
  ]) {
    const { status, stderr } = user.husk(...args);
    if (status !== 0) throw new Error(stderr);
  }
}

/** the process the shell waits for: bin/husk has become Node by then */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}

story('a day in a terminal', async (t) => {
  using user = ordinaryUser();
  await withImage(user);
  using screen = terminal(user);
  const modesAreBack = async (after: string) => {
    screen.clear();
    screen.type('test "$MODES" = "$(stty -g)" && echo modes-$((40 + 2)) || stty -a');
    await t.notThrowsAsync(screen.shows(/modes-42/), `after ${after}`);
  };
  screen.type(`alias husk=${HUSK}; MODES=$(stty -g)`);
  screen.type('husk run -it --network none --name day box sh');
  await screen.shows(/^\/ # ?$/m);
  screen.type('echo typed-$((40 + 2)); tty; echo $TERM');
  await screen.shows(/typed-42\n\/dev\/pts\/0\nxterm\n/);

  screen.type('stty size');
  await screen.shows(/^30 100$/m);
  screen.resize(80, 24);
  // the new size goes another way than what is typed
  screen.type('until [ "$(stty size)" = "24 80" ]; do sleep 0.1; done; stty size');
  await screen.shows(/^24 80$/m);

  // only once a command runs is Ctrl-C a signal: the shell's line editor reads it as a key
  screen.type("sh -c 'echo sleeps-$((40 + 2)); exec sleep 100'");
  await screen.shows(/^sleeps-42$/m);
  screen.press('C-c');
  screen.type('echo interrupted-$?');
  await screen.shows(/^interrupted-130$/m);

  screen.press('C-p', 'C-q');
  await screen.shows(/read escape sequence\n\$ ?$/);
  await modesAreBack('detaching');

  screen.clear();
  screen.type('husk attach day');
  await screen.shows(/^\/ # ?$/m);
  screen.type('echo attached-$((40 + 2))');
  await screen.shows(/^attached-42$/m);
  process.kill(childOf(screen.pid), 'SIGTERM');
  await screen.shows(/\$ ?$/);
  screen.type('echo code-$?');
  await screen.shows(/^code-143$/m);
  await modesAreBack('a SIGTERM');

  screen.clear();
  screen.type('husk ps --format "{{.Names}} {{.Status}}"');
  await screen.shows(/^day Up /m);
  screen.type('husk exec -it day sh');
  await screen.shows(/^\/ # ?$/m);
  screen.type('stty size; tty; exit 9');
  await screen.shows(/^24 80\n\/dev\/pts\/1\n/m);
  screen.type('echo code-$?');
  await screen.shows(/^code-9$/m);
  await modesAreBack('exec');

  screen.clear();
  screen.type('husk logs day | grep -c "ed-42"');
  await screen.shows(/^2$/m);
  screen.type('husk stop -t 0 day && husk rm day && echo "left:$(husk ps -aq)."');
  await screen.shows(/^left:\.$/m);
  await modesAreBack('all');
});

story('a name is free, and the terminal whole, when run -it fails', async (t) => {
  using user = ordinaryUser();
  await withImage(user);
  using screen = terminal(user, { columns: 60, rows: 20 });
  screen.type(`alias husk=${HUSK}; MODES=$(stty -g)`);
  screen.type('husk run --rm -it --network none --name once box nosuch; echo code-$?');
  await screen.shows(/executable file not found[\s\S]*^code-127$/m);
  screen.type('husk run --rm -it --network none --name once box sh -c "exit 5"; echo code-$?');
  await screen.shows(/^code-5$/m);
  screen.clear();
  screen.type('test "$MODES" = "$(stty -g)" && echo modes-$((40 + 2)); husk ps -aq | wc -l');
  await screen.shows(/^modes-42\n0$/m);
  t.pass();
});
