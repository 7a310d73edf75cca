/**
 * What `cp` does when one of its two sides fails: the command ends at once, with that side's error on one line and exit
 * 1, the container goes on, and nothing stays behind. A case a line; each was a hang, another's error or a stack trace
 * once.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { processesNaming } from '../../fixtures/faults.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../../fixtures/user.ts';

const built = existsSync(join(ROOT, 'dist/husk-main.cjs')) ? test.serial : test.serial.skip;
/** ms: a command that takes longer waits for something that never comes */
const PATIENCE = 60_000;

function userWithContainers(t: ExecutionContext): TestUser {
  const user = ordinaryUser();
  t.teardown(() => {
    user.husk('rm', '-f', 'running', 'stopped');
    user[Symbol.dispose]();
  });
  const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  t.is(user.run([HUSK, 'import', '-', 'base'], { input: tree }).status, 0);
  const made = ['--network', 'none', '--tmpfs', '/small:size=64k', '-v', 'vol:/ro:ro', 'base', 'sleep', '1000'];
  t.is(user.husk('run', '-d', '--name', 'running', ...made).status, 0);
  t.is(user.husk('create', '--name', 'stopped', ...made).status, 0);
  user.run([
    'sh',
    '-c',
    'cd tmp; echo x >closed; mkdir d; cp closed d/b; echo a >d/a; chmod 0 closed d/b; head -c 1000000 /dev/zero >big; tar czf cut.tgz big; head -c 5 cut.tgz >head.tgz; head -c 500 cut.tgz >half.tgz',
  ]);
  return user;
}

/**
 * Command lines of the processes that answer for files of this user's home. Those of another test's home, which may run
 * at the same time as the same user, are none of them.
 */
const helpers = (user: TestUser): string[] =>
  processesNaming(user.home)
    .map((pid) => commandLine(pid))
    .filter((line) => line.includes('--internal files'));

/** @returns "" for a process that has ended since it was listed */
function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

const FAILURES: [what: string, command: string, says: RegExp][] = [
  [
    'a file that may not be read',
    'husk cp tmp/closed NAME:/x',
    /^Error: cannot read \S+\/tmp\/closed: permission denied\n$/,
  ],
  [
    'a file in a folder that may not be read',
    'husk cp tmp/d NAME:/x',
    /^Error: cannot read \S+\/tmp\/d\/b: permission denied\n$/,
  ],
  [
    'an archive whose compression is cut off',
    'husk cp - NAME:/tmp <tmp/half.tgz',
    /^Error: broken gzip data: unexpected end of file\n$/,
  ],
  [
    'an archive cut off in its first bytes',
    'husk cp - NAME:/tmp <tmp/head.tgz',
    /^Error: broken gzip data: unexpected end of file\n$/,
  ],
  ['a tar that is cut off', 'tar cf - tmp/big | head -c 5000 | husk cp - NAME:/tmp', /^Error: \S.*\n$/],
  [
    'a folder that is not there',
    'husk cp tmp/big NAME:/nowhere/x',
    /^Error: Could not find the file \/nowhere in container \w+\n$/,
  ],
  [
    'a folder of this host that is a file',
    'husk cp NAME:/bin tmp/big/x',
    /^Error: l?stat \S+\/tmp\/big\/x: not a directory\n$/,
  ],
  ['a volume that is read-only', 'husk cp tmp/big NAME:/ro/x', /^Error: mounted volume is marked read-only\n$/],
];

/** of a running container alone: a tmpfs is not there when it is stopped */
const WHILE_RUNNING: typeof FAILURES = [
  [
    'a full file system',
    'husk cp tmp/big NAME:/small/',
    /^Error: cannot write \/small\/big: no space left on device\n$/,
  ],
  [
    'a full file system, from one who goes on writing',
    'mkfifo tmp/p; (tar cf - tmp/big; exec sleep 1000) >tmp/p & husk cp - NAME:/small <tmp/p; code=$?; kill $!; (exit $code)',
    /^Error: cannot write \/small\/tmp\/big: no space left on device\n$/,
  ],
];

/** Whether `helpers` sees one while an archive that has not ended is unpacked. */
async function seenWhileItAnswers(user: TestUser): Promise<boolean> {
  const copy = user.start([HUSK, 'cp', '-', 'stopped:/tmp'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(copy, 'exit');
  copy.stdin!.on('error', () => {});
  copy.stdin!.write(execFileSync('tar', ['cf', '-', '-C', user.home, 'tmp/big']).subarray(0, 100_000));
  let seen = false;
  for (const start = Date.now(); !seen && Date.now() - start < PATIENCE; await sleep(20))
    seen = helpers(user).length > 0;
  copy.stdin!.end();
  await ended;
  return seen;
}

built('an error of either side of a copy ends both, in a line that names it', async (t) => {
  const user = userWithContainers(t);
  const cases = [
    ...['running', 'stopped'].flatMap((name) => FAILURES.map((row) => ({ name, row }))),
    ...WHILE_RUNNING.map((row) => ({ name: 'running', row })),
  ];
  for (const {
    name,
    row: [what, command, says],
  } of cases) {
    const { status, stderr } = user.run(['sh', '-c', `husk() { ${HUSK} "$@"; }; ${command.replace('NAME', name)}`], {
      timeout: PATIENCE,
    });
    t.is(status, 1, `${name}: ${what}`);
    t.regex(stderr, says, `${name}: ${what}`);
  }
  t.is(user.husk('exec', 'running', 'true').status, 0);
  t.is(await seenWhileItAnswers(user), true);
  // what was started for the files of the stopped one is over: its removal waits for nobody
  t.is(user.husk('rm', 'stopped').status, 0);
  t.deepEqual(helpers(user), []);
  t.is(readdirSync(join(user.home, 'data/husk/containers')).length, 1);
});

built('files that the kernel makes up are copied with their bytes, in both directions', (t) => {
  const user = userWithContainers(t);
  t.is(user.husk('cp', 'running:/proc/1/status', 'tmp/status').status, 0);
  t.regex(readFileSync(join(user.home, 'tmp/status'), 'utf8'), /^Name:\t/);
  t.is(user.husk('cp', '/proc/version', 'running:/version').status, 0);
  t.is(user.husk('exec', 'running', 'cat', '/version').stdout, readFileSync('/proc/version', 'utf8'));
  // a file of /sys says that it has a page
  t.is(user.husk('cp', 'running:/sys/kernel/uevent_seqnum', 'tmp/seqnum').status, 0);
  t.regex(readFileSync(join(user.home, 'tmp/seqnum'), 'latin1'), /^\d+\n$/);
  // of a folder what nobody may read is left out
  t.is(user.husk('cp', 'running:/proc/1', 'tmp/process').status, 0);
  t.true(statSync(join(user.home, 'tmp/process/status')).size > 0);
  user.run(['chmod', '-R', 'u+rwx', 'tmp/process']);
});
