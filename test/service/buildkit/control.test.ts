/** A build and the call that asks for its progress, in whatever order they come. */
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import { Control } from '../../../src/service/buildkit/control.ts';
import type { ServerCall } from '../../../src/service/buildkit/server.ts';
import type { Sessions } from '../../../src/service/buildkit/session.ts';
import { message, text } from '../../../src/service/buildkit/wire.ts';

function callOf(request: Buffer, signal = new AbortController().signal): ServerCall {
  async function* messages(): AsyncGenerator<Buffer> {
    yield request;
  }
  return { headers: {}, messages: messages(), signal };
}

/** A server whose builds fail at once: no frontend is called so. */
function builds() {
  const sessions = { get: () => new Promise(() => {}) } as unknown as Sessions;
  const methods = new Control({} as Engine, sessions).methods();
  const method = (name: string) => methods[`/moby.buildkit.v1.Control/${name}`]!;
  const solve = (ref: string) => method('Solve')(callOf(message(text(1, ref), text(6, 'nosuch.v0')))).next();
  const status = (ref: string, signal?: AbortSignal) =>
    Array.fromAsync(method('Status')(callOf(message(text(1, ref)), signal)));
  return { solve, status };
}

const FAILS = { message: /cannot use the frontend nosuch\.v0/ };

test('progress that is asked for before the build ends with it', async (t) => {
  const { solve, status } = builds();
  const asked = status('one');
  await t.throwsAsync(solve('one'), FAILS);
  t.deepEqual(await asked, []);
});

test('progress that is asked for when the build is over is given, once', async (t) => {
  const { solve, status } = builds();
  await t.throwsAsync(solve('one'), FAILS);
  t.deepEqual(await status('one'), []);
  const gone = new AbortController();
  const again = status('one', gone.signal);
  gone.abort();
  await t.throwsAsync(again, { message: 'no such job one' });
});

test('the progress of so many builds is kept, and no more', async (t) => {
  const { solve, status } = builds();
  for (let i = 0; i <= 256; i++) await t.throwsAsync(solve(`build${i}`), FAILS);
  t.deepEqual(await status('build1'), []);
  await t.throwsAsync(status('build0', AbortSignal.abort()), { message: 'no such job build0' });
});
