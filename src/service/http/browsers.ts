/**
 * Keeps browsers off an API that listens on loopback without TLS. A page of any site can have its visitor's browser
 * send requests there, and by DNS rebinding read the answers; no client of Docker's API sends what browsers send.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/** @returns why the request is refused */
export function refuseBrowsers({ headers }: IncomingMessage): string | undefined {
  const sent = Object.keys(headers).find((name) => name === 'origin' || name.startsWith('sec-fetch-'));
  if (sent !== undefined) return `requests of browsers are refused (${sent})`;
  const host = /^(?:\[([^\]]+)\]|([^:]*))(?::\d{1,5})?$/.exec(headers.host ?? '');
  const name = host?.[1] ?? host?.[2] ?? '';
  if (isIP(name) !== 0 || name.toLowerCase() === 'localhost') return undefined;
  return 'the Host header names neither an address nor localhost';
}
