/**
 * Hosts that refuse: one line and the right exit code, never a stack; and Node keeps its hands off husk's own flags.
 */
import { chmodSync, chownSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { HUSK, ordinaryUser, ROOT } from '../fixtures/user.ts';

const built = existsSync(`${ROOT}/dist/husk-main.cjs`) ? test : test.skip;

const CASES: [string, string[], NodeJS.ProcessEnv, number, RegExp][] = [
  [
    'a data root that may not be written',
    ['ps'],
    { XDG_DATA_HOME: 'closed' },
    1,
    /^Error: cannot mkdir \S+\/closed\/husk: permission denied\n$/,
  ],
  [
    'the same for run',
    ['run', 'box'],
    { XDG_DATA_HOME: 'closed' },
    125,
    /^Error: cannot mkdir \S+\/closed\/husk: permission denied\n\nRun/,
  ],
  ['no HOME', ['ps', '-q'], { HOME: undefined }, 0, /^$/],
  [
    'an --env-file that is not there',
    ['run', '--env-file', '/no/such', 'box'],
    {},
    125,
    /^Error: open \/no\/such: no such file or directory\n/,
  ],
  [
    'a name that no image can have is not looked for',
    ['run', 'UPPER'],
    {},
    125,
    /^Error: invalid reference format: repository name \(library\/UPPER\) must be lowercase\n/,
  ],
  ['nor with --pull=never', ['create', '--pull=never', 'a b'], {}, 125, /^Error: invalid reference format\n/],
  ['nor pulled', ['pull', 'a b'], {}, 1, /^Error: invalid reference format\n$/],
  [
    "an --env-file that is the command's",
    ['run', '--pull=never', 'box', '--env-file=/no/such'],
    {},
    125,
    /^Error: No such image: box:latest\n/,
  ],
  [
    'a --cidfile that cannot be made',
    ['run', '--cidfile', '/no/such/file', 'box'],
    {},
    125,
    /^Error: failed to create the container ID file \/no\/such\/file: no such file or directory\n/,
  ],
];

for (const [name, args, variables, status, stderr] of CASES) {
  built(name, (t) => {
    using user = ordinaryUser();
    const closed = join(user.home, 'closed');
    mkdirSync(closed);
    chownSync(closed, user.uid, user.gid);
    chmodSync(closed, 0o555);
    const env = Object.fromEntries(
      Object.entries(variables).map(([key, value]) => [key, value === 'closed' ? closed : value]),
    );
    const result = user.run([HUSK, ...args], { env });
    t.regex(result.stderr, stderr);
    t.is(result.status, status);
  });
}

built("a working folder that is gone is nobody's business", (t) => {
  using user = ordinaryUser();
  const { stderr, status } = user.run([
    'sh',
    '-c',
    `mkdir gone; cd gone; rmdir ../gone; exec ${HUSK} run --pull=never box`,
  ]);
  t.is(status, 125);
  t.regex(stderr, /Error: No such image: box:latest\n/);
});
