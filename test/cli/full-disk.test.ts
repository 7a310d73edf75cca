/**
 * A full disk and a read-only one below the data root: what only reads or cleans up works on a full one, out of the
 * reserve; else there is one line from every command, and nothing lost. Mounts need root, in a mount namespace of the
 * test's own.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, TIMEOUT } from '../fixtures/user.ts';

const reason =
  process.getuid!() !== 0
    ? 'mounting needs root: run the tests as root'
    : existsSync(`${ROOT}/dist/husk-main.cjs`)
      ? missingImageTools()
      : 'husk is not built: run make';
const run = reason === undefined ? test : test.skip;
const title = (text: string): string => (reason === undefined ? text : `${text}: ${reason}`);

/** commands that read, write, run, and clean up */
const COMMANDS = [
  'ps -a',
  'run --network none box true',
  'tag box other',
  'volume create v9',
  'rename one uno',
  'rm one',
  'images',
  'system df',
  'system check --repair',
  'events --until 0s',
  'system prune -f',
];

/**
 * @returns what each command printed on stderr, and its exit code; then what `ps`, `volume ls` and `check` say when the
 * disk is well again
 */
function under(
  fault: string,
  cure: string,
  commands = COMMANDS,
): { answers: { command: string; code: number; stderr: string }[]; after: string; code: number | null } {
  using user = ordinaryUser();
  const env = Object.entries(user.env).map(([name, value]) => `${name}=${value}`);
  const become = [
    'setpriv',
    '--reuid',
    String(user.uid),
    '--regid',
    String(user.gid),
    '--init-groups',
    'env',
    ...env,
    HUSK,
  ];
  const script = `
    set -e
    cd ${user.home}; data=${join(user.home, 'data')}
    mount -t tmpfs -o size=12m,mode=755,uid=${user.uid},gid=${user.gid} none $data
    "$@" import --change 'CMD ["sh"]' - box <${busyboxTar()} >/dev/null
    "$@" create --network none --name one box true >/dev/null
    "$@" volume create kept >/dev/null
    "$@" volume create other >/dev/null
    "$@" create --network none --name two box true >/dev/null
    ${fault}
    ${commands.map((command) => `code=0; "$@" ${command} >/dev/null 2>err || code=$?; printf '%s\\0%s\\0%s\\0' '${command}' $code "$(cat err)"`).join('\n')}
    ${cure}
    "$@" ps -a --format '{{.Names}}'; "$@" volume ls -q; "$@" system check`;
  const { stdout, stderr, status } = spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', ...become], {
    encoding: 'utf8',
  });
  const parts = stdout.split('\0');
  const after = parts.pop()! + stderr;
  const answers = commands.map((_, index) => ({
    command: parts[index * 3]!,
    code: Number(parts[index * 3 + 1]),
    stderr: parts[index * 3 + 2]!,
  }));
  return { answers, after, code: status };
}

const FILL = 'cat /dev/zero >$data/fill 2>/dev/null || true';
const CASES: [name: string, fault: string, cure: string, said: RegExp][] = [
  [
    'a full disk, and the reserve is gone',
    `rm $data/husk/husk.db-reserve; ${FILL}`,
    'rm $data/fill',
    /^Error: cannot .*no space left on device/,
  ],
  [
    'a read-only disk',
    'mount -o remount,ro $data',
    'mount -o remount,rw $data',
    /^Error: cannot .*read-only file system/,
  ],
];

for (const [name, fault, cure, said] of CASES) {
  run(title(name), (t) => {
    t.timeout(TIMEOUT);
    const { answers, after, code } = under(fault, cure);
    for (const { command, code: status, stderr } of answers) {
      t.regex(stderr, said, command);
      t.true(status === 1 || status === 125, `${command}: ${status}`);
    }
    t.is(after, 'two\none\nkept\nother\nnothing is damaged\n');
    t.is(code, 0);
  });
}

run(title('a full disk: looking and cleaning up work'), (t) => {
  t.timeout(TIMEOUT);
  const looking = [
    'ps -a',
    'images',
    'inspect one',
    'logs two',
    'system df',
    'volume ls',
    'events --since 1h --until 0s',
    'system check',
  ];
  const cleaning = ['rm two', 'volume rm other', 'container prune -f', 'image prune -af', 'system prune -f', 'ps -a'];
  const { answers, after, code } = under(FILL, 'rm $data/fill', [...looking, ...cleaning]);
  t.deepEqual(
    answers.map(({ command, code, stderr }) => `${command}: ${code} ${stderr}`),
    [...looking, ...cleaning].map((command) => `${command}: 0 `),
  );
  t.is(after, 'kept\nnothing is damaged\n');
  t.is(code, 0);
});
