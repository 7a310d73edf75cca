/**
 * `logs`: which log a container has, whether it is still being written, and its entries. Reading itself is src/logs/.
 */
import { HuskError } from '../../errors.ts';
import { JsonFormat } from '../../logs/json-format.ts';
import { logPath } from '../../logs/open.ts';
import { isSentAway, logSettings } from '../../logs/options.ts';
import { readLog, type ReadOptions } from '../../logs/read.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container, LogLine, LogOptions } from '../contract.ts';
import { isRunning, reread } from '../record/supervisor-link.ts';
import { resolve } from '../record/reconcile.ts';

export async function* logs(
  context: EngineContext,
  reference: string,
  options: LogOptions = {},
): AsyncGenerator<LogLine> {
  for await (const entries of logBatches(context, reference, options)) {
    for (const entry of entries) {
      if (options.signal?.aborted) return;
      yield entry;
    }
  }
}

export async function* logBatches(
  context: EngineContext,
  reference: string,
  options: LogOptions = {},
): AsyncGenerator<LogLine[]> {
  const container = resolve(context, reference);
  const isWritten = () => {
    const now = reread(context, container.id);
    return now !== undefined && isRunning(now);
  };
  const { tail, since, until, signal } = options;
  const asked = { tail, since, until, signal, follow: options.follow ? isWritten : undefined };
  const driver = container.config.options.logDriver;
  if (
    driver === 'none' ||
    (isSentAway(driver) && !logSettings({ driver, options: container.config.options.logOptions }).cache)
  )
    throw new HuskError('configured logging driver does not support reading', { kind: 'unsupported' });
  if (driver === 'journald')
    return yield* (await import('../../logs/journal-read.ts')).readJournal(container.id, asked);
  yield* readLog(logFile(context, container), { ...asked, format: await formatOf(driver) });
}

async function formatOf(driver: string): Promise<ReadOptions['format']> {
  return driver === 'local' || isSentAway(driver)
    ? new (await import('../../logs/local-format.ts')).LocalFormat()
    : new JsonFormat();
}

export function logFile(
  context: Pick<EngineContext, 'paths'>,
  { id, config }: Pick<Container, 'id' | 'config'>,
): string {
  return logPath(context.paths.container(id), { id, driver: config.options.logDriver });
}
