/**
 * The taps of virtual machines: interfaces of a network's namespace whose frames are read and written by whoever has
 * their descriptor. Makes them only; endpoint.ts makes them ports of the bridge.
 */
import { CLONE_NEWNET } from '../container/namespaces.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import type { Fd } from '../host/fd.ts';
import { LaunchError } from '../launch/error.ts';
import { FIRST_INHERITED, launch } from '../launch/executor.ts';
import { INIT_PROGRAM } from '../program.ts';
import { enterUsersNamespace, type UsersNamespace } from '../rootless/users-namespace.ts';
import { TUN, tunFix } from './way-out.ts';

/**
 * @param place.namespace the network's @param place.users the user namespace that owns it
 * @param name of the interface @returns its descriptor, which does not block; the interface goes with its last copy
 * @throws HuskError `unsupported` with the fix where /dev/net/tun is closed
 */
export async function openTap(
  { namespace, users }: { namespace: Fd; users: UsersNamespace },
  name: string,
): Promise<Fd> {
  // the device may be open to the host's root alone, who has every right below and need not become somebody else
  const enter = process.getuid!() === 0 ? [] : [enterUsersNamespace(users)];
  let tap: Fd | undefined;
  const launched = launch(
    [
      ...enter,
      { op: 'setns', path: `/proc/self/fd/${FIRST_INHERITED}`, type: CLONE_NEWNET },
      { op: 'closeFrom', fd: FIRST_INHERITED + 1 },
      { op: 'tap', name },
      { op: 'exit' },
    ],
    {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 'null',
      stderr: 'null',
      inherit: [namespace.number],
      onSockets: (sockets) => (tap = sockets.tap),
    },
  );
  try {
    await launched.started;
  } catch (error) {
    tap?.close();
    throw explain(error);
  }
  if (!tap) throw new HuskError('husk-init handed no tap over', { kind: 'internal' });
  return tap;
}

function explain(error: unknown): unknown {
  if (!(error instanceof LaunchError) || error.path !== TUN) return error;
  return new HuskError(`cannot connect the virtual machine to the network: ${error.message}`, {
    kind: 'unsupported',
    exitCode: EXIT_HUSK_FAILED,
    fix: tunFix(),
    cause: error,
  });
}
