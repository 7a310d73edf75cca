/**
 * The default network of a build's steps: each gets an address on the network `bridge` and an interface of its own, as
 * a container without `--network` does. The network is opened once for a build, by the first step that wants it.
 */
import type { DatabaseSync } from 'node:sqlite';
import { causeOf } from '../../../errors.ts';
import { openActiveNetwork, type ActiveNetwork } from '../../../network/attach/active-network.ts';
import { attachMember, detachMember, memberSockets } from '../../../network/attach/member.ts';
import { leaseOne } from '../../../network/attach/places.ts';
import { untilWayOut } from '../../../network/attach/way-out-ready.ts';
import type { Network } from '../../../network/records/contract.ts';
import { release } from '../../../network/records/leases.ts';
import { missingWayOut, type MissingWayOut } from '../../../network/way-out.ts';
import type { Paths } from '../../../paths.ts';
import type { StepNetwork } from '../../../rootless/build/sandbox.ts';
import type { EndpointState } from '../../../state/containers.ts';
import { identifySelf, isAlive } from '../../../state/process-identity.ts';

export interface DefaultNetworkOptions {
  database: DatabaseSync;
  paths: Pick<Paths, 'dataRoot' | 'runtimeDir'>;
  /** the network `bridge` as it is now */
  network: () => Promise<Network>;
  hostname: string;
  /** told once of what is not as it should be, and hinders no step that wants no network */
  problem: (text: string) => void;
}

/** places of steps that have ended, before the first of them is taken away: that takes the kernel up to 20 ms */
const MAX_STALE = 64;

/**
 * @param reason why the network that there is has none @param missing what this host lacks for one
 * @returns what the person is told
 */
export function wayOutWarning(reason: string | undefined, missing: MissingWayOut | undefined): string | undefined {
  if (reason !== undefined) return `the steps have no way out: ${reason}`;
  return missing && `the steps have no way out: ${missing.reason} (fix: ${missing.fix})`;
}

export class DefaultNetwork {
  readonly #options: DefaultNetworkOptions;
  #opened: Promise<ActiveNetwork> | undefined;
  readonly #all: ActiveNetwork[] = [];
  /** of steps that have ended, oldest first */
  readonly #stale: { active: ActiveNetwork; endpoint: EndpointState }[] = [];
  #told = false;

  constructor(options: DefaultNetworkOptions) {
    this.#options = options;
  }

  async #open(): Promise<ActiveNetwork> {
    const before = await this.#opened?.catch(() => undefined);
    // Its keeper is the way out; whoever finds it dead makes another.
    if (!before || !isAlive(before.keeper)) this.#opened = this.#openAgain();
    return this.#opened!;
  }

  async #openAgain(): Promise<ActiveNetwork> {
    const { database, paths, network } = this.#options;
    const { dataRoot, runtimeDir } = paths;
    const active = await openActiveNetwork(await network(), { database, dataRoot, runtimeDir });
    this.#all.push(active);
    return active;
  }

  /** Takes a place for a step. @param id of the step @throws HuskError */
  async join(id: string): Promise<StepNetwork> {
    const { database, hostname } = this.#options;
    const active = await this.#open();
    const taker = { database, containerId: id, name: id, hostname, claim: identifySelf() };
    const { endpoint } = leaseOne(taker, active.network, { wanted: {}, index: 0 });
    return {
      users: active.users,
      sockets: { op: 'sockets', make: ['rtnetlink', 'network-namespace'] },
      connect: async (_pid, sockets) => {
        try {
          const leaves = { ipv4: endpoint.ipv4?.gateway !== undefined, ipv6: endpoint.ipv6?.gateway !== undefined };
          attachMember(active, memberSockets(sockets), { endpoint, leaves });
        } finally {
          for (const fd of Object.values(sockets)) fd.close();
        }
        const text = wayOutWarning(await untilWayOut(active), missingWayOut());
        if (text !== undefined) this.#tell(text);
      },
      close: () => {
        release(database, id);
        this.#stale.push({ active, endpoint });
        if (this.#stale.length > MAX_STALE) this.#clear(this.#stale.shift()!);
      },
    };
  }

  #tell(text: string): void {
    if (!this.#told) this.#options.problem(text);
    this.#told = true;
  }

  #clear({ active, endpoint }: { active: ActiveNetwork; endpoint: EndpointState }): void {
    try {
      detachMember(active, endpoint);
    } catch (error) {
      this.#tell(`network ${active.network.name}: ${causeOf(error)}`);
    }
  }

  /** No step runs any more. */
  async close(): Promise<void> {
    await this.#opened?.catch(() => {});
    for (const stale of this.#stale.splice(0)) this.#clear(stale);
    for (const active of this.#all.splice(0)) active[Symbol.dispose]();
  }
}
