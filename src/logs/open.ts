/** Opens a container's log for writing, with the driver that was asked for. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defaultTag, logAttributes, type LogAttributes } from './attributes.ts';
import { FileLog } from './file-log.ts';
import { both } from './both.ts';
import { fluentdEncoder, fluentdSettings } from './fluentd.ts';
import { JsonFormat } from './json-format.ts';
import { LocalFormat } from './local-format.ts';
import { isSentAway, logSettings, type LogSettings } from './options.ts';
import type { LoggedContainer, LogRequest } from './request.ts';
import { syslogEncoder, syslogSettings } from './syslog.ts';
import { noLog, type LogSink } from './sink.ts';

export interface OpenLogOptions {
  /** the container's folder */
  folder: string;
  container: LoggedContainer;
  /** whether this process may open nothing more once the container runs, because it is a VMM */
  confined?: boolean;
  /** Called with one line of explanation when entries begin to be lost. */
  onTrouble(message: string): void;
}

/** @throws HuskError when the log cannot be opened: a container does not start without the log that it asked for */
export async function openLog(log: LogRequest, options: OpenLogOptions): Promise<LogSink> {
  const settings = logSettings(log);
  const { container, onTrouble } = options;
  const { extra, tag } = logAttributes(log, container);
  switch (settings.driver) {
    case 'none':
      return noLog;
    case 'journald':
      return (await import('./journal.ts')).openJournalLog(container, {
        extra,
        tag: tag ?? defaultTag(container),
        dropAbove: settings.dropAbove,
        confined: options.confined === true,
        onTrouble,
      });
    case 'syslog':
    case 'fluentd':
      return openAway(log, settings, { ...options, extra, tag: tag ?? defaultTag(container) });
    case 'json-file':
    case 'local': {
      const attributes = tag === undefined ? extra : { ...extra, tag };
      const format =
        settings.driver === 'local' ? new LocalFormat(attributes, settings.maxSize) : new JsonFormat(attributes);
      const path = logPath(options.folder, { id: container.id, driver: settings.driver });
      mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
      return new FileLog(path, { ...settings, format, onTrouble });
    }
  }
}

/** Opens a log that is sent away, and its local copy. */
async function openAway(
  log: LogRequest,
  settings: LogSettings,
  options: OpenLogOptions & LogAttributes & { tag: string },
): Promise<LogSink> {
  const [{ openMessageLog }, { connect, describe }] = await Promise.all([
    import('./message-log.ts'),
    import('./transport.ts'),
  ]);
  const { container, confined = false, onTrouble } = options;
  const fluentd = settings.driver === 'fluentd' ? fluentdSettings(log.options) : undefined;
  const syslog = fluentd ? undefined : syslogSettings(log.options);
  const destination = (fluentd ?? syslog!).destination;
  const encode = fluentd
    ? fluentdEncoder(fluentd, { container, tag: options.tag, extra: options.extra })
    : syslogEncoder(syslog!, options.tag);
  const away = await openMessageLog(
    {
      encode,
      connect: (events) => connect(destination, events),
      dropAbove: settings.dropAbove,
      confined,
      peer: describe(destination),
      onTrouble,
    },
    { later: fluentd?.isAsync },
  );
  if (!settings.cache) return away;
  const path = logPath(options.folder, { id: container.id, driver: 'local' });
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  return both(new FileLog(path, { ...settings, format: new LocalFormat({}, settings.maxSize), onTrouble }), away);
}

/** @returns the path of a log below the container's folder; paths and names are Docker's */
export function logPath(folder: string, { id, driver }: { id: string; driver: string }): string {
  return driver === 'local' || isSentAway(driver)
    ? join(folder, 'local-logs/container.log')
    : join(folder, `${id}-json.log`);
}
