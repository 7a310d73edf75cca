/**
 * What the host knows of the container in a machine that is saved with it, as plain data. A machine that goes on from
 * such a snapshot has an agent that serves already, and connections that have said already whose they are. Types only.
 */
import type { ProcessStreams, StreamToken } from '../../agent-protocol.ts';

export interface AgentState {
  /** the number of the next request: answers to those before are nobody's */
  nextRequest: number;
  /** bytes of a message of the agent's of which the rest is still in the machine */
  heard: Uint8Array;
  /** open streams by the guest's ports, which tell connections apart */
  streams: { token: StreamToken; guestPort: number }[];
  /** streams that the agent has been told of and has not opened yet */
  awaited: StreamToken[];
}

export interface ContainerInMachine {
  agent: AgentState;
  /** the number of the next process beside the first */
  nextProcess: number;
  /** of the first process */
  streams: ProcessStreams;
  /** by the numbers of the host's sockets, for each connection to one */
  sockets: StreamToken[];
}
