/**
 * The same command line under husk and under rootless Podman, by the same user, with the same image from the same
 * registry. What may differ (ids, and what docs/differences.md names) is taken out before they are compared; Podman
 * stands in for Docker, whose rules both follow.
 */
import { existsSync } from 'node:fs';
import type { ExecutionContext, TestFn } from 'ava';
import { busyboxLayout, debianLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { podman, type Podman } from '../fixtures/podman.ts';
import { HUSK, ordinaryUser, ROOT, type Result, type TestUser } from '../fixtures/user.ts';

export const IMAGE = 'localhost/peer';

export interface Peers extends Disposable {
  user: TestUser;
  husk(args: string[], options?: { input?: string }): Result;
  podman(args: string[], options?: { input?: string }): Result;
}

export const missingBuild = (): string | undefined =>
  existsSync(`${ROOT}/dist/husk-main.cjs`) ? undefined : 'husk is not built (make build)';

/** Both with the image, or the reason why not. */
export async function peers(which: 'busybox' | 'debian'): Promise<Peers | string> {
  const missing = missingImageTools() ?? missingBuild();
  if (missing) return missing;
  const user = ordinaryUser();
  const peer = podman(user);
  if (typeof peer === 'string') {
    user[Symbol.dispose]();
    return peer;
  }
  await using registry = await startRegistry();
  const reference = await registry.push(
    `oci:${which === 'debian' ? debianLayout() : busyboxLayout()}:latest`,
    'peer:latest',
  );
  const husk = (args: string[], { input = '' }: { input?: string } = {}) => user.run([HUSK, ...args], { input });
  for (const { status, stderr } of [
    husk(['pull', '-q', reference]),
    husk(['tag', reference, IMAGE]),
    peer.run(['pull', '-q', '--tls-verify=false', reference]),
    peer.run(['tag', reference, IMAGE]),
  ])
    if (status !== 0) throw new Error(stderr);
  return {
    user,
    husk,
    podman: (args, options) => peer.run(withRunFlags(args, peer), options),
    [Symbol.dispose]: () => dispose(user, peer),
  };
}

function withRunFlags(args: string[], peer: Podman): string[] {
  return args[0] === 'run' || args[0] === 'create' ? [args[0], ...peer.runFlags, ...args.slice(1)] : args;
}

function dispose(user: TestUser, peer: Podman): void {
  const left = user.run([HUSK, 'ps', '-aq']).stdout.split('\n').filter(Boolean);
  if (left.length > 0) user.run([HUSK, 'rm', '-f', ...left]);
  peer[Symbol.dispose]();
  user[Symbol.dispose]();
}

/** Container ids and the names Podman makes up. */
export const clean = (text: string): string =>
  text.replaceAll(/\b[0-9a-f]{64}\b/g, 'ID').replaceAll(/\b[0-9a-f]{12}\b/g, 'ID');

/** One line in any order; Podman's own variables and TERM, which Docker sets with -t only, are left out. */
export const environment = (text: string): string =>
  clean(text)
    .split('\n')
    .filter((line) => !/^(container=|TERM=xterm$)/.test(line))
    .sort()
    .join('\n');

export interface Case {
  /** taken from both outputs before they are compared */
  view?: (text: string) => string;
  input?: string;
  /** Podman's exit code where it is not Docker's */
  podmanStatus?: number;
  /**
   * what husk must say on stderr; Podman's words are its own. Without it, stderr is the command's and must be the same
   */
  says?: RegExp;
}

const isRest = (text: string, whole: string): boolean => text !== whole && whole.endsWith(text);

/** Runs `args` under both and compares exit code, stdout and stderr. */
export function compare(
  t: ExecutionContext,
  both: Peers | string,
  args: string[],
  { view = clean, input, podmanStatus, says }: Case = {},
): void {
  if (typeof both === 'string') {
    t.log(`skipped: ${both}`);
    t.pass();
    return;
  }
  const mine = both.husk(args, { input });
  let theirs = both.podman(args, { input });
  // Podman 4.3 attaches while the container runs: on a busy machine it may come too late for what a short command says
  // first
  const late = () =>
    theirs.status === mine.status &&
    (isRest(theirs.stdout, mine.stdout) || (!says && isRest(theirs.stderr, mine.stderr)));
  for (let again = 0; again < 3 && late(); again++) theirs = both.podman(args, { input });
  const shown = `husk ${args.join(' ')}\n${mine.stderr}\npodman: ${theirs.stderr}`;
  if (podmanStatus === undefined) t.is(mine.status, theirs.status, shown);
  else t.is(theirs.status, podmanStatus, `podman no longer differs\n${shown}`);
  if (says) t.regex(mine.stderr, says);
  else t.is(clean(mine.stderr), clean(theirs.stderr));
  if (podmanStatus === undefined) t.is(view(mine.stdout), view(theirs.stdout), shown);
}

/** `run --rm --network none` with the flags, the image, and the command. */
export function runCases(
  test: TestFn,
  both: () => Peers | string,
): (flags: string[], command: string[], how?: Case) => void {
  return (flags, command, how = {}) =>
    test.serial(`run ${[...flags, 'IMAGE', ...command].join(' ')}`, (t) =>
      compare(
        t,
        both(),
        ['run', '--rm', '--network=none', ...(how.input === undefined ? [] : ['-i']), ...flags, IMAGE, ...command],
        how,
      ),
    );
}
