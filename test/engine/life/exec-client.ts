/**
 * A process that uses an engine as a server of the API does, over the fake sandbox: it does one thing with an exec and
 * prints what comes of it, as one line of JSON. Arguments: the data root, what to do, the container's or exec's id.
 */
import type { HuskError } from '../../../src/errors.ts';
import { openTestEngine, readAll } from '../fixture.ts';

const [dataRoot, what, id] = process.argv.slice(2) as [string, string, string];
const { engine } = await openTestEngine(undefined, dataRoot);
const options = { interactive: true, tty: false, detach: false, env: [], privileged: false };

const done: Record<string, () => Promise<unknown>> = {
  create: () => engine.execCreate(id, { ...options, command: ['sh', '-c', 'cat; exit 7'] }),
  start: async () => {
    const attachment = (await engine.execStart(id, { detach: false }))!;
    // whoever started this process goes on when it reads this
    process.stdout.write('started\n');
    process.stdin.pipe(attachment.stdin!);
    return readAll(attachment);
  },
  inspect: async () => engine.execInspect(id),
  resize: () => engine.execResize(id, { columns: 80, rows: 24 }),
};
try {
  console.log(JSON.stringify({ value: (await done[what]!()) ?? null }));
} catch (error) {
  const { kind, message } = error as HuskError;
  console.log(JSON.stringify({ kind, message }));
}
engine[Symbol.dispose]();
process.exit(0);
