/**
 * What nearly every start needs, loaded while the supervisor waits to be told which container: the launcher starts it
 * beside the command, and it is idle until the command has written the record. Nothing here has an effect outside this
 * process.
 */
import { Socket } from 'node:net';
import { jailedRandomHex } from '../host/kernel/random.ts';
import { loadLibc } from '../host/libc.ts';
import { memfd } from '../host/memory/memfd.ts';
import { pipe } from '../host/streams/pipe.ts';
import { receive, send, seqpacketPair } from '../host/streams/socket.ts';
import { identifySelf } from '../state/process-identity.ts';
import { rfc3339 } from '../state/time.ts';

export async function warmUp(): Promise<void> {
  process.getBuiltinModule('node:sqlite');
  loadLibc();
  const [{ idMaps }] = await Promise.all([
    import('../rootless/idmap.ts'),
    import('../rootless/sandbox.ts'),
    import('../images/layers/unpack.ts'),
  ]);
  idMaps();
  rehearse();
}

/**
 * Calls what a start calls: a system call is bound, and a function of Node's compiled, when it is first called, which
 * a user would wait for.
 */
function rehearse(): void {
  identifySelf();
  rfc3339();
  jailedRandomHex(1);
  const { near, far } = seqpacketPair({ credentials: true });
  using _near = near;
  using _far = far;
  send(far.number, Buffer.alloc(1));
  for (const fd of receive(near.number)?.fds ?? []) fd.close();
  using _plan = memfd('husk-plan', Buffer.alloc(1));
  const { read, write } = pipe();
  using _read = read;
  // a socket that ends asks for process.stderr, which Node makes then
  new Socket({ fd: write.release(), readable: false }).destroy();
}
