/**
 * What a VM's monitor and its relay (guest/net/relay.c) say to each other, a message a packet of a seqpacket socket.
 * Pure.
 *
 * - Monitor: u8 kind, u8 slot, u8 number of the socket (of a close: zero).
 * - Relay: u8 slot, u8 errno; exactly one for each connect, and with errno 0 the connected socket is attached.
 */

/** connections of one machine: RELAY_SLOTS of guest/net/net.h */
export const MAX_CONNECTIONS = 64;
/** sockets of one machine: each is a listening socket of the guest's agent; at most 256 have a number */
export const MAX_SOCKETS = 64;

/** A socket of the host's as whoever mounted it sees it. */
export interface SocketOwner {
  /** in the user namespace of the machine's monitor */
  uid: number;
  gid: number;
  /** bits of permissions */
  mode: number;
}

const CONNECT = 1;
const CLOSE = 2;
const ANSWER_BYTES = 2;

/** @param slot one that is free */
export const connectRequest = (slot: number, socket: number): Buffer => Buffer.of(CONNECT, slot, socket);
/** The slot is free, and its socket shut down. */
export const closeRequest = (slot: number): Buffer => Buffer.of(CLOSE, slot, 0);

/** @returns undefined for what is no answer */
export function readAnswer(data: Buffer): { slot: number; errno: number } | undefined {
  if (data.length !== ANSWER_BYTES) return undefined;
  const [slot, errno] = data as unknown as [number, number];
  return slot < MAX_CONNECTIONS ? { slot, errno } : undefined;
}
