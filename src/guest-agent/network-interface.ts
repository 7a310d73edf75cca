/**
 * Puts the VM's network interfaces into the container's network namespace and sets them up there, as
 * src/network/endpoint.ts does for a container on the host.
 */
import { templateMac, type InterfaceSetup } from '../agent-protocol.ts';
import { causeOf, HuskError } from '../errors.ts';
import { inNetworkNamespace } from '../host/kernel/network-namespace.ts';
import { SyscallError } from '../host/libc.ts';
import { addressBytes } from '../host/streams/address-bytes.ts';
import { Rtnetlink } from '../host/streams/rtnetlink.ts';

/** what an interface is called while it is between two containers */
const RENEWED = 'renewed';

/** @param pid of a process in the namespace @throws HuskError */
export function giveInterfaces(pid: number, setups: readonly InterfaceSetup[]): void {
  using own = Rtnetlink.open();
  using inside = inNetworkNamespace(pid, () => Rtnetlink.open());
  for (const [number, setup] of setups.entries())
    try {
      // the kernel numbers its devices as it finds them; which is which their addresses say
      const links = own.links();
      const ofTemplate = links.find(({ mac }) => mac === templateMac(number));
      if (ofTemplate) own.setAddress(ofTemplate.index, setup.mac);
      const found = ofTemplate ?? links.find(({ mac }) => mac === setup.mac);
      if (found === undefined) throw new Error(`the guest kernel found no network device ${setup.mac}`);
      own.moveLink(found.index, pid, setup.name);
      setUp(inside, setup);
    } catch (error) {
      throw new HuskError(`cannot set up ${setup.name} of the container: ${causeOf(error)}`, {
        kind: 'internal',
        cause: error,
      });
    }
}

/**
 * Makes the interfaces of a copied container another one's. One that leaves a namespace loses its addresses and routes,
 * so nothing of the container copied is left on it.
 * @param pid of a process in the namespace @param options.without called while there is no way out of it
 * @throws HuskError
 */
export function renewInterfaces(
  pid: number,
  setups: readonly InterfaceSetup[],
  { without }: { without: () => void },
): void {
  if (setups.length === 0) return;
  using own = Rtnetlink.open();
  using inside = inNetworkNamespace(pid, () => Rtnetlink.open());
  for (const [number, { name, mac }] of setups.entries()) {
    const index = inside.linkIndex(name);
    if (index === undefined)
      throw new HuskError(`cannot give the copy its own address: the container has no interface ${name} any more`, {
        kind: 'conflict',
      });
    inside.moveLink(index, process.pid, `${RENEWED}${number}`);
    own.setAddress(own.linkIndex(`${RENEWED}${number}`)!, mac);
  }
  without();
  giveInterfaces(pid, setups);
}

function setUp(rtnetlink: Rtnetlink, { name, addresses, defaultRoutes }: InterfaceSetup): void {
  const index = rtnetlink.linkIndex(name);
  if (index === undefined) throw new Error('it did not arrive in the namespace');
  for (const { address, prefix } of addresses) rtnetlink.addAddress(index, addressBytes(address), prefix);
  rtnetlink.setUp(index);
  for (const route of defaultRoutes) addDefaultRoute(rtnetlink, index, route);
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
