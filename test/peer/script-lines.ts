/**
 * The scripts of command lines (test/peer/script/*.sh), and the folder in which a shell runs them: for script.test.ts,
 * which compares peers, test/vmm/script.test.ts, which compares isolations, and script-faults.test.ts, which kills.
 *
 * A script is lines; below a command line may stand
 *   ? REGEX   husk's standard error must match
 *   = REGEX   husk's standard output must match, for what Podman does another way
 *   ~ REASON  Podman differs, as docs/differences.md says; that it does is checked, too
 *   ! REASON  a virtual machine differs from user namespaces, as docs/differences.md says; checked likewise
 *   + REASON  Podman is asked too, where Docker's own engine is the peer; without a reason it does as husk does
 */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Result, ROOT, type TestUser } from '../fixtures/user.ts';

export interface Line {
  number: number;
  command: string;
  /** of the comment above it */
  section: string;
  says?: RegExp;
  prints?: RegExp;
  differs?: string;
  vmDiffers?: string;
  /** of Podman, where it is not the peer: '' does not differ; absent: it is not asked */
  podmanDiffers?: string;
}

/** @param name of a file in `folder`, without `.sh` */
export function readScript(name: string, folder = 'test/peer/script'): Line[] {
  return parse(readFileSync(join(ROOT, folder, `${name}.sh`), 'utf8'));
}

function parse(text: string): Line[] {
  const lines: Line[] = [];
  let section = '';
  for (const [index, line] of text.split('\n').entries()) {
    const mark = /^([?=~!+]) ?(.*)$/.exec(line);
    const last = lines.at(-1);
    if (mark?.[1] === '?') last!.says = new RegExp(mark[2]!);
    else if (mark?.[1] === '=') last!.prints = new RegExp(mark[2]!);
    else if (mark?.[1] === '~') last!.differs = mark[2]!;
    else if (mark?.[1] === '!') last!.vmDiffers = mark[2]!;
    else if (mark?.[1] === '+') last!.podmanDiffers = mark[2]!;
    else if (line.startsWith('# ')) section = line.slice(2);
    else if (line !== '') lines.push({ number: index + 1, command: line, section });
  }
  return lines;
}

/** A folder with what the scripts read, and a `docker` of its own in front of PATH. */
export function workplace(
  user: Pick<TestUser, 'home' | 'uid' | 'gid' | 'env'>,
  name: string,
  docker: string,
): NodeJS.ProcessEnv {
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
  for (const [file, text] of Object.entries({
    'names.txt': 'ada\ngrace\n',
    'env.txt': '# a comment\nFROM_FILE=yes\n',
    'labels.txt': 'fromfile=yes\n',
    'tree/leaf': 'leaf\n',
    'tree/deep/leaf': 'deep leaf\n',
  })) {
    writeFileSync(join(folder, file), text);
    chownSync(join(folder, file), user.uid, user.gid);
  }
  return { ...user.env, PATH: `${folder}/bin:${user.env['PATH']}`, WORK: folder };
}

/**
 * The peer under Docker's name. What a line does not say is the same for both: no network (hosts differ), and the flags
 * Podman needs here.
 * @param flags put behind the verbs of that kind
 */
export const wrapper = (
  program: string,
  flags: { run?: readonly string[]; registry?: readonly string[]; commit?: readonly string[] } = {},
) => `#!/bin/sh
form=
[ "$1" != container ] || case "$2" in run|create) form=container; shift ;; esac
case "$1" in
  run|create)
    verb=$1; shift; network=--network=none
    for word; do case $word in --net|--net=*|--network|--network=*) network= ;; esac; done
    exec ${program} $form $verb ${(flags.run ?? []).join(' ')} $network "$@" ;;
  pull|push|login) verb=$1; shift; exec ${program} $verb ${(flags.registry ?? []).join(' ')} "$@" ;;
  commit) verb=$1; shift; exec ${program} $verb ${(flags.commit ?? []).join(' ')} "$@" ;;
esac
exec ${program} "$@"
`;

/** ids, and what tells of moments */
export function clean(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{64}\b/g, 'ID')
    .replaceAll(/\b[0-9a-f]{12}\b/g, 'ID')
    .replaceAll(/\b(?:About )?(?:an?|\d+) (?:second|minute|hour)s?\b/g, 'TIME')
    .replaceAll(/\b(?:Less than a second|TIME) ago\b/g, 'AGO')
    .replaceAll('localhost/', '')
    .replaceAll('docker.io/library/', '');
}

/**
 * @param where the script and the number of its line
 * @returns a report of a line whose outcome is not as it should be: first what only one side said, since the list of
 *   failures at the end of a log shows a few lines of each
 */
export function reportOf(
  where: string,
  { command, what, mine, theirs, peer }: { command: string; what: string; mine: Result; theirs: Result; peer: string },
): string {
  const [ours, others] = [mine, theirs].map((side) => clean(side.stdout + side.stderr).split('\n')) as [
    string[],
    string[],
  ];
  const alone = (name: string, lines: string[], beside: string[]): string[] =>
    lines
      .filter((line) => !beside.includes(line))
      .slice(0, 5)
      .map((line) => `  only ${name}: ${line.slice(0, 200)}`);
  return [
    `${where}: ${what}: husk ${mine.status}, ${peer} ${theirs.status}`,
    ...alone('husk', ours, others),
    ...alone(peer, others, ours),
    command,
    `--- husk`,
    mine.stdout + mine.stderr,
    `--- ${peer}`,
    theirs.stdout + theirs.stderr,
  ].join('\n');
}

/** `line` in the workplace of `env` */
export const shell = (line: string): string[] => ['sh', '-c', `cd "$WORK" || exit 99\n${line}`];

/** Podman ends with 125 where Docker's client ends with 1, but for `run` and `create` */
export function sameStatus(command: string, mine: number | null, theirs: number | null): boolean {
  return mine === theirs || (mine === 1 && theirs === 125 && !/docker (?:container )?(?:run|create)\b/.test(command));
}
