/**
 * What a jailed supervisor is born with beside its first client's connection: descriptors of things that it may not
 * open itself, told by kind in its last argument. Pure.
 */

/**
 * They last as long as the process, through every restart of its container.
 *
 * - `links`: the host's ends of its machine's network devices, in the order of the task's `machine.interfaces`
 * - `networks`: a namespace for each of its networks, in which it has no right. Whoever opens a network whose
 *   keeper was killed finds them in /proc/PID/fd: the user is the owner of the jail's user namespace, and may look
 *   there although the process is not dumpable.
 * - `forwarder`: one, if it publishes ports: with its last copy the forwarder ends
 * - `resolvers`: sockets connected to the host's resolvers, as the task's `names` count them
 * - `relay`: one, if sockets of the host's are mounted: the end of a socket to whoever connects to them
 *   (src/vmm/sockets/)
 * - `warden`: one, if it has rules of `--egress`: by it comes a stream to whoever answers its names, who believes
 *   nothing it says, and another one when that was killed
 */
export type DescriptorKind = 'links' | 'networks' | 'forwarder' | 'resolvers' | 'relay' | 'warden';

/** their numbers */
export type Descriptors = { readonly [kind in DescriptorKind]?: readonly number[] };

/**
 * @param first the number of the first of them in the supervisor
 * @returns what it is told, and the descriptors in the order in which it has them
 */
export function passDescriptors(
  given: { readonly [kind in DescriptorKind]?: readonly number[] },
  first: number,
): { argument: string; inherit: number[] } {
  const inherit: number[] = [];
  const told = Object.entries(given).map(([kind, numbers]): [string, number[]] => [
    kind,
    numbers.map((number) => first + inherit.push(number) - 1),
  ]);
  return { argument: JSON.stringify(Object.fromEntries(told)), inherit };
}

/** @param argument absent: of a supervisor outside of a jail, which has none */
export function readDescriptors(argument?: string): Descriptors {
  return argument === undefined ? {} : (JSON.parse(argument) as Descriptors);
}
