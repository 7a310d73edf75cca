/** Which failures are tried again, how often, and what the caller hears in the end. */
import test from 'ava';
import { Transient, withRetries } from '../../src/images/registry/retry.ts';

/** ms beyond which no server is waited for, and some more */
const TOO_LONG = 61_000;

const failing = (title: string, fail: () => Error, { attempts, tries }: { attempts?: number; tries: number }) =>
  test(`tries: ${title}`, async (t) => {
    let count = 0;
    let last: Error | undefined;
    const attempt = async () => {
      count++;
      const error = fail();
      last = error instanceof Transient ? error.cause : error;
      throw error;
    };
    const error = await t.throwsAsync(withRetries(attempt, { attempts }));
    t.is<Error | undefined, Error | undefined>(error, last);
    t.is(count, tries);
  });

failing('a transient failure, five times', () => new Transient(new Error('reset')), { tries: 5 });
failing('as often as the caller says', () => new Transient(new Error('reset')), { attempts: 2, tries: 2 });
failing('once, when the caller says so', () => new Transient(new Error('reset')), { attempts: 1, tries: 1 });
failing('anything else is final', () => new Error('refused'), { tries: 1 });
failing('a fault of ours is final', () => new TypeError('undefined is not a function'), { tries: 1 });
failing('a Retry-After that is too long', () => new Transient(new Error('busy'), TOO_LONG), { tries: 1 });

test('a try that succeeds ends it', async (t) => {
  let count = 0;
  const attempt = async () => {
    if (++count < 3) throw new Transient(new Error('reset'));
    return 'done';
  };
  t.is(await withRetries(attempt), 'done');
  t.is(count, 3);
});

test('a Retry-After is waited for', async (t) => {
  let count = 0;
  const start = performance.now();
  await withRetries(async () => {
    if (++count === 1) throw new Transient(new Error('busy'), 700);
  });
  t.true(performance.now() - start >= 700);
});

test('an abort ends the wait', async (t) => {
  const controller = new AbortController();
  const waiting = withRetries(
    async () => {
      setImmediate(() => controller.abort(new Error('interrupted')));
      throw new Transient(new Error('busy'), 50_000);
    },
    { signal: controller.signal },
  );
  const start = performance.now();
  await t.throwsAsync(waiting);
  t.true(performance.now() - start < 40_000);
});
