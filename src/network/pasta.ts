/**
 * The way out of a container's network namespace: pasta(1) copies what goes through a tap device there to ordinary
 * sockets of the host's. Out only: no port is published, nothing of the host's loopback can be reached, nor what
 * listens on the address that the container has from the host; the host's other addresses are as any other machine's.
 *
 * pasta itself stays in the host's network namespace and confines itself (its own namespaces, an empty root, seccomp).
 */
import { readlinkSync } from 'node:fs';
import { FIRST_INHERITED, launch } from '../launch/executor.ts';
import type { Step } from '../launch/plan.ts';
import { MS_BIND, MS_PRIVATE, MS_REC } from '../launch/mount-options.ts';
import { CLONE_NEWNS } from '../container/namespaces.ts';
import { SIGKILL } from '../notation/signals.ts';
import { EXIT_NOT_FOUND, HuskError } from '../errors.ts';
import { Fd } from '../host/fd.ts';
import { _IO, ioctl } from '../host/kernel/ioctl.ts';
import { INIT_PROGRAM } from '../program.ts';
import { PID_FILE, reasonOf, untilReady } from './readiness.ts';
import { dnsForward, hostResolvConf, notInstalled, tunFix } from './way-out.ts';

/** the name Docker gives to a container's first interface */
export const INTERFACE = 'eth0';
/** a folder that every system has and pasta has no need of: covered by a tmpfs in pasta's own mount namespace */
const PINNED = '/tmp';
/** bytes of what pasta says that are kept for an error */
const MAX_SAID = 4096;

export interface Pasta {
  close(): Promise<void>;
}

/**
 * Connects the network namespace of a process (and its user namespace) to the host's network.
 * @param options.program full path of pasta; @default found by $PATH
 * @param options.namespace the network namespace, for a process that hides its own; @default /proc/PID/ns
 * @throws HuskError `unsupported` with the fix
 */
export async function connectPasta(
  pid: number,
  options: { program?: string; uid?: number; namespace?: Fd } = {},
): Promise<Pasta> {
  const uid = options.uid ?? process.getuid!();
  // a pasta since 2024_08 closes what it inherits: the descriptors are for those alone who can be reached by no pid
  using owner = options.namespace && uid !== 0 && isHidden(pid) ? owningUserNamespace(options.namespace) : undefined;
  const args = [
    options.program ?? 'pasta',
    '--config-net',
    '--ns-ifname',
    INTERFACE,
    // in: nothing. out: never to the host itself, neither by its loopback nor by the gateway's address
    ...['-t', '-u', '-T', '-U'].flatMap((direction) => [direction, 'none']),
    '--no-map-gw',
    ...dnsForward(hostResolvConf()),
    '--quiet',
    '--foreground',
    // its pid is written once everything is set up: to us, as a sign of it
    '--pid',
    PID_FILE,
    ...(uid === 0
      ? ['--runas', '0:0', '--no-netns-quit', '--userns', `${PINNED}/user`, '--netns', `${PINNED}/net`]
      : owner
        ? ['--no-netns-quit', '--userns', inherited(0), '--netns', inherited(1)]
        : [String(pid)]),
  ];
  const launched = launch(
    [
      // in a child of a monitor: it ends when we do, even by SIGKILL
      { op: 'parentDeathSignal', signal: SIGKILL },
      { op: 'fork' },
      { op: 'setsid' },
      ...(uid === 0 ? pinNamespaces(pid) : []),
      { op: 'closeFrom', fd: owner ? FIRST_INHERITED + 2 : 3 },
      { op: 'environment', env: [`PATH=${process.env['PATH'] ?? ''}:/usr/bin:/bin`, 'LC_ALL=C'] },
      { op: 'exec', args },
    ],
    {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 'pipe',
      stderr: 'pipe',
      ...(owner && { inherit: [owner.number, options.namespace!.number] }),
    },
  );
  let said = '';
  launched.stderr!.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(0, MAX_SAID)));
  const close = async () => {
    launched.signal(SIGKILL);
    await launched.exited;
  };
  try {
    await untilReady(launched);
  } catch (error) {
    await close();
    throw explain(error as Error, said, pid);
  }
  return { close };
}

/** Its namespaces cannot be opened, even by the user who made them: PR_SET_DUMPABLE of prctl(2). */
function isHidden(pid: number): boolean {
  try {
    readlinkSync(`/proc/${pid}/ns/net`);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES';
  }
}

/** ioctl_nsfs(2) */
const NS_GET_USERNS = _IO(0xb7, 1);

function owningUserNamespace(namespace: Fd): Fd {
  return new Fd(ioctl(namespace.number, NS_GET_USERNS, 0, 'NS_GET_USERNS'));
}

/**
 * pasta opens the second of them when it is in the first already, from where no other process's descriptors can be
 * reached.
 */
const inherited = (index: number): string => `/proc/self/fd/${FIRST_INHERITED + index}`;

/**
 * Started by root, pasta would become `nobody`, who may not enter a user namespace that root made. As root it gives up
 * all but a few capabilities first of all things, CAP_SYS_PTRACE among them, without which another uid's /proc/PID/ns
 * is closed to it. So the two namespaces are bound where it can open them, in a mount namespace of its own; once in the
 * user namespace it is root of nothing else.
 */
function pinNamespaces(pid: number): Step[] {
  const bind = (type: string): Step[] => [
    { op: 'writeFile', path: `${PINNED}/${type}`, content: '', create: true },
    {
      op: 'mount',
      source: `/proc/${pid}/ns/${type}`,
      target: `${PINNED}/${type}`,
      fstype: '',
      flags: MS_BIND,
      data: '',
    },
  ];
  return [
    { op: 'unshare', flags: CLONE_NEWNS },
    { op: 'mount', source: '', target: '/', fstype: '', flags: MS_REC | MS_PRIVATE, data: '' },
    { op: 'mount', source: 'husk', target: PINNED, fstype: 'tmpfs', flags: 0, data: 'mode=700' },
    ...bind('user'),
    ...bind('net'),
  ];
}

function explain(error: Error, said: string, pid: number): HuskError {
  if (error instanceof HuskError && error.exitCode === EXIT_NOT_FOUND) return notInstalled('pasta', error);
  const reason = reasonOf(said) ?? error.message;
  const tun = /tun/i.test(reason) ? tunFix() : undefined;
  return new HuskError(`cannot connect the container to the network: pasta for process ${pid}: ${reason}`, {
    kind: 'unsupported',
    exitCode: 125,
    fix: tun ?? 'use --network none or host',
    cause: error,
  });
}
