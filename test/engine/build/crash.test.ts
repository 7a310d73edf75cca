/**
 * Builds that are killed, that run beside each other, and whose disk is full: no layer is ever other than its digest
 * says, the next build gives what it would have given, and nothing stays behind. HUSK_CRASH_SEED repeats a run.
 */
import { execFileSync, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { attack, processesNaming } from '../../fixtures/faults.ts';
import { random } from '../../fixtures/random.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../../fixtures/user.ts';

const ROUNDS = 8;
/** ms for the kernel to end what dies with its parent */
const PATIENCE = 60_000;
const EPOCH = '1700000000';
const FILES = 200;
const built = existsSync(join(ROOT, 'dist/husk-main.cjs')) ? test.serial : test.serial.skip;

/** With everything that writes: a copy, trees, a second stage beside the first, a cache, a here-document. */
const DOCKERFILE = `FROM base AS one
ARG ROUND
COPY src /src
RUN echo $ROUND >/round && cp -r /src /copy
RUN --mount=type=cache,target=/c echo x >>/c/x && rm -r /copy/d0 && ln -s /src /link
FROM base AS two
ARG ROUND
WORKDIR /w/$ROUND
RUN head -c 3000000 /dev/zero >zeros && echo $ROUND >round
FROM one
COPY --from=two --chown=3:4 /w /w
COPY <<HERE /here
$ROUND
HERE
`;

function userWithBase(t: ExecutionContext): TestUser {
  const user = ordinaryUser();
  t.teardown(() => user[Symbol.dispose]());
  const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  t.is(user.run([HUSK, 'import', '-', 'base'], { input: tree }).status, 0);
  const context = join(user.home, 'context');
  for (let at = 0; at < FILES; at++) {
    const folder = join(context, 'src', `d${at % 10}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `f${at}`), `${at}`.repeat(300));
  }
  writeFileSync(join(context, 'Dockerfile'), DOCKERFILE);
  return user;
}

const store = ({ home }: TestUser): string => join(home, 'data/husk');

/** @returns the layers whose bytes are not what their name says */
function wrongLayers(user: TestUser): string[] {
  const layers = join(store(user), 'layers');
  return readdirSync(layers).filter((name) => {
    if (!/^[0-9a-f]{64}$/.test(name)) return false;
    const tar = readFileSync(join(layers, name, 'layer.tar'));
    return createHash('sha256').update(tar).digest('hex') !== name;
  });
}

const leftovers = (user: TestUser): string[] =>
  ['tmp', 'build-locks'].flatMap((folder) => {
    const path = join(store(user), folder);
    return existsSync(path) ? readdirSync(path).map((name) => `${folder}/${name}`) : [];
  });

async function until(what: () => boolean): Promise<boolean> {
  for (const start = Date.now(); !what(); await sleep(50)) if (Date.now() - start > PATIENCE) return false;
  return true;
}

built(
  'whatever of a build is killed, layers are whole, the next build gives the same image, and nothing is left',
  async (t) => {
    const seed = Number(process.env['HUSK_CRASH_SEED'] ?? Date.now() % 1e6);
    t.log(`HUSK_CRASH_SEED=${seed}`);
    const dice = random(seed);
    const user = userWithBase(t);
    const words = (round: number, ...more: string[]): string[] => [
      HUSK,
      'build',
      '-q',
      '--network=none',
      `--build-arg=ROUND=${round}`,
      `--build-arg=SOURCE_DATE_EPOCH=${EPOCH}`,
      ...more,
      'context',
    ];
    const build = (round: number, ...more: string[]): string => {
      const { status, stdout, stderr } = user.run(words(round, ...more));
      t.is(status, 0, stderr);
      return stdout;
    };
    build(-1);
    // The trees of the base are made then.
    const began = Date.now();
    build(-2);
    const usual = Date.now() - began;
    let killed = 0;
    for (let round = 0; round < ROUNDS; round++) {
      let child: ChildProcess | undefined;
      await attack(words(round).join(' '), {
        // The shell becomes the build, whose group is its own.
        start: (line) => (child = user.start(['sh', '-c', `exec ${line}`], { detached: true, stdio: 'ignore' })),
        // Mostly the build itself; its helpers have no other parent.
        victims: () => (dice() < 0.7 ? [child!.pid!] : processesNaming(user.home)),
        dice,
        moment: () => dice() * usual * 0.9,
        patience: PATIENCE,
      });
      if (child!.exitCode !== 0) killed++;
      t.true(await until(() => processesNaming(user.home).length === 0), 'what a build holds dies with it');
      t.deepEqual(wrongLayers(user), []);
      const next = build(round);
      t.deepEqual(leftovers(user), []);
      if (round % 2 === 0) t.is(build(round, '--no-cache'), next, `round ${round}`);
    }
    t.log(`${killed} of ${ROUNDS} were ended, ${usual} ms is what one takes`);
    t.true(killed > 0);
    t.deepEqual(wrongLayers(user), []);
    const check = user.husk('system', 'check');
    t.is(check.status, 0, check.stdout + check.stderr);
  },
);

built('eight builds of one Dockerfile at once: each RUN runs once, and all give one image', async (t) => {
  const user = userWithBase(t);
  const runs = ['one', 'two', 'three'];
  const mount = '--mount=type=cache,target=/c,id=count';
  const lines = runs.map((name) => `RUN ${mount} echo x >>/c/${name}; date +%s%N >/${name}`);
  writeFileSync(join(user.home, 'context/Dockerfile'), `FROM base\n${lines.join('\n')}\n`);
  writeFileSync(
    join(user.home, 'context/count'),
    `FROM base\nRUN ${mount} wc -l /c/* >/count\nFROM scratch\nCOPY --from=0 /count /\n`,
  );
  const builds = Array.from({ length: 8 }, async () => {
    const child = user.start([HUSK, 'build', '-q', '--network=none', 'context'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [id, said] = ['', ''];
    child.stdout!.on('data', (text: Buffer) => (id += text.toString()));
    child.stderr!.on('data', (text: Buffer) => (said += text.toString()));
    const [code] = (await once(child, 'close')) as [number];
    return { code, id, said };
  });
  const ended = await Promise.all(builds);
  t.deepEqual(
    ended.map(({ code }) => code),
    ended.map(() => 0),
    ended.map(({ said }) => said).join(''),
  );
  t.is(new Set(ended.map(({ id }) => id)).size, 1);
  const counted = user.run([HUSK, 'build', '-q', '--network=none', '-f', 'context/count', '-o', 'out', 'context']);
  t.is(counted.status, 0, counted.stderr);
  const count = readFileSync(join(user.home, 'out/count'), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  t.deepEqual(count.sort(), ['1 /c/one', '1 /c/three', '1 /c/two', '3 total']);
});

/** Needs root, for a mount in a namespace of the test's own. */
const full = process.getuid!() === 0 ? built : test.serial.skip;
/** KiB that are left on the disk: from hardly any to nearly enough */
const ROOMS = [40, 300, 2500, 5000, 7000, 9500];

full('a full disk, wherever a build writes: one line, no layer that is not whole, and the next build works', (t) => {
  const user = userWithBase(t);
  const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  writeFileSync(join(user.home, 'base.tar'), tree);
  const env = Object.entries(user.env).map(([name, value]) => `${name}=${value}`);
  const become = ['setpriv', '--reuid', String(user.uid), '--regid', String(user.gid), '--init-groups', 'env', ...env];
  const script = `
    set -e
    cd ${user.home}; data=${store(user)}
    mount -t tmpfs -o size=24m,mode=755,uid=${user.uid},gid=${user.gid} none data
    "$@" import - base <base.tar >/dev/null
    for room in ${ROOMS.join(' ')}; do
      free=$(df -k --output=avail data | tail -1)
      head -c $(( (free - room) * 1024 )) /dev/zero >data/fill
      code=0; "$@" build -q --network=none --build-arg ROUND=$room context >out 2>err || code=$?
      printf '%s\\0%s\\0' $code "$(cat out err)"
      rm data/fill
      (cd $data/layers; for each in *; do [ "\${#each}" != 64 ] || echo "$each  $each/layer.tar"; done) >sums
      (cd $data/layers; sha256sum --quiet -c) <sums
      "$@" build -q --network=none --build-arg ROUND=$room context >/dev/null
      printf '%s\\0' "$(ls $data/tmp $data/build-locks)"
      "$@" image prune -af >/dev/null; "$@" builder prune -af >/dev/null
      "$@" import - base <base.tar >/dev/null
    done
    "$@" system check`;
  const { stdout, stderr, status } = spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', ...become, HUSK], {
    encoding: 'utf8',
  });
  t.is(status, 0, stdout + stderr);
  const parts = stdout.split('\0');
  t.is(parts.pop(), 'nothing is damaged\n');
  const failed: number[] = [];
  for (const room of ROOMS) {
    const [code, said, left] = parts.splice(0, 3);
    t.is(left, `${store(user)}/build-locks:\n\n${store(user)}/tmp:`);
    if (code === '0') continue;
    failed.push(room);
    // A command tells of it in its own words; what is no step's, such as a record in the database, is husk's own line.
    t.regex(
      said!,
      /^(?:(?:ERROR: failed to solve|Error): cannot \S+ .*no space left on device(?: \(database or disk is full\))?|ERROR: failed to solve: process .* exit code: 1)$/m,
      `${room}`,
    );
    t.notRegex(said!, /\n\s+at |husk-main|layers\/[0-9a-f]/, `${room}`);
  }
  t.true(failed.length >= 4, `it failed with room for ${failed.join(', ')} KiB alone`);
});
