/**
 * Ends of a container's life that go wrong, over the fake sandbox: whoever waits hears of them, and the supervisor does
 * not stay.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { isAlive } from '../../../src/state/process-identity.ts';
import { createOptions, openTestEngine, readAll } from '../../engine/fixture.ts';

for (const given of ['stop -t', '--stop-timeout'] as const)
  test(`${given} of more ms than setTimeout has does not kill at once`, async (t) => {
    const { engine } = await openTestEngine(t);
    const days = 3_000_000;
    const command = [
      'sh',
      '-c',
      'trap "echo asked; read answer; exit 7" TERM; echo ready; while :; do sleep 0.1; done',
    ];
    const { id } = await engine.create(
      createOptions({ command, interactive: true, ...(given === '--stop-timeout' && { stopTimeout: days }) }),
    );
    const attachment = (await engine.start(id, { attach: { stdin: true, stdout: true, stderr: true } }))!;
    const said = new Promise<void>((resolve) => {
      let text = '';
      attachment.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes('asked')) resolve();
      });
    });
    await new Promise((resolve) => attachment.stdout.once('data', resolve));
    const stopping = engine.stop(id, given === 'stop -t' ? { timeout: days } : {});
    await said;
    attachment.stdin!.end('go\n');
    t.is((await attachment.exited).code, 7);
    await stopping;
    t.is(engine.get(id).state.exitCode, 7);
  });

for (const policy of ['no', 'always'] as const)
  test(`an exit that cannot be recorded, with restart policy ${policy}: the client hears of it, and the supervisor ends`, async (t) => {
    const { engine, paths } = await openTestEngine(t);
    const { id } = await engine.create(
      createOptions({
        command: ['sh', '-c', 'read line; exit 3'],
        interactive: true,
        restart: { name: policy, maximumRetryCount: 0 },
      }),
    );
    const attachment = (await engine.start(id, { attach: { stdin: true, stdout: true, stderr: true } }))!;
    const { supervisor } = engine.get(id).state;
    const database = new DatabaseSync(paths.database, { timeout: 10_000 });
    t.teardown(() => database.close());
    database.exec('ALTER TABLE events RENAME TO elsewhere');
    attachment.stdin!.end('\n');
    t.is((await readAll(attachment)).code, 3);
    while (isAlive(supervisor)) await sleep(10);
    database.exec('ALTER TABLE elsewhere RENAME TO events');
    t.is(engine.get(id).state.status, 'exited');
  });
