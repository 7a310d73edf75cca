/**
 * The way out of a container's network namespace: pasta(1) copies what goes through a tap device there to ordinary sockets of the
 * host's. Out only: no port is published, nothing of the host's loopback can be reached, and nothing the host listens on either.
 *
 * pasta itself stays in the host's network namespace and confines itself (its own namespaces, an empty root, seccomp).
 */
import { readFileSync } from 'node:fs';
import { launch, type Launched } from '../container/executor.ts';
import { SIGKILL } from '../container/signals.ts';
import { HuskError } from '../errors.ts';
import { INIT_PROGRAM } from '../program.ts';

/** Answered by pasta from the host's first resolver, even when that is on the host's loopback; link-local (RFC 3927), Podman's choice too. */
export const DNS_FORWARDER = '169.254.1.1';

/** the name Docker gives to a container's first interface */
const INTERFACE = 'eth0';
/** ms until pasta must have configured the interface */
const READY_TIMEOUT = 10_000;
/** bytes of what pasta says that are kept for an error */
const MAX_SAID = 4096;

export interface Pasta {
  close(): Promise<void>;
}

/**
 * Connects the network namespace of a process (and its user namespace) to the host's network.
 * @param options.program full path of pasta; @default found by $PATH
 * @throws HuskError `unsupported` with the fix
 */
export async function connectPasta(pid: number, options: { program?: string; uid?: number } = {}): Promise<Pasta> {
  const uid = options.uid ?? process.getuid!();
  const args = [
    options.program ?? 'pasta',
    '--config-net',
    ...['--ns-ifname', INTERFACE],
    // in: nothing. out: never to the host itself, neither by its loopback nor by the gateway's address
    ...['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--no-map-gw'],
    ...['--dns-forward', DNS_FORWARDER],
    '--quiet',
    '--foreground',
    // its pid is written once everything is set up: to us, as a sign of it
    ...['--pid', '/dev/stdout'],
    // started by root it would become `nobody`, who may not enter a user namespace that root made; it enters it first of all
    // things, and is then root of nothing else
    ...(uid === 0 ? ['--runas', '0:0'] : []),
    String(pid),
  ];
  const launched = launch(
    [
      // in a child of a monitor: it ends when we do, even by SIGKILL
      { op: 'parentDeathSignal', signal: SIGKILL },
      { op: 'fork' },
      { op: 'setsid' },
      { op: 'closeFrom', fd: 3 },
      { op: 'environment', env: [`PATH=${process.env['PATH'] ?? ''}:/usr/bin:/bin`, 'LC_ALL=C'] },
      { op: 'exec', args },
    ],
    { init: INIT_PROGRAM, stdin: 'null', stdout: 'pipe', stderr: 'pipe' },
  );
  let said = '';
  launched.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(0, MAX_SAID)));
  const close = async () => {
    launched.signal(SIGKILL);
    await launched.exited;
  };
  try {
    await ready(launched);
  } catch (error) {
    await close();
    throw explain(error as Error, said, pid);
  }
  return { close };
}

async function ready(launched: Launched): Promise<void> {
  const written = new Promise<void>((resolve) => launched.stdout!.once('data', () => resolve()));
  await launched.started;
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new Error(`no interface after ${READY_TIMEOUT / 1000} s`)), READY_TIMEOUT);
  const ended = launched.exited.then(({ code }) => Promise.reject(new Error(`exit status ${code}`)));
  ended.catch(() => {});
  try {
    await Promise.race([written, ended, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function explain(error: Error, said: string, pid: number): HuskError {
  if (error instanceof HuskError && error.exitCode === 127)
    return new HuskError('cannot connect the container to the network: pasta is not installed', { kind: 'unsupported', exitCode: 125, fix: 'apt install passt (or use --network none or host)', cause: error });
  // what goes to a missing system logger is of no interest
  const reason = said.split('\n').filter((line) => line !== '' && !/syslog|^Don't run as root/.test(line)).at(-1) ?? error.message;
  const tun = /tun/i.test(reason) ? tunFix() : undefined;
  return new HuskError(`cannot connect the container to the network: pasta for process ${pid}: ${reason}`, { kind: 'unsupported', exitCode: 125, fix: tun ?? 'use --network none or host', cause: error });
}

function tunFix(): string {
  try {
    return readFileSync('/proc/misc', 'latin1').includes(' tun\n') ? 'sudo chmod 0666 /dev/net/tun' : 'sudo modprobe tun';
  } catch {
    return 'sudo modprobe tun';
  }
}
