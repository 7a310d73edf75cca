/**
 * Small things that a Docker user meets, each once wrong here: one command line a case, run by a shell as an ordinary
 * user in front of real containers.
 */
import { spawnSync } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import { busyboxTar } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, type TestUser } from '../fixtures/user.ts';
import { missingBuild } from '../peer/peers.ts';

const missing = missingBuild();
let user: TestUser;
/** `husk` is a function of the shell; `one` is a container that runs, as another user than root */
const shell = (line: string) => user.run(['bash', '-c', `husk() { ${HUSK} "$@"; }; ${line}`]);

const CASES: [line: string, status: number, stdout: string | RegExp, stderr?: string | RegExp][] = [
  // ps shows only the caller's own processes of its terminal, unless it is told which ones
  ["husk top one -o pid,comm | tail -n +2 | awk '{ print $2 }'", 0, 'sleep\n'],
  ['husk top one -o comm,pid=THE -o pid | tail -n +2 | grep -c sleep', 0, '1\n'],
  ['husk top one u | grep -c "sleep 1000"', 0, '1\n'],
  // a forest takes no list of processes beside it
  ['husk top one -ef f | grep -c "sleep 1000"', 0, '1\n'],
  ['husk top one -o comm=PID', 1, '', 'Error: specifying "comm=PID" is not allowed\n'],
  ['husk top one --nosuch', 1, '', /^Error: ps --nosuch: unknown gnu long option\n$/],
  ['husk top one -o comm', 1, '', "Error: Couldn't find PID field in ps output\n"],
  // the time of a line names that line
  ["husk logs --until $(husk logs -t three | sed -n 2p | cut -d' ' -f1) three", 0, '1\n2\n'],
  ["husk logs --since $(husk logs -t three | sed -n 2p | cut -d' ' -f1) three", 0, '2\n3\n'],
  // no terminal: the client's own complaint, before anything is made
  [
    'husk run -it --rm --network none box true </dev/null',
    1,
    '',
    'Error: the input device is not a TTY\nFix: leave out -t, or run it in a terminal\n',
  ],
  // where there is no way out (here: a /dev/net/tun that is root's) that is told once, not by every run
  ['husk run --rm box true 2>/dev/null; husk run --rm box true', 0, ''],
  [
    'export DOCKER_HOST=tcp://far:1; husk ps -q -f name=nosuch; husk ps -q -f name=nosuch',
    0,
    '',
    'husk: DOCKER_HOST=tcp://far:1 is not followed: husk has no daemon to connect to, it runs containers on this machine\n',
  ],
  [
    'mkdir -p d; echo {} >d/config.json; husk --config d ps -q -f name=nosuch && husk --config d/config.json ps -q -f name=nosuch',
    0,
    '',
  ],
  // what the kernel said, never Node's text for it
  [
    'mkdir gone; cd gone; rmdir ../gone; husk run --rm --network none -v ./x:/x box',
    125,
    '',
    /^(sh: 0: getcwd.*\n)?Error: cannot find the working folder: it has been removed\nFix: cd to a folder that is there\n/,
  ],
  ['mkdir gone; cd gone; rmdir ../gone; husk ps -q -f name=nosuch 2>&1 | grep -v getcwd', 1, ''],
  ['echo x >closed; chmod 000 closed; husk load -i closed', 1, '', 'Error: open closed: permission denied\n'],
  ['husk import closed', 1, '', 'Error: open closed: permission denied\n'],
  ['husk run --rm --network none --env-file closed box', 125, '', /^Error: open closed: permission denied\n/],
  [
    'husk run --rm --network none --label-file d box',
    125,
    '',
    /^Error: cannot read the label file d: is a directory\n/,
  ],
  [
    'husk run --rm --network none --security-opt seccomp=closed box',
    125,
    '',
    /^Error: opening seccomp profile \(closed\) failed: permission denied\n/,
  ],
  ['HUSK_CONFIG=closed husk ps', 1, '', 'Error: cannot read the config closed: permission denied\n'],
  ['HUSK_DATA_ROOT=/proc/x husk ps', 1, '', /^Error: cannot mkdir \/proc\/x: no such file or directory\n$/],
  [
    'husk run --rm --network none -v /proc/nosuch/x:/x box',
    125,
    '',
    /^Error: error while creating mount source path '\/proc\/nosuch\/x': mkdir \/proc\/nosuch\/x: no such file or directory\n/,
  ],
  [
    'XDG_RUNTIME_DIR=/proc/x husk run --rm --network none box true',
    125,
    '',
    /^(Error|husk): (?![^]*(E[A-Z]{3,}: |\n +at )).+\n/,
  ],
  [
    'echo secret | DOCKER_CONFIG=/proc/x husk login -u u --password-stdin 127.0.0.1:1',
    1,
    '',
    /^Error: (?![^]*(E[A-Z]{3,}: |\n +at )).+\n/,
  ],
  ['HUSK_DATA_ROOT=closed husk ps', 1, '', /^Error: .*closed.*: (file exists|not a directory)\n$/],
  [
    'XDG_RUNTIME_DIR=$PWD/closed husk run --rm --network none box true',
    125,
    '',
    /^(Error|husk): (?![^]*(E[A-Z]{3,}: |\n +at )).+\n/,
  ],
];

if (missing) test.skip(`needs ${missing}`, () => {});
else {
  test.before((t) => {
    user = ordinaryUser();
    const { status, stderr } = shell(
      `husk import --change 'CMD ["sh"]' - box <${busyboxTar()} && husk run -d --name one --network none -u 1000 box sleep 1000`,
    );
    t.is(status, 0, stderr);
    // each line is written when the one before it is in the log: no two have one time
    const logged = shell(
      `for i in 1 2 3; do until husk logs three 2>/dev/null | grep -q $i; do :; done; echo; done | husk run -i --name three --network none box sh -c 'for i in 1 2 3; do echo $i; read _; done'`,
    );
    t.is(logged.status, 0, logged.stderr);
  });
  test.after.always(() => {
    shell('husk rm -f -v $(husk ps -aq)');
    user[Symbol.dispose]();
  });
  const agrees = (t: ExecutionContext, found: string, expected: string | RegExp) =>
    typeof expected === 'string' ? t.is(found, expected) : t.regex(found, expected);
  for (const [line, status, stdout, stderr = ''] of CASES)
    test.serial(line, (t) => {
      const result = shell(line);
      agrees(t, result.stderr, stderr);
      agrees(t, result.stdout, stdout);
      t.is(result.status, status);
    });

  // in a terminal ps shows the processes of that terminal
  const script = spawnSync('script', ['--version']).status === 0;
  (script ? test.serial : test.skip)(`top in a terminal${script ? '' : ' (needs script, of bsdutils)'}`, (t) => {
    const { stdout } = user.run(['script', '-qec', `${HUSK} top one -o pid,comm`, '/dev/null']);
    t.regex(stdout, /^PID +COMMAND\r?\n\d+ +sleep\r?\n$/);
  });
}
