/** Opens a container's log for writing: the driver it asked for. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defaultTag, logAttributes, type LoggedContainer } from './attributes.ts';
import { FileLog } from './file-log.ts';
import { JsonFormat } from './json-format.ts';
import { LocalFormat } from './local-format.ts';
import { logSettings, type LogRequest } from './options.ts';
import { noLog, type LogSink } from './sink.ts';

export interface OpenLogOptions {
  /** the container's folder */
  folder: string;
  container: LoggedContainer;
  /** this process opens nothing more once the container runs: it is a VMM */
  confined?: boolean;
  /** entries began to be lost: why, in one line */
  onTrouble(message: string): void;
}

/** @throws HuskError when the log cannot be had: a container does not start without the log it asked for */
export async function openLog(log: LogRequest, options: OpenLogOptions): Promise<LogSink> {
  const settings = logSettings(log);
  const { container, onTrouble } = options;
  const { extra, tag } = logAttributes(log, container);
  switch (settings.driver) {
    case 'none':
      return noLog;
    case 'journald':
      return (await import('./journal.ts')).openJournalLog(container, { extra, tag: tag ?? defaultTag(container), dropAbove: settings.dropAbove, confined: options.confined === true, onTrouble });
    case 'json-file':
    case 'local': {
      const attributes = tag === undefined ? extra : { ...extra, tag };
      const format = settings.driver === 'local' ? new LocalFormat(attributes, settings.maxSize) : new JsonFormat(attributes);
      const path = logPath(options.folder, { id: container.id, driver: settings.driver });
      mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
      return new FileLog(path, { ...settings, format, onTrouble });
    }
  }
}

/** Docker's paths and names of them, below the container's folder. */
export function logPath(folder: string, { id, driver }: { id: string; driver: string }): string {
  return driver === 'local' ? join(folder, 'local-logs/container.log') : join(folder, `${id}-json.log`);
}
