/**
 * Where a log goes that is sent away, for who must know it before anything is opened: a VMM has no network, and sees
 * only what its jail was given. Decides only.
 */
import { fluentdSettings } from './fluentd.ts';
import type { LogRequest } from './request.ts';
import { syslogSettings } from './syslog.ts';
import type { Destination } from './transport.ts';

function destinationOf({ driver, options }: LogRequest): Destination | undefined {
  if (driver === 'syslog') return syslogSettings(options).destination;
  if (driver === 'fluentd') return fluentdSettings(options).destination;
  return undefined;
}

/** The socket of this host that the log goes to; [] for none */
export function localSocket(log: LogRequest): string[] {
  const destination = destinationOf(log);
  return destination && 'path' in destination ? [destination.path] : [];
}

/** Whether the log goes out by the network. */
export function needsNetwork(log: LogRequest): boolean {
  const destination = destinationOf(log);
  return destination !== undefined && !('path' in destination);
}
