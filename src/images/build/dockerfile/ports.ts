/** Ports of EXPOSE: `80`, `53/udp`, `8000-8010`; parts of a host are dropped. Pure. */
import { HuskError } from '../../../errors.ts';
import type { PortRange } from '../../../notation/ports.ts';

const MAX_PORT = 65535;
const PROTOCOLS = ['tcp', 'udp', 'sctp'];

export interface ExposedPorts {
  /** up to 65,535 ports in eleven characters: to be counted before it is written out */
  range: PortRange;
  /** as it was typed, where that is not lower case */
  oddProtocol?: string;
  /** whether an address or a port of the host was there */
  hasHost: boolean;
}

/** @throws HuskError `invalid` with Docker's text */
export function exposedPorts(text: string): ExposedPorts {
  const invalid = (what: string) => new HuskError(what, { kind: 'invalid' });
  const colon = text.lastIndexOf(':');
  const [, first, last, protocol] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w+))?$/.exec(text.slice(colon + 1)) ?? [];
  const range = { first: Number(first), last: Number(last ?? first), protocol: (protocol ?? 'tcp').toLowerCase() };
  if (first === undefined || range.last > MAX_PORT || range.last < range.first)
    throw invalid(`invalid containerPort: ${text.slice(colon + 1)}`);
  if (!PROTOCOLS.includes(range.protocol)) throw invalid(`invalid proto: ${protocol}`);
  return {
    range,
    ...(protocol !== undefined && protocol !== range.protocol ? { oddProtocol: protocol } : {}),
    hasHost: colon !== -1,
  };
}
