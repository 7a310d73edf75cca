/**
 * Starts a machine's warden, by the command that starts the machine: it has made the rules, and hands over what another
 * process goes on by. The warden and the process that tends it (guest/net/tend.c) outlive this command, and go when the
 * command fails before the machine runs.
 */
import { causeOf, EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import { seqpacketPair } from '../../host/streams/socket.ts';
import { INTERNAL, NET_PROGRAM, SELF } from '../../program.ts';
import type { ProcessIdentity } from '../../state/process-identity.ts';
import type { ContainerEgress } from '../attach/container-egress.ts';
import type { MachinePlace } from '../attach/machine.ts';
import { openNetfilterSocket } from '../namespace.ts';
import type { WardenTask } from './task.ts';

export interface WardenOptions extends Omit<WardenTask, 'places' | 'forward'> {
  places: MachinePlace['places'];
  /** that put the rules in force, and does nothing from here on */
  egress: ContainerEgress;
}

export interface StartedWarden extends Disposable {
  /** of the process that tends it */
  readonly pid: number;
  /** the monitor's end of the socket by which wardens hand over streams that names are asked by */
  readonly questions: Fd;
  /** resolves when it does its work: before that the machine must not run. @throws HuskError */
  readonly ready: Promise<void>;
  /** The monitor has its end: as long as that process lives the warden does. */
  passOn(monitor: ProcessIdentity): void;
}

/** Disposed of before `passOn`, it ends. @throws HuskError */
export async function startWarden({ places, egress, ...options }: WardenOptions): Promise<StartedWarden> {
  // what is the warden's own once it is started
  using given = new DisposableStack();
  using unwound = new DisposableStack();
  const logs = egress.handOver();
  for (const { socket } of logs.values()) given.use(socket);
  const task: WardenTask = {
    ...options,
    forward: places.some(({ active }) => !active.network.internal),
    places: places.map(({ active: { network }, endpoint }) => {
      const log = logs.get(network.id);
      return { network, endpoint, ...(log && { logGroup: log.group }) };
    }),
  };
  // of its own: who shares a netlink socket reads the other's answers
  const rules: Fd[] = [];
  for (const { active } of places) rules.push(given.use(await openNetfilterSocket(active)));
  const { near, far } = seqpacketPair({ nonBlocking: true });
  given.use(far);
  unwound.use(near);
  const inherited = places.flatMap(({ active }, index) => [
    rules[index]!.number,
    logs.get(active.network.id)?.socket.number ?? ('ignore' as const),
  ]);
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn(NET_PROGRAM, ['tend', SELF[0], 'husk-warden', ...SELF.slice(1), INTERNAL, 'warden'], {
    stdio: ['pipe', 'pipe', 'ignore', far.number, ...inherited],
    detached: true,
    cwd: '/',
    env: {},
    argv0: 'husk-tend',
  });
  const { stdin, stdout } = child as import('node:child_process').ChildProcessByStdio<
    import('node:stream').Writable,
    import('node:stream').Readable,
    null
  >;
  const failed = (why: string) =>
    new HuskError(`cannot keep the rules of --egress: ${why}`, { kind: 'start-failed', exitCode: EXIT_HUSK_FAILED });
  const ready = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => reject(failed(causeOf(error))));
    let said = '';
    stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    stdout.once('close', () => (said === '\n' ? resolve() : reject(failed(said.trim() || 'its warden has ended'))));
  });
  // whoever waits for it hears of it
  ready.catch(() => {});
  stdin.on('error', () => {}); // it has ended, which is told above
  stdin.write(`${JSON.stringify(task)}\n`);
  // it lives on when this command ends, and this command does not wait for it
  child.unref();
  unwound.move();
  return {
    // -1: it could not be started, which `ready` says
    pid: child.pid ?? -1,
    questions: near,
    ready,
    passOn: (monitor) => void stdin.end(`${JSON.stringify(monitor)}\n`),
    [Symbol.dispose]: () => {
      near.close();
      stdin.end();
    },
  };
}
