/**
 * The destination of a log that is sent away, which must be known before anything is opened: a VMM has no network, and
 * its jail shows it only what it was given. This module only decides.
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

/** @returns the socket of this host to which the log goes; [] for none */
export function localSocket(log: LogRequest): string[] {
  const destination = destinationOf(log);
  return destination && 'path' in destination ? [destination.path] : [];
}

/** @returns whether the log is sent over the network */
export function needsNetwork(log: LogRequest): boolean {
  const destination = destinationOf(log);
  return destination !== undefined && !('path' in destination);
}
