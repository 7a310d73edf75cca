/** Launches a serialised plan from standard input, says the pid of its process, and stays: for tests that kill it. */
import { readFileSync } from 'node:fs';
import { deserialize } from 'node:v8';
import { launch } from '../../src/launch/executor.ts';
import type { LaunchPlan } from '../../src/launch/plan.ts';
import { INIT, mapIds } from './launching.ts';

const launched = launch(deserialize(readFileSync(0)) as LaunchPlan, {
  init: INIT,
  stdin: 'null',
  stdout: 'pipe',
  stderr: 2,
  onAwait(tag, pid) {
    if (tag === 'idmap') return mapIds(pid);
    console.log(pid);
    return new Promise(() => {});
  },
});
launched.stdout!.once('data', async () => console.log(await launched.pid));
await launched.exited;
