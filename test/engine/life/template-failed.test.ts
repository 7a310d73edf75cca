/**
 * A machine that does not wake out of its template: the container is started once more, by a boot, and nothing else of
 * it tells. Over the fake sandbox; that a machine fails so is shown by test/vmm/templates.test.ts.
 */
import test from 'ava';
import { NO_TEMPLATE } from '../fake-sandbox.ts';
import { CLOCKS, createOptions, openTestEngine, readAll } from '../fixture.ts';

for (const autoRemove of [false, true])
  test(`its start goes on by a boot${autoRemove ? ', with --rm too' : ''}`, async (t) => {
    const { engine } = await openTestEngine(t);
    const since = Date.now();
    const { id } = await engine.create(
      createOptions({
        command: ['sh', '-c', 'read line; echo "$line"; exit 3'],
        env: [NO_TEMPLATE],
        interactive: true,
        autoRemove,
      }),
    );
    const told: string[] = [];
    const attachment = (await engine.start(id, {
      attach: { stdin: true, stdout: true, stderr: true },
      onDetail: (text) => told.push(text),
    }))!;
    t.deepEqual(told, ['the virtual machine booted, because its template is of no use: its CPU gave up']);
    t.like(engine.get(id).state, { status: 'running', error: '', claim: undefined });
    attachment.stdin!.end('hello\n');
    t.like(await readAll(attachment), { code: 3, stdout: 'hello\n' });
    const actions: string[] = [];
    for await (const { Type, Action } of engine.events({ since, until: Date.now() + CLOCKS }))
      if (Type === 'container') actions.push(Action);
    t.deepEqual(
      actions.filter((action) => ['start', 'die'].includes(action)),
      ['start', 'die'],
    );
  });

test('who waits for the next exit hears of that of the command', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ command: ['sh', '-c', 'exit 4'], env: [NO_TEMPLATE] }));
  const exit = engine.wait(id, { condition: 'next-exit' });
  await engine.start(id);
  t.is((await exit).code, 4);
});

test('files of a stopped container are had by a boot', async (t) => {
  const { engine } = await openTestEngine(t);
  const { id } = await engine.create(createOptions({ command: ['true'], env: [NO_TEMPLATE] }));
  let length = 0;
  for await (const chunk of await engine.export(id)) length += (chunk as Buffer).length;
  t.true(length > 0);
  t.is(engine.get(id).state.status, 'created');
});
