/**
 * The internal program `warden`: one process beside each virtual machine with `--egress` (warden.ts), started by the
 * command that starts the machine, by way of a process that starts another one when this was killed (guest/net/tend.c).
 * It ends when the machine's monitor has: when the process is dead, not when that says so, since rules are for one that
 * was taken over too. Then it takes the machine's rules away. In any other case they stay as they are.
 *
 * Its status is for whoever tends it: 0 when nothing is left to do.
 */
import { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { causeOf } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import { NetfilterSocket } from '../../host/streams/nftables.ts';
import { setNonBlocking } from '../../host/streams/packet-fd.ts';
import { takePacketLog } from '../../host/streams/packet-log.ts';
import { send, streamPair } from '../../host/streams/socket.ts';
import { paths as computePaths } from '../../paths.ts';
import { openDatabase } from '../../state/database.ts';
import { appendEvent } from '../../state/events.ts';
import { isAlive, type ProcessIdentity } from '../../state/process-identity.ts';
import { ContainerEgress, type EgressNetwork } from '../attach/container-egress.ts';
import { watchKeeper } from '../attach/keeper-watch.ts';
import { logFd, QUESTIONS_FD, rulesFd, type WardenTask } from './task.ts';
import { answerQuestions } from './warden.ts';

/** what ps shows; 15 characters at most, all that comm has */
const NAME = 'husk-warden';
/** no type of a netlink message (NLMSG_MIN_TYPE is 16) */
const NONE = 0;

interface WardedNetwork extends EgressNetwork {
  log: { group: number; fd: number } | undefined;
}

export async function main(): Promise<number> {
  process.title = NAME;
  // a logout ends the machine first, which wants names until then
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  const told = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const next = async <T>(): Promise<T | undefined> => {
    const { value, done } = await told.next();
    return done ? undefined : (JSON.parse(value) as T);
  };
  const task = await next<WardenTask>();
  if (!task) return 1;
  let end: () => void;
  try {
    end = await stand(task);
  } catch (error) {
    await new Promise((written) => process.stdout.end(`${causeOf(error)}\n`, () => written(undefined)));
    // a machine that does not run has no need of another one
    const monitor = await next<ProcessIdentity>();
    return process.exit(monitor && isAlive(monitor) ? 1 : 0);
  }
  // from here on the machine may run
  process.stdout.end('\n');
  const monitor = await next<ProcessIdentity>();
  // who was not told has lost whoever should have, and cannot know whether the machine runs
  if (!monitor) return process.exit(0);
  await new Promise<void>((ended) => void watchKeeper(monitor, ended));
  end();
  return process.exit(0);
}

/** @returns ends it */
async function stand(task: WardenTask): Promise<() => void> {
  const { containerId, dataRoot, rules, places } = task;
  const paths = computePaths({ dataRoot });
  const database = openDatabase(join(dataRoot, 'husk.db'));
  let isTold = false;
  const problem = (text: string) => {
    // what a guest asks can go wrong as often as it likes
    if (!isTold) tell(text);
    isTold = true;
  };
  const tell = (error: string) => {
    try {
      appendEvent(database, {
        Type: 'container',
        Action: 'network_error',
        Actor: { ID: containerId, Attributes: { error } },
      });
    } catch {
      // the disk may be full, and the machine goes on
    }
  };
  const egress = new ContainerEgress<WardedNetwork>({
    containerId,
    rules,
    database,
    folder: paths.container(containerId),
    openLog: async ({ log }, _first, packet) => log && takePacketLog(new Fd(log.fd), log.group, packet),
    problem,
  });
  const networks = places.map(({ network, logGroup }, index): WardedNetwork => {
    const nftables = new NetfilterSocket(new Fd(rulesFd(index)));
    // what a warden before this one has not read of the kernel's answers to it
    nftables.hear(NONE);
    const sockets = { nftables };
    return { network, sockets, log: logGroup === undefined ? undefined : { group: logGroup, fd: logFd(index) } };
  });
  for (const [index, { endpoint }] of places.entries()) await egress.admit(networks[index]!, endpoint);
  const questions = handQuestions((error) => problem(`its name server: ${causeOf(error)}`));
  if (questions)
    answerQuestions(questions, {
      ...task,
      database,
      egress,
      problem: (error) => problem(`its name server: ${causeOf(error)}`),
    });
  return () => {
    questions?.destroy();
    for (const network of networks)
      try {
        egress.withdraw(network);
      } catch (error) {
        tell(`network ${network.network.name}: ${causeOf(error)}`);
      }
    egress.close();
  };
}

/**
 * A stream of this warden's own, since one that was killed may have read or written half a frame of its.
 * @returns undefined when the monitor takes none, which is told: rules are to be kept for it all the same
 */
function handQuestions(problem: (error: unknown) => void): Socket | undefined {
  const { near, far } = streamPair();
  using theirs = far;
  setNonBlocking(theirs.number);
  try {
    send(QUESTIONS_FD, Buffer.of(0), [theirs.number]);
  } catch (error) {
    near.close();
    problem(error);
    return undefined;
  }
  return new Socket({ fd: near.release() });
}
