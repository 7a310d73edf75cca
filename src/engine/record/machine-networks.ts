/**
 * The networks of a container that is about to start in a virtual machine. Nobody can make anything of a network from
 * within its monitor's jail, so this command does, under its own claim on the container, and then gives claim,
 * addresses and ports to the monitor, all at once: whichever of the two dies, what it has is nobody's.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { HuskError } from '../../errors.ts';
import type { ContainerEgress } from '../../network/attach/container-egress.ts';
import { MachinePlace, type MachineNetworks } from '../../network/attach/machine.ts';
import { machineProblem } from '../../network/way-out.ts';
import type { StartedWarden } from '../../network/warden/start.ts';
import { paths as computePaths } from '../../paths.ts';
import { ContainerStore } from '../../state/containers.ts';
import { identify, identifySelf } from '../../state/process-identity.ts';
import { LifeRecord } from '../../supervisor/life/life-record.ts';
import type { Task, TaskNetworks } from '../../supervisor/protocol/protocol.ts';

export interface TakenNetworks extends Disposable {
  readonly machine: MachineNetworks;
  /** descriptors that the monitor is to have: src/supervisor/protocol/descriptors.ts */
  readonly descriptors: { links: number[]; networks: number[]; forwarder: number[]; warden: number[] };
  /** its names are answered by its warden alone: it has rules */
  readonly hasWarden: boolean;
  /**
   * Resolves when its warden works, if it has one, and the way out is there, or will not be, which an event tells.
   * @throws HuskError when the warden does not
   */
  ready(): Promise<void>;
  /** @param pid of the monitor, which has the descriptors @throws HuskError when it has ended */
  passOn(pid: number): void;
}

/**
 * Disposed of before `passOn`, all of it is undone.
 * @throws HuskError in Docker's words, which the record says from then on
 */
export async function takeNetworks(task: Task, wanted: TaskNetworks, database: DatabaseSync): Promise<TakenNetworks> {
  const { id, dataRoot, runtimeDir } = task;
  // whoever asked for a container that is to be removed at its end removes it when it has not begun
  const record = new LifeRecord(database, new ContainerStore(database), { ...task, autoRemove: false });
  const paths = computePaths({ dataRoot, runtimeDir });
  record.claim('start');
  using unwound = new DisposableStack();
  let place: MachinePlace;
  let warden: StartedWarden | undefined;
  try {
    const lacking = machineProblem(wanted.known);
    if (lacking) throw lacking;
    const name = record.attributes()['name'] ?? id;
    const taker = { database, containerId: id, name, hostname: wanted.hostname, claim: identifySelf() };
    const host = { database, dataRoot, runtimeDir };
    const problem = (error: string) => record.event('network_error', { error });
    const { egress: rules, ...request } = wanted;
    const egress =
      rules && (await openEgress({ containerId: id, rules, database, folder: paths.container(id), problem }));
    place = unwound.use(await MachinePlace.make(taker, host, { ...request, ...(egress && { egress }), problem }));
    if (egress && place.places.length > 0) warden = unwound.use(await wardenOf(task, wanted, { place, egress }));
  } catch (error) {
    record.startFailed(error);
    throw error;
  }
  // the guest is given the file as it is when its machine is made
  appendFileSync(join(paths.container(id), 'etc', 'hosts'), place.hostsLines);
  const numbers = (fds: readonly { number: number }[]) => fds.map(({ number }) => number);
  let isPassedOn = false;
  const taken = unwound.move();
  return {
    machine: place.told,
    descriptors: {
      links: numbers(place.links),
      networks: numbers(place.namespaces),
      forwarder: numbers(place.forwarder),
      warden: numbers(warden ? [warden.questions] : []),
    },
    hasWarden: warden !== undefined,
    ready: async () => void (await Promise.all([place.wayOut(), warden?.ready])),
    passOn(pid) {
      const monitor = identify(pid);
      if (!monitor) throw new HuskError(`the supervisor of ${id} ended at once`, { kind: 'internal' });
      record.passClaim(monitor, () => place.passOn(monitor));
      warden?.passOn(monitor);
      isPassedOn = true;
    },
    [Symbol.dispose]() {
      taken.dispose();
      if (!isPassedOn) record.released(undefined);
    },
  };
}

/** Its rules are put in force here, by the same code as those of a container in user namespaces. */
async function openEgress(
  options: Omit<ConstructorParameters<typeof ContainerEgress>[0], 'openLog'>,
): Promise<ContainerEgress> {
  const [{ ContainerEgress: Egress }, { openNetworkLog: openLog }] = await Promise.all([
    import('../../network/attach/container-egress.ts'),
    import('../../network/attach/egress-log.ts'),
  ]);
  return new Egress({ ...options, openLog });
}

/** Another process keeps them from here on: the monitor may not, and this command ends. */
async function wardenOf(
  { id: containerId, dataRoot }: Task,
  { egress: rules = [], names: { resolvers, ndotsSet } }: TaskNetworks,
  { place: { places }, egress }: { place: MachinePlace; egress: ContainerEgress },
): Promise<StartedWarden> {
  const { startWarden } = await import('../../network/warden/start.ts');
  const addresses = resolvers.map(({ address }) => address);
  return startWarden({ containerId, dataRoot, rules, resolvers: addresses, ndotsSet, places, egress });
}
