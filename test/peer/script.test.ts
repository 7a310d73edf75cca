/**
 * A few hundred command lines from Docker's reference documentation (test/peer/script/*.sh), each run by a shell under husk and under rootless Podman, in a
 * folder of its own, one after the other: exit code and standard output must agree once ids and times are taken out. Error texts are Docker's, not Podman's, and have their own line.
 *
 * A script is lines; below a command line may stand
 *   ? REGEX   husk's standard error must match
 *   = REGEX   husk's standard output must match, for what Podman does another way
 *   ~ REASON  Podman differs, as docs/differences.md says; that it does is checked, too
 */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { podman } from '../fixtures/podman.ts';
import { HUSK, ordinaryUser, ROOT, type Result, type TestUser } from '../fixtures/user.ts';
import { missingBuild } from './peers.ts';

interface Line {
  number: number;
  command: string;
  says?: RegExp;
  prints?: RegExp;
  differs?: string;
}

/** ms a line has */
const TIMEOUT = 60_000;

function parse(text: string): Line[] {
  const lines: Line[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const mark = /^([?=~]) (.*)$/.exec(line);
    const last = lines.at(-1);
    if (mark?.[1] === '?') last!.says = new RegExp(mark[2]!);
    else if (mark?.[1] === '=') last!.prints = new RegExp(mark[2]!);
    else if (mark?.[1] === '~') last!.differs = mark[2]!;
    else if (line !== '' && !line.startsWith('#')) lines.push({ number: index + 1, command: line });
  }
  return lines;
}

/** ids, addresses of moments, and what a size is rounded to */
function clean(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{64}\b/g, 'ID')
    .replaceAll(/\b[0-9a-f]{12}\b/g, 'ID')
    .replaceAll(/\b(?:About )?(?:an?|\d+) (?:second|minute|hour)s?\b/g, 'TIME')
    .replaceAll(/\b(?:Less than a second|TIME) ago\b/g, 'AGO')
    .replaceAll('localhost/', '')
    .replaceAll('docker.io/library/', '');
}

/** A folder with what the scripts read, and a `docker` of its own in front of PATH. */
function workplace(user: TestUser, name: string, docker: string): NodeJS.ProcessEnv {
  const folder = join(user.home, name);
  const give = (path: string, mode = 0o755) => {
    mkdirSync(path, { mode });
    chownSync(path, user.uid, user.gid);
  };
  give(folder);
  give(join(folder, 'bin'));
  give(join(folder, 'tree'));
  give(join(folder, 'tree/deep'));
  writeFileSync(join(folder, 'bin/docker'), docker, { mode: 0o755 });
  for (const [file, text] of Object.entries({ 'names.txt': 'ada\ngrace\n', 'env.txt': '# a comment\nFROM_FILE=yes\n', 'labels.txt': 'fromfile=yes\n', 'tree/leaf': 'leaf\n', 'tree/deep/leaf': 'deep leaf\n' })) {
    writeFileSync(join(folder, file), text);
    chownSync(join(folder, file), user.uid, user.gid);
  }
  return { ...user.env, PATH: `${folder}/bin:${user.env['PATH']}`, WORK: folder };
}

/**
 * The peer under Docker's name. What a line does not say is the same for both: no network (hosts differ), and the flags Podman needs here.
 * @param flags put behind `run` and `create`
 */
const wrapper = (program: string, flags: readonly string[], registryFlags: readonly string[]) => `#!/bin/sh
form=
[ "$1" != container ] || case "$2" in run|create) form=container; shift ;; esac
case "$1" in
  run|create)
    verb=$1; shift; network=--network=none
    for word; do case $word in --net|--net=*|--network|--network=*) network= ;; esac; done
    exec ${program} $form $verb ${flags.join(' ')} $network "$@" ;;
  pull|push|login) verb=$1; shift; exec ${program} $verb ${registryFlags.join(' ')} "$@" ;;
esac
exec ${program} "$@"
`;

interface Both {
  husk(line: string): Result;
  podman(line: string): Result;
}

async function setUp(t: { teardown(undo: () => void): void }): Promise<Both | string> {
  const missing = missingImageTools() ?? missingBuild();
  if (missing) return missing;
  const user = ordinaryUser();
  t.teardown(() => user[Symbol.dispose]());
  const peer = podman(user);
  if (typeof peer === 'string') return peer;
  t.teardown(() => peer[Symbol.dispose]());
  t.teardown(() => user.run(['sh', '-c', `ids=$(${HUSK} ps -aq); [ -z "$ids" ] || ${HUSK} rm -f $ids`]));
  const env = { husk: workplace(user, 'work-husk', wrapper(HUSK, [], [])), podman: workplace(user, 'work-podman', wrapper('/usr/bin/podman', peer.runFlags, ['--tls-verify=false'])) };
  const shell = (line: string) => ['sh', '-c', `cd "$WORK" || exit 99\n${line}`];
  const both: Both = {
    husk: (line) => user.run(shell(line), { env: env.husk, timeout: TIMEOUT }),
    podman: (line) => peer.runCommand(shell(line), { env: env.podman }),
  };
  await using registry = await startRegistry();
  const reference = await registry.push(`oci:${busyboxLayout()}:latest`, 'box:latest');
  for (const run of [both.husk, both.podman]) {
    const { status, stderr } = run(`docker pull -q ${reference} && docker tag ${reference} box && docker rmi ${reference}`);
    if (status !== 0) throw new Error(stderr);
  }
  return both;
}

/** Podman ends with 125 where Docker's client ends with 1, but for `run` and `create` */
function sameStatus(command: string, mine: number | null, theirs: number | null): boolean {
  return mine === theirs || (mine === 1 && theirs === 125 && !/docker (?:container )?(?:run|create)\b/.test(command));
}

for (const name of ['containers', 'storage']) {
  const lines = parse(readFileSync(join(ROOT, `test/peer/script/${name}.sh`), 'utf8'));
  test(`${name}: ${lines.length} command lines`, async (t) => {
    t.timeout(lines.length * 5_000);
    const both = await setUp(t);
    if (typeof both === 'string') {
      t.log(`skipped: ${both}`);
      return t.pass();
    }
    const known = readFileSync(join(ROOT, 'docs/differences.md'), 'utf8');
    const wrong: string[] = [];
    for (const { number, command, says, prints, differs } of lines) {
      const mine = both.husk(command);
      const theirs = both.podman(command);
      const problem = (what: string) => wrong.push(`${name}.sh:${number}: ${command}\n  ${what}\n--- husk ${mine.status}\n${mine.stdout}${mine.stderr}--- podman ${theirs.status}\n${theirs.stdout}${theirs.stderr}`);
      const agrees = sameStatus(command, mine.status, theirs.status) && clean(mine.stdout) === clean(theirs.stdout);
      if (differs === undefined && !agrees) problem('husk and podman differ');
      if (differs !== undefined && agrees) problem(`podman no longer differs: ${differs}`);
      if (differs !== undefined && !known.includes(differs)) problem(`docs/differences.md does not mention "${differs}"`);
      if (says && !says.test(mine.stderr)) problem(`husk does not say ${says}`);
      if (prints && !prints.test(mine.stdout)) problem(`husk does not print ${prints}`);
      if (mine.status === null || /internal error|^\s+at /m.test(mine.stderr)) problem('husk failed within');
    }
    if (wrong.length > 0) t.fail(wrong.join('\n\n'));
    else t.pass();
  });
}
