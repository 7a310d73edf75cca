/**
 * The forwarder of a container's published ports: `husk-net forward`, started inside the network's namespaces with
 * sockets of the host's. It carries bytes and shows the container its clients' own addresses; this file tells it what
 * leads where, and ends it. guest/net/net.h has the messages' form and bounds.
 */
import { CLONE_NEWNET, CLONE_NEWUSER } from '../container/namespaces.ts';
import { capabilityMask } from '../container/capabilities.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { errnoText } from '../host/libc.ts';
import { addressBytes } from '../host/streams/address-bytes.ts';
import { watchReadable } from '../host/streams/poll.ts';
import { receive, send, seqpacketPair, shutdownWrite } from '../host/streams/socket.ts';
import { FIRST_INHERITED, launch, type Launched } from '../launch/executor.ts';
import type { LaunchPlan } from '../launch/plan.ts';
import { INIT_PROGRAM, NET_PROGRAM } from '../program.ts';

/** guest/net/net.h */
const MAGIC = 0x57464b48;
const VERSION = 1;
const HEADER_BYTES = 12;
const PORT_BYTES = 40;
/** of one message; of all */
const PORTS = 32;
const MAX_PORTS = 2048;
const LAST = 1;
const PLAIN = 2;
/** linux/in.h */
const PROTOCOL = { tcp: 6, udp: 17 } as const;

/** Where a published socket leads. */
export interface Target {
  protocol: 'tcp' | 'udp';
  port: number;
  /** the container's address in its network */
  container: string;
  /**
   * the network's gateway, of the same family, whose prefix is the network's; clients without an address there are it
   */
  gateway: string;
  prefix: number;
}

export interface ForwardedPort extends Target {
  socket: Fd;
}

export interface ForwarderOptions {
  /** the user namespace that owns the network's */
  users: Fd;
  namespace: Fd;
  /** their sockets stay the caller's: who keeps them can start another forwarder when this one has ended */
  ports: readonly ForwardedPort[];
  /**
   * it outlives this process, and ends with the last copy of `Forwarder.control`: for a container whose supervisor may
   * start nothing. @default false
   */
  detached?: boolean;
  /** every client is shown as the gateway: for kernels that do not bring answers back to a transparent socket */
  plain?: boolean;
  /** full path; @default husk's own */
  program?: string;
}

export interface Forwarder {
  /** its first process, which makes another worker when one dies */
  readonly pid: number;
  /** the socket whose last copy ends it; of one that is detached it is the caller's to close */
  readonly control: Fd;
  /** resolves when it has ended, whoever ended it */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts it, and resolves when it serves. It ends with this process, unless it is detached.
 * @throws HuskError
 */
export async function startForwarder(options: ForwarderOptions): Promise<Forwarder> {
  const messages = forwarderMessages(options.ports, options);
  using unwound = new DisposableStack();
  const { near, far } = seqpacketPair();
  const control = unwound.use(near);
  using theirs = far;
  const { detached = false } = options;
  const launched = launch(forwarderPlan(options.program ?? NET_PROGRAM, detached), {
    init: INIT_PROGRAM,
    detached,
    stdin: 'null',
    stdout: 'null',
    stderr: 'null',
    inherit: [options.users.number, options.namespace.number, theirs.number],
  });
  theirs.close();
  await launched.started;
  for (const [index, message] of messages.entries()) {
    const ports = options.ports.slice(index * PORTS, (index + 1) * PORTS);
    send(
      control.number,
      message,
      ports.map(({ socket }) => socket.number),
    );
  }
  await served(control);
  const pid = await launched.pid;
  unwound.move();
  return { pid, ...lifeOf(launched, control, detached) };
}

/**
 * Ends a forwarder by the descriptor of its control socket that this process has inherited; resolves when it has ended,
 * and its ports are nobody's.
 */
export async function endForwarder(control: Fd): Promise<void> {
  shutdownWrite(control.number);
  const { promise, resolve } = Promise.withResolvers<void>();
  {
    using _watch = watchReadable(control.number, () => {
      // what it said before is of no interest any more
      if (receiveOrEnd(control) === null) resolve();
    });
    await promise;
  }
  control.close();
}

/** @returns null at its end */
function receiveOrEnd(control: Fd): null | undefined {
  try {
    const message = receive(control.number);
    for (const stray of message?.fds ?? []) stray.close();
    return message === null ? null : undefined;
  } catch {
    return null; // it was killed with something unread
  }
}

function lifeOf(launched: Launched, control: Fd, detached: boolean): Omit<Forwarder, 'pid'> {
  const ended = launched.exited.then(() => (detached ? undefined : control.close()));
  return {
    control,
    ended,
    close() {
      control.close();
      return ended;
    },
  };
}

function forwarderPlan(program: string, detached: boolean): LaunchPlan {
  // for IP_TRANSPARENT; the program keeps it through its exec only as an ambient one, where root has no id in there
  const needed = capabilityMask(['CAP_NET_ADMIN']);
  return [
    ...(detached ? ([{ op: 'parentDeathSignal', signal: 0 }, { op: 'setsid' }] as const) : []),
    { op: 'setns', path: `/proc/self/fd/${FIRST_INHERITED}`, type: CLONE_NEWUSER },
    { op: 'setns', path: `/proc/self/fd/${FIRST_INHERITED + 1}`, type: CLONE_NEWNET },
    {
      op: 'capabilities',
      bounding: needed,
      effective: needed,
      permitted: needed,
      inheritable: needed,
      ambient: needed,
    },
    { op: 'noNewPrivileges' },
    { op: 'closeFrom', fd: FIRST_INHERITED + 3 },
    { op: 'environment', env: [] },
    { op: 'exec', args: [program, 'forward', String(FIRST_INHERITED + 2)] },
  ];
}

/** Its first answer: i32 errno, and what failed. */
async function served(control: Fd): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  using _watch = watchReadable(control.number, () => {
    try {
      const message = receive(control.number);
      if (message === undefined) return;
      for (const stray of message?.fds ?? []) stray.close();
      const errno = message && message.data.length >= 4 ? message.data.readInt32LE(0) : undefined;
      if (errno === 0) return resolve();
      const reason =
        errno === undefined ? 'it has ended' : `${message!.data.toString('latin1', 4)}: ${errnoText(errno)}`;
      reject(failed(reason));
    } catch (error) {
      reject(failed((error as Error).message, error as Error));
    }
  });
  await promise;
}

function failed(reason: string, cause?: Error): HuskError {
  return new HuskError(`cannot forward the published ports: ${reason}`, {
    kind: 'start-failed',
    exitCode: EXIT_HUSK_FAILED,
    cause,
  });
}

/**
 * Pure: the control messages for these ports, in order.
 * @throws HuskError `limit` for more than the forwarder takes
 */
export function forwarderMessages(targets: readonly Target[], { plain = false }: { plain?: boolean } = {}): Buffer[] {
  if (targets.length === 0 || targets.length > MAX_PORTS)
    throw new HuskError(`cannot publish ${targets.length} ports: one container has at most ${MAX_PORTS}`, {
      kind: 'limit',
      exitCode: EXIT_HUSK_FAILED,
      fix: 'publish fewer, or to one address family alone (-p 0.0.0.0:…)',
    });
  const messages: Buffer[] = [];
  for (let at = 0; at < targets.length; at += PORTS) {
    const some = targets.slice(at, at + PORTS);
    const isLast = at + PORTS >= targets.length;
    const message = Buffer.alloc(HEADER_BYTES + some.length * PORT_BYTES);
    message.writeUInt32LE(MAGIC, 0);
    message.writeUInt16LE(VERSION, 4);
    message.writeUInt16LE((isLast ? LAST : 0) | (plain ? PLAIN : 0), 6);
    message.writeUInt32LE(some.length, 8);
    for (const [index, target] of some.entries())
      writePort(message.subarray(HEADER_BYTES + index * PORT_BYTES), target);
    messages.push(message);
  }
  return messages;
}

/** u8 family, protocol, prefix, zero; u16 port, zero; the container's address, the gateway's: 16 bytes each */
function writePort(record: Buffer, { protocol, port, container, gateway, prefix }: Target): void {
  const [to, by] = [addressBytes(container), addressBytes(gateway)];
  if (to.length !== by.length) throw new TypeError(`${container} and ${gateway} are of two families`);
  record[0] = to.length === 4 ? 4 : 6;
  record[1] = PROTOCOL[protocol];
  record[2] = prefix;
  record.writeUInt16LE(port, 4);
  record.set(to, 8);
  record.set(by, 24);
}
