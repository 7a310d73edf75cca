/** Sockets in the network namespace of a container that runs, for resolvers that are asked from there (`--dns`). */
import { CLONE_NEWNET, CLONE_NEWUSER } from '../../container/namespaces.ts';
import { HuskError } from '../../errors.ts';
import type { Fd } from '../../host/fd.ts';
import { launch } from '../../launch/executor.ts';
import { INIT_PROGRAM } from '../../program.ts';

/** @param pid of a process in the container's namespaces */
export async function openContainerSocket(pid: number, kind: 'udp' | 'tcp', family: 4 | 6): Promise<Fd> {
  let made: Fd | undefined;
  const launched = launch(
    [
      { op: 'setnsPid', pid, types: CLONE_NEWUSER | CLONE_NEWNET },
      { op: 'sockets', make: [kind], address: family === 4 ? '0.0.0.0' : '::', asking: true },
      { op: 'exit' },
    ],
    {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 'null',
      stderr: 'null',
      onSockets: (sockets) => (made = sockets[kind]),
    },
  );
  await launched.started;
  if (!made) throw new HuskError('husk-init handed no socket over', { kind: 'internal' });
  return made;
}
