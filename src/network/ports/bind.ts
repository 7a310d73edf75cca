/**
 * Binds what a container publishes: the host's sockets are made, and kept, before anything of the container's network
 * is, so that there is no time between asking for a port and having it. IPv4 and IPv6 apart, and in one mapping the
 * same number for all addresses. Knows nothing of grammar; the words of its errors are Docker's.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import { errnoText, SyscallError } from '../../host/libc.ts';
import { boundSocket } from '../../host/streams/inet-socket.ts';

const { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT } = constants.errno;

export interface PortMapping {
  protocol: 'tcp' | 'udp';
  containerPort: number;
  /** '' is every address of both families */
  hostAddress: string;
  /** the first free one of these; absent: of the host's range for it */
  hostPorts?: { first: number; last: number };
}

/** what a mapping came to be, for each address */
interface AssignedPort {
  protocol: 'tcp' | 'udp';
  containerPort: number;
  /** `0.0.0.0` and `::` for every address */
  hostAddress: string;
  hostPort: number;
}

export interface BoundPorts extends Disposable {
  /** one for each of `assigned`; the caller's, who closes them */
  sockets: Fd[];
  assigned: AssignedPort[];
}

export interface BindOptions {
  /** for errors: `web (0123…)`, the container's name and its endpoint's id */
  endpoint?: string;
  /** whether another container of husk's is known to have it; @default nobody has */
  isAllocated?: (port: Omit<AssignedPort, 'containerPort'>) => boolean;
  /** @default the host's */
  range?: { first: number; last: number };
}

/** @throws HuskError in Docker's words, with nothing left bound */
export function bindPorts(mappings: readonly PortMapping[], options: BindOptions = {}): BoundPorts {
  using unwound = new DisposableStack();
  const sockets: Fd[] = [];
  const assigned: AssignedPort[] = [];
  for (const mapping of mappings) {
    const bound = bindMapping(mapping, options);
    for (const { socket, address } of bound.sockets) {
      sockets.push(unwound.use(socket));
      const { protocol, containerPort } = mapping;
      assigned.push({ protocol, containerPort, hostAddress: address, hostPort: bound.port });
    }
  }
  unwound.move();
  return { sockets, assigned, [Symbol.dispose]: () => sockets.forEach((socket) => socket.close()) };
}

interface BoundSocket {
  socket: Fd;
  address: string;
}

/** Tries the mapping's ports one after another, for all of its addresses at once. */
function bindMapping(mapping: PortMapping, options: BindOptions): { port: number; sockets: BoundSocket[] } {
  const range = mapping.hostPorts ?? options.range ?? localPortRange();
  const count = range.last - range.first + 1;
  // any port: not always the same one first, or two commands at one time meet again and again
  const start = mapping.hostPorts ? 0 : randomInt(count);
  let failure: HuskError | undefined;
  for (let tried = 0; tried < count; tried++) {
    const port = range.first + ((start + tried) % count);
    const sockets = bindAll(mapping, port, options);
    if (Array.isArray(sockets)) return { port, sockets };
    failure ??= sockets.error;
    // the next port would fail alike
    if (!sockets.taken) break;
  }
  throw failure!;
}

type Refusal = { error: HuskError; taken: boolean };

function bindAll(mapping: PortMapping, port: number, options: BindOptions): BoundSocket[] | Refusal {
  using unwound = new DisposableStack();
  const { protocol, hostAddress } = mapping;
  const sockets: BoundSocket[] = [];
  for (const address of hostAddress === '' ? ['0.0.0.0', '::'] : [hostAddress]) {
    const shown = `${address.includes(':') ? `[${address}]` : address}:${port}`;
    if (options.isAllocated?.({ protocol, hostAddress: address, hostPort: port }))
      return { error: failed(options, `Bind for ${shown} failed: port is already allocated`), taken: true };
    try {
      sockets.push({ socket: unwound.use(boundSocket(protocol, address, port)), address });
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (hostAddress === '' && address === '::' && isWithoutIPv6(error.errno)) continue;
      const text = `failed to bind host port ${shown}/${protocol}: ${errnoText(error.errno)}`;
      const fix = error.errno === EACCES ? `sysctl net.ipv4.ip_unprivileged_port_start=${port}` : undefined;
      return { error: failed(options, text, { cause: error, fix }), taken: error.errno === EADDRINUSE };
    }
  }
  unwound.move();
  return sockets;
}

/** No module, or switched off by sysctl. */
const isWithoutIPv6 = (errno: number): boolean => errno === EAFNOSUPPORT || errno === EADDRNOTAVAIL;

function failed(
  { endpoint }: BindOptions,
  reason: string,
  more: { cause?: Error; fix?: string | undefined } = {},
): HuskError {
  const where = endpoint === undefined ? '' : ` on endpoint ${endpoint}`;
  return new HuskError(
    `failed to set up container networking: driver failed programming external connectivity${where}: ${reason}`,
    { kind: 'conflict', exitCode: EXIT_HUSK_FAILED, cause: more.cause, ...(more.fix && { fix: more.fix }) },
  );
}

/** ip-sysctl: what Linux gives where ip_local_port_range says nothing */
const DEFAULT_RANGE = { first: 32_768, last: 60_999 };

/** Pure: `32768\t60999` of proc_sys_net(5) */
export function parsePortRange(text: string): { first: number; last: number } {
  const [, first, last] = /^(\d{1,5})\s+(\d{1,5})\s*$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  return range.first > 0 && range.first <= range.last && range.last < 65_536 ? range : DEFAULT_RANGE;
}

function localPortRange(): { first: number; last: number } {
  try {
    return parsePortRange(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1'));
  } catch {
    return DEFAULT_RANGE;
  }
}
