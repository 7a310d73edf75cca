/**
 * Puts the VM's network interface into the container's network namespace and sets it up there, as pasta does on the
 * host.
 */
import type { InterfaceSetup } from '../agent-protocol.ts';
import { causeOf, HuskError } from '../errors.ts';
import { addressBytes, inNetworkNamespace, interfaceIndex, Rtnetlink } from '../host/streams/netlink.ts';
import { SyscallError } from '../host/libc.ts';

/** @param pid of a process in the namespace @throws HuskError */
export function giveInterface(pid: number, setup: InterfaceSetup): void {
  try {
    const index = interfaceIndex(setup.name);
    if (index === 0) throw new Error('the guest kernel found no network device');
    {
      using own = Rtnetlink.open();
      own.moveLink(index, pid);
    }
    const { there, inside } = inNetworkNamespace(pid, () => ({
      there: Rtnetlink.open(),
      inside: interfaceIndex(setup.name),
    }));
    using rtnetlink = there;
    for (const { address, prefix } of setup.addresses) rtnetlink.addAddress(inside, addressBytes(address), prefix);
    rtnetlink.setUp(inside);
    for (const route of setup.defaultRoutes) addDefaultRoute(rtnetlink, inside, route);
  } catch (error) {
    throw new HuskError(`cannot set up ${setup.name} of the container: ${causeOf(error)}`, {
      kind: 'internal',
      cause: error,
    });
  }
}

function addDefaultRoute(
  rtnetlink: Rtnetlink,
  index: number,
  { family, gateway }: InterfaceSetup['defaultRoutes'][number],
): void {
  const route = { family, ...(gateway !== undefined && { gateway: addressBytes(gateway) }) };
  try {
    rtnetlink.addDefaultRoute(index, route);
  } catch (error) {
    // a gateway outside of the interface's own networks, as cloud hosts have it
    if (
      !(error instanceof SyscallError) ||
      gateway === undefined ||
      !['ENETUNREACH', 'EHOSTUNREACH', 'EINVAL'].includes(error.code)
    )
      throw error;
    rtnetlink.addDefaultRoute(index, { ...route, onLink: true });
  }
}
