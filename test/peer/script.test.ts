/**
 * A few hundred command lines from Docker's reference documentation (test/peer/script/*.sh), each run by a shell under
 * husk and under rootless Podman, in a folder of its own, one after the other: exit code and standard output must agree
 * once ids and times are taken out. Error texts are Docker's, not Podman's, and have their own line.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { podman } from '../fixtures/podman.ts';
import { HUSK, ordinaryUser, ROOT, TIMEOUT, type Result } from '../fixtures/user.ts';
import { missingBuild } from './peers.ts';
import { clean, readScript, sameStatus, shell, workplace, wrapper, reportOf } from './script-lines.ts';

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
  const env = {
    husk: workplace(user, 'work-husk', wrapper(HUSK)),
    podman: workplace(
      user,
      'work-podman',
      wrapper('/usr/bin/podman', { run: peer.runFlags, registry: ['--tls-verify=false'], commit: ['-f', 'docker'] }),
    ),
  };
  const both: Both = {
    husk: (line) => user.run(shell(line), { env: env.husk, timeout: TIMEOUT }),
    podman: (line) => peer.runCommand(shell(line), { env: env.podman }),
  };
  await using registry = await startRegistry();
  const reference = await registry.push(`oci:${busyboxLayout()}:latest`, 'box:latest');
  for (const run of [both.husk, both.podman]) {
    const { status, stderr } = run(
      `docker pull -q ${reference} && docker tag ${reference} box && docker rmi ${reference}`,
    );
    if (status !== 0) throw new Error(stderr);
  }
  return both;
}

for (const name of ['containers', 'storage']) {
  const lines = readScript(name);
  test(`${name}: ${lines.length} command lines`, async (t) => {
    t.timeout(Math.max(TIMEOUT, lines.length * 5_000));
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
      const problem = (what: string) =>
        wrong.push(reportOf(`${name}.sh:${number}`, { command, what, mine, theirs, peer: 'podman' }));
      const agrees = sameStatus(command, mine.status, theirs.status) && clean(mine.stdout) === clean(theirs.stdout);
      if (differs === undefined && !agrees) problem('husk and podman differ');
      if (differs !== undefined && agrees) problem(`podman no longer differs: ${differs}`);
      if (differs !== undefined && !known.includes(differs))
        problem(`docs/differences.md does not mention "${differs}"`);
      if (says && !says.test(mine.stderr)) problem(`husk does not say ${says}`);
      if (prints && !prints.test(mine.stdout)) problem(`husk does not print ${prints}`);
      if (mine.status === null || /internal error|^\s+at /m.test(mine.stderr)) problem('husk failed within');
    }
    if (wrong.length > 0) t.fail(wrong.join('\n\n'));
    else t.pass();
  });
}
