/**
 * Many short runs of Docker's own client, several at once: each has its own exit code, and none hangs. A container that
 * ends before its client asks how is the ordinary case here.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { dockerClient, runDocker, type DockerClient } from '../fixtures/docker-client.ts';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, TIMEOUT } from '../fixtures/user.ts';
import { missingBuild } from '../peer/peers.ts';
import { serveAs } from './fixture.ts';

const client = dockerClient();
const problem = missingImageTools() ?? missingBuild() ?? (typeof client === 'string' ? client : undefined);
const RUNS = 100;
const AT_ONCE = 4;
/** exit codes that are the command's own: 125 and up have meanings */
const CODES = 125;

if (problem) test.skip(`many runs of docker's client: ${problem}`, () => {});
else
  test(`${RUNS} docker run --rm of every exit code, and ${RUNS} docker run of true`, async (t) => {
    t.timeout(TIMEOUT);
    using user = ordinaryUser();
    const imported = user.run([HUSK, 'import', '-', 'box'], { input: readFileSync(busyboxTar()) });
    t.is(imported.status, 0, imported.stderr);
    await using server = await serveAs(user);
    const config = join(user.home, 'config/docker');
    const docker = (...words: string[]) => runDocker(client as DockerClient, words, { socket: server.socket, config });
    const wrong: string[] = [];
    const run = async (words: string[], expected: { code: number; stdout: string }) => {
      const { code, stdout, stderr } = await docker('run', ...words);
      if (code !== expected.code || stdout !== expected.stdout || stderr !== '')
        wrong.push(`run ${words.join(' ')}: ${code} ${JSON.stringify(stdout)} ${JSON.stringify(stderr)}`);
    };
    // What husk says once of its host is said now.
    await docker('run', '--rm', 'box', 'true');
    await inTurns(RUNS, (turn) => {
      const code = turn % CODES;
      return run(['--rm', 'box', 'sh', '-c', `echo ${turn}; exit ${code}`], { code, stdout: `${turn}\n` });
    });
    t.is((await docker('ps', '-aq')).stdout, '');
    await inTurns(RUNS, (turn) => run(['--name', `kept${turn}`, 'box', 'true'], { code: 0, stdout: '' }));
    t.deepEqual(wrong, []);
    const states = await docker('ps', '-a', '--format', '{{.State}}', '--filter', 'exited=0');
    t.is(states.stdout, 'exited\n'.repeat(RUNS));
  });

/** Does the work of so many turns, a few of them at a time. */
async function inTurns(turns: number, work: (turn: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < turns) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
