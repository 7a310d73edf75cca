/** What a container's lives have of networks, whatever isolates it. Types only. */
import type { EndpointState, PublishedPort } from '../../state/containers.ts';
import type { Warning } from '../protocol/protocol.ts';
import type { ConnectNetwork } from './control.ts';
import type { JoinNetworks } from './sandboxes.ts';

export interface LifeNetworks {
  /** of the start, for whoever asked for it */
  readonly warnings: Warning[];
  /** what the record is to say */
  readonly state: { endpoints: EndpointState[]; published: PublishedPort[] };
  /**
   * Before each life.
   * @returns what its start needs; undefined when nothing is left to do in it
   * @throws HuskError in Docker's words; what was taken is given back by `end`
   */
  begin(): JoinNetworks | undefined;
  /** A life is over, or did not begin. Idempotent. */
  end(): Promise<void>;
  /** After the last life, and before its end is told: nothing is taken any more. */
  release(): Promise<void>;
  /** What the kernel still has of a life that is over; slow, and nobody waits for it. */
  clear(): void;
  /** Puts the running container on one more network. @param pid of a process in its namespaces */
  connect(pid: number, asked: Pick<ConnectNetwork, 'network' | 'wanted'>): Promise<void>;
  disconnect(pid: number, networkId: string): Promise<void>;
}
