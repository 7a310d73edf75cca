/**
 * The way out of a virtual machine: passt(1) turns the frames of the machine's network device into ordinary sockets of
 * the host's, as pasta does for a network namespace, and by the same rules. It is started before the VMM, which has no
 * network and may start nothing, speaks to it over one socket, lives as long as the other end of that socket is open,
 * and confines itself (its own namespaces, an empty root, seccomp).
 */
import { readSync } from 'node:fs';
import type { InterfaceSetup } from '../agent-protocol.ts';
import { launch } from '../launch/executor.ts';
import { EXIT_HUSK_FAILED, EXIT_NOT_FOUND, HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { boundedMemfd } from '../host/memory/memfd.ts';
import { streamPair } from '../host/streams/socket.ts';
import { INIT_PROGRAM } from '../program.ts';
import type { HostAddress, HostInterface } from './host-interface.ts';
import { INTERFACE } from './pasta.ts';
import { PID_FILE, reasonOf, untilReady } from './readiness.ts';
import { dnsForward, hostResolvConf, notInstalled } from './way-out.ts';

/**
 * bytes of payload in a frame: passt's own default, the largest Ethernet frame less its header, in whole words. Long
 * frames are few frames
 */
export const MTU = 65_520;
/** where passt finds the socket: as its stdin, because a launch plan passes stdio */
const SOCKET_FD = 0;
/** bytes of what passt says that are kept for an error; a guest may make it say things for as long as it runs */
const MAX_SAID = 4096;

export interface Passt {
  /**
   * the other end of its socket: frames of Ethernet, each behind its length (u32, big-endian); with its last copy passt
   * goes
   */
  link: Fd;
  /** rejects with a HuskError `unsupported`, with the fix */
  ready: Promise<void>;
}

/** @param options.program full path; @default found by $PATH */
export function startPasst(host: HostInterface, options: { program?: string } = {}): Passt {
  using unwound = new DisposableStack();
  const { near, far } = streamPair();
  unwound.use(near);
  using theirs = far;
  const said = unwound.use(boundedMemfd('passt-stderr', MAX_SAID));
  const launched = launch(
    [
      // it outlives the command that starts it, and is no part of its terminal; its end is that of the socket
      { op: 'parentDeathSignal', signal: 0 },
      { op: 'setsid' },
      { op: 'closeFrom', fd: 3 },
      { op: 'environment', env: [`PATH=${process.env['PATH'] ?? ''}:/usr/bin:/bin`, 'LC_ALL=C'] },
      { op: 'exec', args: [options.program ?? 'passt', ...passtArguments(host, hostResolvConf())] },
    ],
    { init: INIT_PROGRAM, stdin: theirs.number, stdout: 'pipe', stderr: said.number, detached: true },
  );
  // from here on `link` is the caller's, and what passt says is closed when it is ready
  unwound.move();
  const ready = untilReady(launched)
    .catch((error: Error) => {
      throw explain(error, said);
    })
    .finally(() => {
      launched.stdout!.destroy();
      said.close();
    });
  // whoever starts it may fail on the way to waiting for it
  ready.catch(() => {});
  return { link: near, ready };
}

/** @param resolvConf the host's */
export function passtArguments({ name, ipv4, ipv6 }: HostInterface, resolvConf: string): string[] {
  // the host's own addresses, so that what goes to them stays in the guest
  const family4 = ipv4
    ? ['--address', ipv4.address, '--netmask', String(ipv4.prefix), ...gateway(ipv4)]
    : ['--ipv6-only'];
  const family6 = ipv6 ? ['--address', ipv6.address, ...gateway(ipv6)] : ['--ipv4-only'];
  // in: nothing. out: never to the host itself, neither by its loopback nor by the gateway's address
  const rules = ['--tcp-ports', 'none', '--udp-ports', 'none', '--no-map-gw', ...dnsForward(resolvConf)];
  // the guest is told its addresses by its agent
  const noServers = ['--no-dhcp', '--no-dhcpv6', '--no-ra'];
  // its pid is written once everything is set up: to us, as a sign of it
  const process = ['--fd', String(SOCKET_FD), '--foreground', '--quiet', '--pid', PID_FILE];
  return [...process, ...rules, ...noServers, '--mtu', String(MTU), '--interface', name, ...family4, ...family6];
}

const gateway = ({ gateway: address }: HostAddress) => (address === undefined ? [] : ['--gateway', address]);

/** What the agent makes of the guest's end. */
export function guestInterface({ ipv4, ipv6 }: HostInterface): InterfaceSetup {
  const families = [
    ...(ipv4 ? [{ family: 4 as const, ...ipv4 }] : []),
    ...(ipv6 ? [{ family: 6 as const, ...ipv6 }] : []),
  ];
  return {
    name: INTERFACE,
    addresses: families.map(({ address, prefix }) => ({ address, prefix })),
    defaultRoutes: families.map(({ family, gateway }) => ({ family, ...(gateway !== undefined && { gateway }) })),
  };
}

/**
 * A locally administered address of the container's own, with Docker's prefix: six bytes of text. @param id 64 hex
 * digits
 */
export function macAddress(id: string): string {
  return ['02', '42', ...id.slice(0, 8).match(/../g)!].join(':');
}

function explain(error: Error, said: Fd): HuskError {
  if (error instanceof HuskError && error.exitCode === EXIT_NOT_FOUND) return notInstalled('passt', error);
  const text = Buffer.alloc(MAX_SAID);
  const length = readSync(said.number, text, 0, MAX_SAID, 0);
  const reason = reasonOf(text.toString('utf8', 0, length).replaceAll('\0', '')) ?? error.message;
  return new HuskError(`cannot connect the virtual machine to the network: passt: ${reason}`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix: 'use --network none',
    cause: error,
  });
}
