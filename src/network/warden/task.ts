/**
 * What a warden is told by the command that starts it: two lines of JSON on its stdin, this task and, when the
 * machine's monitor runs, who that is. And the descriptors that it is born with. Whoever tends it (guest/net/tend.c)
 * has kept both, for the next one.
 */
import type { EndpointState } from '../../state/containers.ts';
import type { Network } from '../records/contract.ts';

export interface WardenTask {
  containerId: string;
  dataRoot: string;
  /** of `--egress`, as typed; they are in force already */
  rules: readonly string[];
  /** addresses, asked from the host, where the warden is */
  resolvers: readonly string[];
  ndotsSet: boolean;
  /** off where all networks of the container are internal */
  forward: boolean;
  places: readonly WardedPlace[];
}

interface WardedPlace {
  network: Network;
  endpoint: EndpointState;
  /** of the network's packet log, bound already; absent: what is refused there is told nobody */
  logGroup?: number;
}

/** a seqpacket socket to the machine's monitor: each warden sends the stream by which it is asked for names */
export const QUESTIONS_FD = 3;
/** from here on, of each place: an nfnetlink socket of its network's namespace, and the one that its log is bound to */
const FIRST_OF_PLACES = 4;
const EACH_PLACE = 2;

export const rulesFd = (place: number): number => FIRST_OF_PLACES + EACH_PLACE * place;
export const logFd = (place: number): number => rulesFd(place) + 1;
