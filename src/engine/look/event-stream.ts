/**
 * `events`: the table of events, read as it grows. A reader waits for the kernel's notice that the database's
 * write-ahead log has changed, so any number of them cost nothing while nothing happens. Never writes.
 */
import { HuskError } from '../../errors.ts';
import { eventsAfter, lastEvent } from '../../state/events.ts';
import { msAfter, nanoseconds, rfc3339 } from '../../state/time.ts';
import type { EngineContext } from '../record/context.ts';
import { ChangeNotice } from '../record/record-changes.ts';
import type { EventMessage, EventOptions } from '../contract.ts';
import { eventFilter } from './event-filters.ts';

/** rows read at once: memory stays bounded however far behind a reader is */
const BATCH = 256;
/** ms; a notice may be lost, and inotify watches may have run out */
const LOOK_EVERY_MS = 1000;
const NANOSECONDS_PER_MICROSECOND = 1000n;

/** Filters and times are checked at the call, not at the first event. */
export function events(context: EngineContext, options: EventOptions = {}): AsyncIterable<EventMessage> {
  const since = options.since === undefined ? undefined : nanoseconds(options.since);
  const until = options.until === undefined ? undefined : nanoseconds(options.until);
  if (since !== undefined && until !== undefined && until < since)
    throw new HuskError(`\`since\` time (${rfc3339(since)}) cannot be after \`until\` time (${rfc3339(until)})`, {
      kind: 'invalid',
    });
  const matches = eventFilter(options.filters ?? {});
  // Docker begins with what is coming, unless it is asked about a time
  const after = since === undefined && until === undefined ? lastEvent(context.database) : 0;
  return follow(context, { signal: options.signal, since, until, matches, after });
}

interface Following extends Pick<EventOptions, 'signal'> {
  /** ns since the epoch */
  since: bigint | undefined;
  until: bigint | undefined;
  matches: (event: EventMessage) => boolean;
  after: number;
}

async function* follow(context: EngineContext, options: Following): AsyncGenerator<EventMessage> {
  const { since, until, matches, after } = options;
  const endsAt = until === undefined ? Infinity : msAfter(until);
  using log = new ChangeNotice(context.paths);
  let seen = after;
  while (!options.signal?.aborted) {
    // asked before the read: what comes after it is noticed
    const ended = Date.now() >= endsAt;
    const changed = log.next();
    const { events: found, last } = eventsAfter(context.database, seen, BATCH);
    for (const event of found) {
      // a clock that was set back makes times that do not grow: each is looked at by itself
      const time = BigInt(event.time) * NANOSECONDS_PER_MICROSECOND;
      if ((since !== undefined && time < since) || (until !== undefined && time > until) || !matches(event)) continue;
      yield event;
      if (options.signal?.aborted) return;
    }
    if (last > seen) {
      seen = last;
      continue;
    }
    if (ended) return;
    await changed(Math.min(LOOK_EVERY_MS, endsAt - Date.now()), options.signal);
  }
}
