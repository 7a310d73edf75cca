/**
 * Command lines of networks, names and ports (test/peer/script/networks.sh), each run by a shell under husk, as an
 * ordinary user, and under Docker's own engine: exit code and standard output must agree once ids and times are taken
 * out; what husk must say on standard error stands in lines of its own. Some of them, in the same order, are run once
 * more beside Podman as root, by the same rules; rootless Podman is no judge of these lines: where /dev/net/tun is
 * root's, it has no networks.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dockerEngine } from '../fixtures/docker-engine.ts';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { rootPodman } from '../fixtures/root-podman.ts';
import { HUSK, ordinaryUser, ROOT, TIMEOUT, type Result } from '../fixtures/user.ts';
import { missingBuild } from './peers.ts';
import { clean, readScript, sameStatus, shell, workplace, type Line, reportOf } from './script-lines.ts';

type Run = (line: string, input?: Buffer) => Result;

interface Peer {
  name: string;
  run: Run;
  lines: readonly Line[];
  /** why a line differs; undefined: it does not */
  differs(line: Line): string | undefined;
  isSameStatus(command: string, mine: number | null, theirs: number | null): boolean;
}

const missing = missingImageTools() ?? missingBuild();
const all = readScript('networks');
const some = all.filter(({ podmanDiffers }) => podmanDiffers !== undefined);
// asked before there is a test, so that one that cannot run is counted as what it is
const docker = missing ?? (await dockerEngine());
const podman = missing ?? (await rootPodman());
beside(`${all.length} command lines beside Docker's own engine`, docker, ({ run }) => ({
  name: 'docker',
  run: (line, input) => run(['sh', '-c', line], input && { input }),
  lines: all,
  differs: ({ differs }) => differs,
  isSameStatus: (_command, mine, theirs) => mine === theirs,
}));
beside(`${some.length} of them beside Podman as root`, podman, ({ run }) => ({
  name: 'podman',
  run: (line, input) => run(line, input && { input }),
  lines: some,
  differs: ({ podmanDiffers }) => podmanDiffers || undefined,
  isSameStatus: sameStatus,
}));

function beside<Engine extends AsyncDisposable>(
  title: string,
  engine: Engine | string,
  peerOf: (engine: Engine) => Peer,
): void {
  if (typeof engine === 'string') return void test.skip(`${title}: ${engine}`, () => {});
  test.after.always(() => engine[Symbol.asyncDispose]());
  const peer = peerOf(engine);
  test.serial(title, (t) => {
    t.timeout(Math.max(TIMEOUT, peer.lines.length * 20_000));
    compareLines(t, setUp(t, peer), peer);
  });
}

/** @returns husk, of a user of its own; both have the image */
function setUp(t: ExecutionContext, peer: Peer): Run {
  const user = ordinaryUser();
  t.teardown(() => user[Symbol.dispose]());
  t.teardown(() => user.run(['sh', '-c', `ids=$(${HUSK} ps -aq); [ -z "$ids" ] || ${HUSK} rm -f $ids`]));
  const env = workplace(user, 'work', `#!/bin/sh\nexec ${HUSK} "$@"\n`);
  const husk: Run = (line, input) => user.run(shell(line), { env, timeout: TIMEOUT, ...(input && { input }) });
  for (const run of [husk, peer.run]) {
    const { status, stderr } = run('docker import - box', readFileSync(busyboxTar()));
    if (status !== 0) throw new Error(stderr);
  }
  return husk;
}

function compareLines(t: ExecutionContext, husk: Run, peer: Peer): void {
  const known = readFileSync(join(ROOT, 'docs/differences.md'), 'utf8');
  const wrong: string[] = [];
  for (const line of peer.lines) {
    const { number, command, says } = line;
    const mine = husk(command);
    const theirs = peer.run(command);
    const differs = peer.differs(line);
    const problem = (what: string) =>
      wrong.push(reportOf(`networks.sh:${number}`, { command, what, mine, theirs, peer: peer.name }));
    const agrees =
      peer.isSameStatus(command, mine.status, theirs.status) && clean(mine.stdout) === clean(theirs.stdout);
    if (differs === undefined && !agrees) problem(`husk and ${peer.name} differ`);
    if (differs !== undefined && agrees) problem(`they no longer differ: ${differs}`);
    if (differs !== undefined && !known.includes(differs)) problem(`docs/differences.md does not mention "${differs}"`);
    if (says && !says.test(mine.stderr)) problem(`husk does not say ${says}`);
    if (mine.status === null || /internal error|^\s+at /m.test(mine.stderr)) problem('husk failed within');
  }
  if (wrong.length > 0) t.fail(wrong.join('\n\n'));
  else t.pass();
}
