/**
 * Starts the relay of a VM's sockets (guest/net/relay.c), by the command that starts the machine: it alone has the
 * paths, and the monitor in its jail gets one end of a socket to it. The relay outlives this command and ends with the
 * monitor; when this command fails before that one has its end, it ends with this command.
 */
import { spawn } from 'node:child_process';
import { EXIT_HUSK_FAILED, HuskError, causeOf } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import { seqpacketPair } from '../../host/streams/socket.ts';
import { NET_PROGRAM } from '../../program.ts';

export interface StartedRelay extends Disposable {
  readonly pid: number;
  /** the monitor's end, non-blocking; the caller's until the monitor has its own */
  readonly control: Fd;
}

/**
 * @param paths of sockets, in the order of their numbers, absolute and without links in them
 * @param as whom it connects, where this process is the host's root: as in user namespaces, the root of a container
 * @throws HuskError
 */
export async function startRelay(
  paths: readonly string[],
  as?: { uid: number; gid: number },
  program = NET_PROGRAM,
): Promise<StartedRelay> {
  const { near, far } = seqpacketPair({ nonBlocking: true });
  using theirs = far;
  using unwound = new DisposableStack();
  unwound.use(near);
  const child = spawn(program, ['relay', as ? `${as.uid}:${as.gid}` : '-', ...paths], {
    stdio: ['ignore', 'ignore', 'ignore', theirs.number],
    detached: true,
    cwd: '/',
    env: {},
    argv0: 'husk-relay',
  });
  await new Promise<void>((started, failed) => {
    child.once('spawn', started);
    child.once('error', (error) =>
      failed(
        new HuskError(`cannot relay sockets into a virtual machine: ${causeOf(error)}`, {
          kind: 'start-failed',
          exitCode: EXIT_HUSK_FAILED,
          cause: error,
        }),
      ),
    );
  });
  // it lives on when this command ends, and this command does not wait for it
  child.unref();
  unwound.move();
  return { pid: child.pid!, control: near, [Symbol.dispose]: () => near.close() };
}
