/** Lines that a work tells: their order, what is left out for a slow client, and who ends whom. */
import { once } from 'node:events';
import test from 'ava';
import { linesOf, type Tell } from '../../../../src/service/engine-api/transfer/lines.ts';

const never = new AbortController().signal;
const aborted = (signal: AbortSignal): Promise<unknown> => once(signal, 'abort');

async function all(lines: AsyncIterable<object>): Promise<object[]> {
  const found: object[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

test('lines come in order, those told at once and those told later', async (t) => {
  const work = async (tell: Tell): Promise<void> => {
    tell({ n: 1 });
    tell({ n: 2 });
    await new Promise((resolve) => setImmediate(resolve));
    tell({ n: 3 });
  };
  t.deepEqual(await all(linesOf(work, never)), [{ n: 1 }, { n: 2 }, { n: 3 }]);
});

test('of counts that wait only the newest is told, in the place of the first', async (t) => {
  const work = async (tell: Tell): Promise<void> => {
    for (let n = 0; n < 1_000_000; n++) tell({ n }, 'layer');
    tell({ done: true });
  };
  t.deepEqual(await all(linesOf(work, never)), [{ n: 999_999 }, { done: true }]);
});

test('an error comes behind the lines that were told before it', async (t) => {
  const told: object[] = [];
  const work = async (tell: Tell): Promise<void> => {
    tell({ n: 1 });
    throw new Error('broken');
  };
  await t.throwsAsync(
    async () => {
      for await (const line of linesOf(work, never)) told.push(line);
    },
    { message: 'broken' },
  );
  t.deepEqual(told, [{ n: 1 }]);
});

test('whoever stops reading ends the work', async (t) => {
  let ended = false;
  const work = async (tell: Tell, signal: AbortSignal): Promise<void> => {
    tell({});
    await aborted(signal);
    ended = true;
  };
  for await (const _line of linesOf(work, never)) break;
  t.true(ended);
});

test('a client that goes away ends the work', async (t) => {
  const client = new AbortController();
  const work = async (_tell: Tell, signal: AbortSignal): Promise<void> => {
    setImmediate(() => client.abort(new Error('gone')));
    await aborted(signal);
    throw signal.reason;
  };
  await t.throwsAsync(all(linesOf(work, client.signal)), { message: 'gone' });
});

test('a client that never reads ends the work before much waits for it', async (t) => {
  let told = 0;
  const work = async (tell: Tell, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted && told < 1_000_000) tell({ n: told++ });
    throw signal.reason;
  };
  await t.throwsAsync(all(linesOf(work, never)), { message: 'the client does not read what it asked for' });
  t.true(told < 10_000, String(told));
});
