/**
 * Lines of an answer out of a work that tells them as it goes. A client that reads slowly gets the newest of lines that
 * only count; one that does not read at all ends the work, so that nothing piles up for it.
 */
import { HuskError } from '../../../errors.ts';

/** lines that wait for the client; a pull of all 10 000 tags that a repository may have is a slow one */
const MAX_WAITING = 4096;

/** @param counts lines of the same name that still wait are replaced: of progress only the newest is of interest */
export type Tell = (line: object, counts?: string) => void;

/**
 * @param work begins with the first line that is asked for; its signal is aborted when the client goes
 * @returns its lines. @throws what the work rejects with, behind its last line
 */
export async function* linesOf(
  work: (tell: Tell, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<object, void, void> {
  const stop = new AbortController();
  const waiting: { line: object; counts?: string }[] = [];
  let wake = (): void => {};
  let end: { error?: unknown } | undefined;
  const tell: Tell = (line, counts) => {
    const entry = { line, ...(counts !== undefined && { counts }) };
    const older = counts === undefined ? -1 : waiting.findIndex((each) => each.counts === counts);
    if (older === -1) waiting.push(entry);
    else waiting[older] = entry;
    if (waiting.length > MAX_WAITING)
      stop.abort(new HuskError('the client does not read what it asked for', { kind: 'limit' }));
    wake();
  };
  const ended = work(tell, AbortSignal.any([signal, stop.signal])).then(
    () => (end = {}),
    (error: unknown) => (end = { error }),
  );
  void ended.then(() => wake());
  try {
    for (;;) {
      for (let next = waiting.shift(); next; next = waiting.shift()) yield next.line;
      if (end) break;
      await new Promise<void>((resolve) => (wake = resolve));
    }
    if ('error' in end) throw end.error;
  } finally {
    stop.abort();
    await ended;
  }
}
