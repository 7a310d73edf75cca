/** A husk command for the crash test: one operation in a process of its own, so that it can be killed at any moment. */
import { createOptions, openTestEngine } from './fixture.ts';

const [dataRoot = '', operation = '', name = '', ...rest] = process.argv.slice(2);
const { engine } = await openTestEngine(undefined, dataRoot);
try {
  if (operation === 'run') {
    const { id } = await engine.create(
      createOptions({ name, command: ['sleep', '1000'], autoRemove: rest[0] === 'rm', env: [`MARK=${dataRoot}`] }),
    );
    await engine.start(id);
  } else if (operation === 'start') await engine.start(name);
  else if (operation === 'stop') await engine.stop(name, { timeout: 0 });
  else if (operation === 'remove') await engine.remove(name, { force: true });
  else if (operation === 'list') engine.list({ all: true });
} catch (error) {
  // names collide and containers vanish: that is what the test is about
  if ((error as Error).name !== 'HuskError') throw error;
}
engine[Symbol.dispose]();
